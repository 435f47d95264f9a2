"""Where AMIR helps: many small trainings with and without it; docs/study.md says what came out."""
