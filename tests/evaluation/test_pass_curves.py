"""pass@k over training, read from verl's files and drawn for any number of runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from amir_verl.cli import report
from amir_verl.evaluation.comparison import charts
from amir_verl.evaluation.comparison.pass_curves import PassCurve, drawable, pass_curve, shared_ks


def dump(directory: Path, step: int, right_of: list[int], samples: int) -> None:
    """A validation dump in which problem i is right in `right_of[i]` of its samples."""
    rows = [
        {
            "input": f"problem {i}",
            "output": "o",
            "gts": str(i),
            "score": 1.0,
            "acc": int(j < right),
            "step": step,
            "uid": f"{step}-{i}-{j}_0_0",  # verl's uid differs from row to row of a repeated problem
        }
        for i, right in enumerate(right_of)
        for j in range(samples)
    ]
    path = directory / "validation" / f"{step}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def curve(name: str, ks: tuple[int, ...] = (1, 8), steps: int = 2) -> PassCurve:
    return PassCurve(name, np.arange(steps), {k: np.linspace(0.1, 0.2, steps) for k in ks})


def test_rows_of_one_problem_are_its_samples_and_steps_are_in_order(tmp_path):
    dump(tmp_path, 20, [2, 0], samples=2)
    dump(tmp_path, 0, [1, 0], samples=2)
    found = pass_curve(tmp_path, name="run")
    assert found.step_I.tolist() == [0, 20]
    assert found.rates[1] == pytest.approx([0.25, 0.5])
    assert found.rates[2] == pytest.approx([0.5, 0.5])


def test_a_run_can_gain_in_one_try_and_lose_in_many(tmp_path):
    dump(tmp_path, 0, [1] * 8, samples=8)  # every problem solved now and then
    dump(tmp_path, 9, [8] * 4 + [0] * 4, samples=8)  # half of them always, half never
    found = pass_curve(tmp_path, name="run")
    assert found.rates[1] == pytest.approx([0.125, 0.5])
    assert found.rates[8] == pytest.approx([1.0, 0.5])


def test_a_k_that_a_validation_lacks_is_unknown_there(tmp_path):
    dump(tmp_path, 0, [1], samples=1)
    dump(tmp_path, 5, [2], samples=4)
    found = pass_curve(tmp_path, name="run")
    assert np.isnan(found.rates[4][0]) and found.rates[4][1] == pytest.approx(1.0)


@pytest.mark.parametrize(("sources", "expected"), [(["gsm8k"], [0.2, 0.6]), (["gsm8k", "math/500"], None)])
def test_without_dumps_the_metrics_of_one_data_source_are_read(tmp_path, sources, expected):
    records = [
        {
            "step": step,
            "data": {
                f"val-{kind}/{source}/acc/{name}": value
                for source in sources
                for kind, name, value in (
                    ("core", "mean@8", one),
                    ("core", "best@8/mean", many),
                    ("aux", "best@4/mean", many / 2),
                    ("aux", "best@8/std", 9.0),
                    ("aux", "worst@8/mean", 9.0),
                )
            },
        }
        for step, one, many in ((0, 0.2, 0.7), (10, 0.6, 0.6))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = pass_curve(tmp_path, name="run")
    if expected is None:
        assert found is None
    else:
        assert found.rates[1] == pytest.approx(expected)
        assert found.rates[8] == pytest.approx([0.7, 0.6])
        assert sorted(found.rates) == [1, 4, 8]


def test_a_file_or_a_run_without_validation_has_no_curve(tmp_path):
    dump(tmp_path, 0, [1], samples=1)
    assert pass_curve(tmp_path / "validation" / "0.jsonl", name="file") is None
    (tmp_path / "empty").mkdir()
    assert pass_curve(tmp_path / "empty", name="empty") is None


def test_the_largest_shared_k_is_drawn_and_eight_beside_it():
    assert shared_ks([curve("a", (1, 2, 4, 8, 16, 64)), curve("b", (1, 8, 64, 128))]) == [8, 64]
    assert shared_ks([curve("a", (1, 2, 4))]) == [4]
    assert shared_ks([curve("a", (1, 2)), curve("b", (1,))]) == []
    assert shared_ks([]) == []


def test_only_a_course_is_drawn():
    assert [c.name for c in drawable([curve("a"), curve("b", steps=1), curve("c", (1,))])] == ["a"]


def test_the_picture_has_every_run_in_every_panel_and_seeds_share_a_colour():
    curves = [curve("GRPO", (1, 8, 64)), curve("AMIR", (1, 8, 64)), curve("AMIR", (1, 8, 64))]
    with charts.chart_style():
        figure = charts.pass_at_k_courses(curves, [8, 64])
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [
        "pass@1 over steps",
        "pass@8 over steps",
        "pass@64 over steps",
        "pass@8 against pass@1",
        "pass@64 against pass@1",
    ]
    for axis in shown:
        # One dot alone is the start or the end of a line.
        grpo, *amir = [line.get_color() for line in axis.lines if len(line.get_xdata()) > 1]
        assert amir[0] == amir[1] != grpo
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["GRPO", "AMIR"]


def test_noise_does_not_fill_a_panel():
    flat = PassCurve("a", np.array([0, 1]), {1: np.array([0.100, 0.101]), 8: np.array([0.5, 0.502])})
    with charts.chart_style():
        figure = charts.pass_at_k_courses([flat], [8])
    low, high = figure.axes[1].get_ylim()
    assert high - low >= 0.1 - 1e-9  # rounding of the limits alone


def test_the_report_takes_further_runs_and_names_one_that_is_missing(tmp_path, capsys):
    for name in ("grpo", "amir", "lr=1e-4"):
        for step in (0, 10):
            dump(tmp_path / name, step, [1, 2, 0], samples=8)
    runs = [str(tmp_path / "grpo"), str(tmp_path / "amir")]
    also = [str(tmp_path / "lr=1e-4"), f"entropy={tmp_path / 'grpo'}"]
    assert report.main([*runs, "--also", *also, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert (tmp_path / "out" / "pass_at_k.png").exists() and "One try and many" in page
    assert "No pass@k over training" not in page
    assert report.main([*runs, "--also", "x=/no/such", "--out", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == "report: --also /no/such: no such run directory\n"


def test_the_report_says_where_no_course_can_be_drawn(tmp_path):
    for name in ("grpo", "amir"):
        dump(tmp_path / name, 10, [1, 2, 0], samples=8)
    runs = [str(tmp_path / "grpo"), str(tmp_path / "amir")]
    assert report.main([*runs, "--out", str(tmp_path / "out")]) == 0
    assert "No pass@k over training" in (tmp_path / "out" / "index.html").read_text()
