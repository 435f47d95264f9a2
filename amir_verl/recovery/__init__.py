"""Runs that stop: complete checkpoints, the one to resume from, and an end for runs whose engine died."""
