"""The first hour on a GPU: what a machine is, and whether AMIR computes, trains and fits on it as said."""

SKIPPED = "skipped: "  # begins the line of a part that cannot run here
