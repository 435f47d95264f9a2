"""What the quickstart shows of a run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amir_verl.demo.follow import MetricsTail, progress_line
from amir_verl.demo.summary import courses, picture, table
from amir_verl.evaluation.comparison.pass_curves import PassCurve

METRICS = {
    "critic/score/mean": (np.array([1, 2]), np.array([0.1, 0.3])),
    "amir/num_pairs": (np.array([1, 2]), np.array([50.0, 60.0])),
    "perf/time": (np.array([1, 2]), np.array([1.0, 1.0])),
}
CURVE = PassCurve("run", np.array([0, 20]), {1: np.array([0.08, 0.2]), 8: np.array([0.4, 0.41])})


def test_the_table_leads_with_one_try_and_many_and_leaves_out_what_was_not_logged():
    names = list(courses(METRICS, CURVE))
    assert names == ["pass@1", "pass@8", "reward, training rollouts", "pairs"]
    lines = table(courses(METRICS, CURVE)).splitlines()
    assert lines[1].split() == ["pass@1", "0.08", "0.2"] and lines[2].split() == ["pass@8", "0.4", "0.41"]


def test_a_run_that_was_never_validated_still_has_its_metrics():
    assert list(courses(METRICS, None)) == ["reward, training rollouts", "pairs"]


def test_the_picture_shows_one_try_beside_many(tmp_path):
    picture(courses(METRICS, CURVE), tmp_path / "curves.png", title="$\\frac{")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_run_is_one_line(tmp_path):
    command = [sys.executable, "-m", "amir_verl.demo.summary", tmp_path, "--picture", tmp_path / "p.png"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2])
    assert ended.returncode == 1 and ended.stderr == f"{tmp_path}: holds no metrics of verl\n"


def test_a_torn_record_waits_for_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(path)
    assert list(tail.new_records()) == []
    whole = json.dumps({"step": 1, "data": {"val-core/countdown/acc/mean@1": 0.125}}) + "\n"
    path.write_text(whole + '{"step": 2, "da')
    (record,) = tail.new_records()
    assert progress_line(record, 60).split() == ["step", "1/60", "validation", "accuracy", "0.125"]
    path.write_text(whole + json.dumps({"step": 2, "data": {}}) + "\n")
    assert [record["step"] for record in tail.new_records()] == [2]


@pytest.mark.parametrize("data", ["sums", "COUNTDOWN"])
def test_an_unknown_task_is_refused_before_anything_is_made(tmp_path, data):
    ended = subprocess.run(
        ["bash", "scripts/quickstart.sh"],
        cwd=Path(__file__).resolve().parents[2],
        env={"PATH": "/usr/bin:/bin", "DATA": data, "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr == f"DATA must be countdown, arithmetic or gsm8k, got '{data}'\n"
    assert not (tmp_path / "out").exists()
