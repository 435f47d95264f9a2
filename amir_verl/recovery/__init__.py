"""Runs that stop: whole checkpoints, and a run whose engine has died ends."""
