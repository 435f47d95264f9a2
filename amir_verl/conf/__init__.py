"""Hydra config groups: `amir` (what to train) and `platform` (where)."""
