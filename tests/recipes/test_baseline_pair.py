"""Two runs of one recipe and their report; a run that resumes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_overrides import settings_of

PAIR = str(Path(__file__).resolve().parents[2] / "recipes/run_baseline_pair.sh")
STAND_IN = r"""
mkdir -p "$OUT/validation"
echo "$ALGO $SEED $TRAIN $@" >>"$OUT/../calls"
for step in 0 2; do
  for i in 1 2 3; do
    echo "{\"input\": \"q$i\", \"output\": \"o\", \"gts\": \"1\", \"score\": 1, \"acc\": 1, \"step\": $step}"
  done >"$OUT/validation/$step.jsonl"
done
"""


@pytest.fixture
def no_training(tmp_path):
    """A Python that does all but train."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = verl.trainer.main_ppo ] || exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_a_run_that_resumes_keeps_the_metrics_before_its_checkpoint(recipe, files, no_training):
    """verl's file logger empties its file, and validates anew the step that the checkpoint holds."""
    out = files / "resumed"
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints/latest_checkpointed_iteration.txt").write_text("2")
    lines = [json.dumps({"step": step, "data": {"x": 1.0}}, separators=(",", ":")) for step in range(4)]
    (out / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    ended = recipe("qwen2.5_3b", OUT=str(out), PYTHON=no_training, dry_run="0")
    assert ended.returncode == 0, ended.stderr
    assert (out / "metrics-to-2.jsonl").read_text().splitlines() == lines[:3]
    assert settings_of(recipe("qwen2.5_3b", OUT=str(out)))["trainer.val_before_train"] == "False"
    # The second time nothing of the file is behind the checkpoint, and what was kept stays.
    (out / "metrics.jsonl").write_text(lines[3] + "\n")
    assert recipe("qwen2.5_3b", OUT=str(out), PYTHON=no_training, dry_run="0").returncode == 0
    assert (out / "metrics-to-2.jsonl").read_text().splitlines() == lines[:3]


def test_the_pair_has_one_seed_and_data_and_ends_with_the_report(files, tmp_path):
    (tmp_path / "stand_in.sh").write_text(STAND_IN)
    out = tmp_path / "pair"
    command = ["bash", PAIR, str(tmp_path / "stand_in.sh"), "a=1", "b=2"]
    environment = os.environ | {
        "ALGO": "amir_gspo",
        "SEED": "5",
        "TRAIN": "x",
        "OUT": str(out),
    }
    reports_alone = tmp_path / "python"
    reports_alone.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/reports\n')
    reports_alone.chmod(0o755)
    for python in (sys.executable, str(reports_alone)):  # the second time both runs are there
        ended = subprocess.run(
            command, env=environment | {"PYTHON": python}, capture_output=True, text=True, timeout=240
        )
        assert ended.returncode == 0, ended.stderr
        assert (out / "calls").read_text().splitlines() == ["gspo 5 x a=1 b=2", "amir_gspo 5 x a=1 b=2"]
    assert ended.stdout.count("complete, kept") == 2
    assert "AMIR-GSPO" in (out / "report/index.html").read_text()
    (again,) = (tmp_path / "reports").read_text().splitlines()
    assert str(out / "report") in again


def test_the_pair_stops_with_a_run_that_fails(tmp_path):
    (tmp_path / "fails.sh").write_text("exit 3\n")
    environment = os.environ | {"OUT": str(tmp_path / "p")}
    ended = subprocess.run(["bash", PAIR, str(tmp_path / "fails.sh")], env=environment, timeout=60)
    assert ended.returncode == 3
    assert not (tmp_path / "p/grpo/complete").exists()
    assert not (tmp_path / "p/report").exists()
