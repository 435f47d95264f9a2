"""Does AMIR help, and at which settings? Real trainings of a tiny model; docs/study.md says what came out."""
