"""Two runs compared problem by problem, from the files verl writes to the page."""

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amir_verl.cli import report as report_command
from amir_verl.evaluation.comparison.compare import compare, correct_minus_wrong_margin
from amir_verl.evaluation.comparison.run_files import load_run, read_metrics

ROOT = Path(__file__).resolve().parents[2]


def frame(counts: dict[str, tuple[int, int]], **more) -> pd.DataFrame:
    """Problem -> (correct, wrong) samples."""
    rows = [
        {"prompt_id": p, "correct": c, "pred": str(c), "response": f"{p} {c}", "prompt": p, "length": 5.0}
        | {
            "length_unit": "tokens",
            "truncated": None,
            "data_source": p[0],
            "confidence": np.nan,
            "logprob_mean": np.nan,
        }
        | more
        for p, (right, wrong) in counts.items()
        for c in [1] * right + [0] * wrong
    ]
    return pd.DataFrame(rows)


def test_coverage_counts_who_solves_what_and_splits_by_the_base():
    base = frame({"p": (1, 1), "q": (0, 2), "r": (0, 2), "s": (2, 0)})
    a = frame({"p": (1, 1), "q": (1, 1), "r": (0, 2), "s": (0, 2)})
    b = frame({"p": (2, 0), "q": (0, 2), "r": (1, 1), "s": (0, 2)})
    found = compare(a, b, base)
    every = found.coverage["all problems"]
    assert (every.both, every.only_a, every.only_b, every.none) == (1, 1, 1, 1)
    assert every.p_value == pytest.approx(1.0)
    kept, new = found.coverage["solved by base"], found.coverage["not solved by base"]
    assert (kept.both, kept.only_a, kept.only_b, kept.none) == (1, 0, 0, 1)
    assert (new.both, new.only_a, new.only_b, new.none) == (0, 1, 1, 0)
    assert found.only_a["prompt_id"].tolist() == ["q"] and found.only_b["response"].tolist() == ["r 1"]


def test_only_shared_problems_are_compared_and_the_rest_is_counted():
    a = frame({str(i): (1, 1) for i in range(40)})
    b = frame({str(i): (2, 0) for i in range(10, 60)})
    found = compare(a, b)
    assert found.num_problems == 30
    assert found.left_out == {"a": 10, "b": 20}
    row = found.rates[0]
    assert row.name == "pass@1"
    assert (row.a.mean, row.b.mean, row.b_over_a.mean) == pytest.approx((0.5, 1.0, 0.5))
    assert row.b_over_a.verdict == "higher" and row.base is None


def test_rates_are_given_for_each_data_source_where_there_are_several():
    a = frame({f"{source}{i}": (1, 1) for source in "xy" for i in range(25)})
    b = frame({f"{source}{i}": (2, 0) if source == "x" else (1, 1) for source in "xy" for i in range(25)})
    found = compare(a, b)
    gains = {source: rows[0].b_over_a.mean for source, rows in found.rates_by_source.items()}
    assert gains == pytest.approx({"x": 0.5, "y": 0.0}, abs=1e-12)
    assert found.rates[0].b_over_a.mean == pytest.approx(0.25)
    one = compare(*(rows[rows["data_source"] == "x"] for rows in (a, b)))
    assert one.rates_by_source == {}


def test_a_gain_is_the_difference_of_the_means_it_stands_beside():
    a = frame({"p": (1, 1), "q": (2, 0), "r": (1, 0)})  # r has too few samples for pass@2 here, p and q not
    b = frame({"p": (0, 2), "q": (2, 0), "r": (2, 2)})
    row = next(row for row in compare(a, b).rates if row.name == "pass@2")
    assert (row.a.num_problems, row.b.num_problems) == (2, 2)
    assert row.b_over_a.mean == pytest.approx(row.b.mean - row.a.mean)


def test_runs_without_a_shared_problem_are_refused():
    with pytest.raises(ValueError, match="share no problem: 1, 2 problems"):
        compare(frame({"p": (1, 0)}), frame({"q": (1, 0), "r": (1, 0)}))


def test_margin_is_right_minus_wrong_per_problem():
    rows = frame({"p": (2, 1), "q": (1, 0), "r": (1, 1)})
    rows["logprob_mean"] = [-0.1, -0.3, -0.5, -0.2, -0.4, -0.1]
    assert correct_minus_wrong_margin(rows) == pytest.approx([0.3, -0.3])
    assert correct_minus_wrong_margin(frame({"p": (1, 1)})).size == 0


def test_a_run_directory_is_understood(make_run):
    run = load_run(make_run("grpo", 0.4))
    assert (run.name, run.step, run.first_step) == ("grpo", 5, 0)
    steps, values = run.metrics["critic/score/mean"]
    assert steps.tolist() == [1, 2, 3, 4, 5] and values[-1] == pytest.approx(0.5)
    assert "perf/none" not in run.metrics
    assert len(run.samples) == 240
    assert load_run(make_run("again", 0.4), first=True).step == 0


def test_rows_of_an_evaluation_are_preferred_to_the_dumps(make_run):
    directory = make_run("grpo", 0.4)
    rows = load_run(directory).samples.head(8)
    rows.to_parquet(directory / "samples.parquet")
    run = load_run(directory)
    assert len(run.samples) == 8 and run.step is None and "critic/score/mean" in run.metrics
    assert len(load_run(directory, step=0).samples) == 240


def test_a_torn_last_line_is_left_out_and_another_bad_line_is_named(tmp_path):
    good = json.dumps({"step": 1, "data": {"x": 1.0}})
    path = tmp_path / "metrics.jsonl"
    path.write_text(good + '\n{"step": 2, "da')
    assert read_metrics(path) == {1: {"x": 1.0}}
    path.write_text(good + "\nnonsense\n" + good + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, row 2: not a metrics record"):
        read_metrics(path)


def test_a_resumed_run_is_one_run_and_two_runs_in_one_place_are_refused(tmp_path):
    (tmp_path / "one.jsonl").write_text('{"step": 1, "data": {"x": 1}}\n')
    (tmp_path / "two.jsonl").write_text('{"step": 2, "data": {"x": 2}}\n')
    assert load_run(tmp_path).metrics["x"][1].tolist() == [1.0, 2.0]
    (tmp_path / "three.jsonl").write_text('{"step": 2, "data": {"x": 3}}\n')
    with pytest.raises(ValueError, match="both hold step 2"):
        load_run(tmp_path)


def test_dumps_of_training_rollouts_are_told_from_validation(make_run, tmp_path):
    run = make_run("grpo", 0.4)
    (run / "rollouts").mkdir()
    (run / "rollouts" / "9.jsonl").write_text((run / "validation" / "5.jsonl").read_text())
    assert load_run(run).step == 5
    (run / "validation").rename(run / "held_out")
    with pytest.raises(ValueError, match="several directories of dumps"):
        load_run(run)


@pytest.mark.parametrize("make", ["missing", "empty", "step"])
def test_what_is_not_there_is_one_line(tmp_path, make_run, make):
    if make == "missing":
        with pytest.raises(ValueError, match="no such run"):
            load_run(tmp_path / "none")
    elif make == "empty":
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="holds no metrics of verl"):
            load_run(tmp_path / "empty")
    else:
        with pytest.raises(ValueError, match=r"no validation dump of step 3, there are \[0, 5\]"):
            load_run(make_run("grpo", 0.4), step=3)


def report(*args: str | Path) -> subprocess.CompletedProcess:
    """The command in this process: its imports take longer than its work."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        status = report_command.main([str(argument) for argument in args])
    return subprocess.CompletedProcess(args, status, said.getvalue(), complained.getvalue())


def test_report_shows_base_both_runs_and_their_difference(make_run, tmp_path):
    more = {"confidence": 0.5, "length": 12}
    result = report(
        make_run("grpo", 0.3, **more), make_run("amir", 0.8, seed=1, **more), "--out", tmp_path / "out"
    )
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    pictures = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {
        "training_curves",
        "pass_at_k",
        "solve_rates",
        "coverage",
        "preference_margin",
        "length",
        "calibration",
    }
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "By data set" not in page
    assert "amir is higher." in page and "amir \u2212 base" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # self-contained
    table = page.split("<tbody>")[1].split("</tbody>")[0]
    rows = load_run(tmp_path / "amir").samples
    assert f"{100 * rows['correct'].mean():.1f}<span" in table


def test_report_says_when_runs_cannot_be_told_apart(make_run, tmp_path):
    report(
        make_run("a", 0.5, margin=False), make_run("b", 0.5, seed=1, margin=False), "--out", tmp_path / "same"
    )
    page = (tmp_path / "same" / "index.html").read_text()
    assert "not distinguishable." in page and "No run logs amir/margin" in page
    assert "No row states a confidence" in page
    report(make_run("c", 0.1, problems=9), make_run("d", 0.9, problems=9), "--out", tmp_path / "small")
    assert "9 problems are too few to tell" in (tmp_path / "small" / "index.html").read_text()


def test_report_lists_data_sets_and_escapes_everything_a_model_or_a_user_wrote(make_run, tmp_path):
    evil = '<script>alert("x")</script>\ud800$\\frac{'
    a = make_run("a", 0.0, problems=30)
    b = make_run("b", 1.0, problems=30, output=evil)
    for run in (a, b):
        dump = run / "validation" / "5.jsonl"
        rows = [json.loads(line) for line in dump.read_text().splitlines()]
        for row in rows:
            row["data_source"] = "aime25" if int(row["gts"]) % 2 else "amc<23>"
        dump.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = report(a, b, "--out", tmp_path / "out", "--names", "<img src=x>", "$\\frac{")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script" not in page and "<img src=x>" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page and "&lt;img src=x&gt;" in page
    assert "By data set" in page and ">aime25</td>" in page and ">amc&lt;23&gt;</td>" in page


def test_report_of_curves_alone_and_of_row_files_alone(make_run, tmp_path):
    a, b = make_run("a", 0.3), make_run("b", 0.6)
    files = report(a / "validation" / "5.jsonl", b / "validation" / "5.jsonl", "--out", tmp_path / "rows")
    assert files.returncode == 0, files.stderr
    assert "Neither run holds a metrics file" in (tmp_path / "rows" / "index.html").read_text()
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "metrics.jsonl").write_text((a / "metrics.jsonl").read_text())
    curves = report(tmp_path / "curves", b, "--out", tmp_path / "out")
    assert curves.returncode == 0, curves.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    assert "no sample rows of curves" in page and "Problems solved" not in page


def test_report_of_nothing_is_one_line(tmp_path):
    result = report(tmp_path / "x", tmp_path / "y", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert result.stderr.startswith("report: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
