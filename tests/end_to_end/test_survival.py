"""The short form of benchmarks/survival.py: one kill, and the same command again."""

import json
import os
import sys

from trainings import run


def test_a_training_whose_engine_is_killed_ends_and_goes_on_from_its_last_whole_checkpoint(tmp_path):
    """SURVIVAL_SEED=N kills something else: `plan(1, N)` of benchmarks/survival.py says what."""
    seed = os.environ.get("SURVIVAL_SEED", "0")
    sizes = ["--kills", "1", "--seed", seed, "--ranks", "1", "--width", "64"]
    command = [sys.executable, "-m", "benchmarks.survival", *sizes, "--out", str(tmp_path)]
    log = tmp_path / "survival.log"
    status = run(command, log=log)
    said = log.read_text()
    assert status == 0, said
    assert "1 of 1 continue from the last whole checkpoint and leave no process behind" in said
    (row,) = [json.loads(line) for line in (tmp_path / "kills.jsonl").read_text().splitlines()]
    assert row["resumed"] == row["whole"] >= 2
    assert row["lambda_steps"] == row["whole"] + 1
    assert row["left"] == []
    if row["kind"] == "engine":
        assert "the vLLM engine at" in row["reason"] and "died, so the run ends" in row["reason"]
