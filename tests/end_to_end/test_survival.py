"""The short form of benchmarks/survival.py: two kills, the same command after each; and what it judges by."""

import itertools
import os
import sys
import time

import pytest
import torch
from trainings import json_lines, run

from benchmarks.run_processes import end, processes, start, wait_until_gone
from benchmarks.survival import KINDS, MOMENTS, is_whole, passed, plan

SEED = 38


@pytest.mark.slow
def test_a_training_that_is_killed_twice_ends_and_goes_on_from_its_last_whole_checkpoint(tmp_path):
    """SURVIVAL_SEED=N kills others: `plan(2, N)` of benchmarks/survival.py says which and when."""
    seed = os.environ.get("SURVIVAL_SEED", SEED)
    # Its own limits end first: stopped from outside by force, it would leave its training running.
    sizes = ["--kills", "2", "--seed", str(seed), "--ranks", "1", "--width", "64", "--limit", "240"]
    command = [sys.executable, "-m", "benchmarks.survival", *sizes, "--out", str(tmp_path)]
    log = tmp_path / "survival.log"
    status = run(command, log=log, limit=1500)
    said = log.read_text()
    assert status == 0, said
    assert "2 of 2 continue from the last whole checkpoint and leave no process behind" in said
    rows = json_lines(tmp_path / "kills.jsonl")
    kills = [(row["kind"], row["moment"]) for row in rows]
    assert kills == [case[:2] for case in plan(2, int(seed))]
    if int(seed) == SEED:
        assert kills == [("engine", "any time"), ("task runner", "while saving")]
    assert 2 <= rows[0]["whole"] < rows[1]["whole"]
    for row in rows:
        assert row["resumed"] == row["whole"]
        assert row["lambda_steps"] == row["whole"] + 1
        assert row["left"] == []
        if row["kind"] == "engine":
            assert "the vLLM engine at" in row["reason"] and "died, so the run ends" in row["reason"]


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_process_is_killed_at_either_moment(seed):
    cases = list(itertools.product(KINDS, MOMENTS))
    assert sorted((kind, moment) for kind, moment, _ in plan(len(cases), seed)) == sorted(cases)
    assert plan(10, seed)[:3] == plan(3, seed)  # a stopped benchmark goes on with the same kills


@pytest.fixture
def checkpoint(tmp_path):
    names = [f"actor/{part}_world_size_1_rank_0.pt" for part in ("model", "optim", "extra_state")] + [
        "data.pt"
    ]
    (tmp_path / "actor").mkdir()
    for name in names:
        torch.save({"weight": torch.arange(1000.0)}, tmp_path / name)
    (tmp_path / "amir.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [None, "actor/model_world_size_1_rank_0.pt", "actor/extra_state_world_size_1_rank_0.pt", "data.pt"],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_a_checkpoint_with_a_damaged_file_is_not_judged_whole(checkpoint, name, damage):
    assert is_whole(checkpoint, 1)
    assert not is_whole(checkpoint, 2)
    path = checkpoint / (name or "amir.json")
    content = path.read_bytes()
    middle = len(content) // 2
    path.unlink()
    if damage != "missing":
        damaged = {
            "empty": b"",
            "cut": content[:middle],
            "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        }
        path.write_bytes(damaged[damage])
    assert not is_whole(checkpoint, 1)


def test_processes_of_a_run_are_found_wherever_they_went(tmp_path):
    script = "setsid sleep 600 & env -i sleep 601 & sleep 602"
    found = start(
        ["sh", "-c", script], name=str(tmp_path), cwd=tmp_path, environment={}, log=tmp_path / "log"
    )
    try:
        sleeping, deadline = set(), time.monotonic() + 30
        while len(sleeping) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)  # each is still another program at first
            sleeping = {title for title in processes(found).values() if title.startswith("sleep")}
        assert sleeping == {"sleep 600", "sleep 601", "sleep 602"}
        found.process.kill()
        ended, gone, left = wait_until_gone(found, limit=0.5)
        assert ended is not None and gone is None and len(left) == 3
    finally:
        end(found)
    assert processes(found) == {}


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"resumed": 4}, False),
        ({"lambda_steps": 8.0}, False),
        ({"whole": 8}, False),
        ({"gone": None}, False),
    ],
)
def test_a_kill_counts_only_if_nothing_is_lost_and_nothing_left(change, good):
    assert passed({"resumed": 6, "whole": 6, "lambda_steps": 7.0, "gone": 3.0} | change) is good
