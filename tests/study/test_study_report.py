"""Differences, tables and pictures of the study, on rows made by hand and on the rows of docs/study."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.study.__main__ import add_row, read_rows
from benchmarks.study.differences import paired_difference
from benchmarks.study.report import EMPTY_PAGE, PAGE, RUNS, fill_page, shared_seeds, write_pictures
from benchmarks.study.tables import TABLES, figures
from benchmarks.study.training import Length


def row(arm, seed, last, *, cell="easy-20-right_wrong", trainer="verl"):
    curve = [0.2, 0.3, last]
    steps = np.linspace(0, 1, 30).astype(np.float32)
    return {
        "trainer": trainer,
        "cell": cell,
        "arm": arm,
        "seed": seed,
        "num_steps": 30,
        "steps": [0, 15, 30],
        **{name: curve for name in ("pass@1", "pass@2", "pass@4", "pass@8", "maj@8")},
        "length_right": [19.0, 19.5, 20.0],
        "length_wrong": [19.0, 19.5, 21.0],
        "solved_first_P": np.array([0, 1, 8, 0], dtype=np.uint8),
        "solved_last_P": np.array([3, 0, 8, 0], dtype=np.uint8),
        **{
            name: steps
            for name in ("entropy", "margin", "grad_ratio", "cos_policy", "beta_spread", "train_reward")
        },
        "seconds_a_step": 2.0,
        "greedy_accuracy": last,
        "held_out_margin": 0.1,
    }


def rows_of(gains, *, trainer="verl"):
    """GRPO ends at 0.5 for every seed, AMIR at 0.5 + gain."""
    found = [row("grpo", seed, 0.5, trainer=trainer) for seed in range(len(gains))]
    amir = [row("amir_b5_r1", seed, 0.5 + gain, trainer=trainer) for seed, gain in enumerate(gains)]
    return pd.DataFrame(found + amir)


@pytest.mark.parametrize(
    "gains, verdict, above",
    [
        ([0.10, 0.12, 0.08, 0.11, 0.09], "higher", 5),
        ([-0.10, -0.12, -0.08, -0.11, -0.09], "lower", 0),
        ([0.10, -0.12, 0.08, -0.11, 0.02], "no claim", 3),
        # The bootstrap of five seeds leaves 0 out here, Student's interval does not.
        ([0.01, 0.01, 0.01, 0.30, 0.30], "no claim", 5),
        ([0.10, 0.11, 0.12], "too few seeds", 3),
    ],
)
def test_a_claim_needs_both_intervals_and_five_seeds(gains, verdict, above):
    found = paired_difference(figures(rows_of(gains)), "amir_b5_r1", "grpo", "accuracy")
    assert found.mean == pytest.approx(np.mean(gains))
    assert (found.verdict, found.above, found.seeds) == (verdict, above, len(gains))
    assert found.low <= found.mean <= found.high and found.t_low <= found.mean <= found.t_high


def test_only_seeds_that_both_arms_have_count():
    rows = rows_of([0.1, 0.1, 0.1])
    rows = rows[~((rows["arm"] == "grpo") & (rows["seed"] == 2))]
    assert paired_difference(figures(rows), "amir_b5_r1", "grpo", "accuracy").seeds == 2
    assert paired_difference(figures(rows), "amir_b5_r1", "gspo", "accuracy") is None


def test_tables_show_the_seeds_that_all_arms_of_a_cell_have():
    rows = rows_of([0.1, 0.1, 0.1])
    other_cell = pd.DataFrame([row("grpo", 7, 0.5, cell="hard-60-graded")])
    cut = pd.concat([rows[~((rows["arm"] == "grpo") & (rows["seed"] == 2))], other_cell])
    assert sorted(zip(shared_seeds(cut)["arm"], shared_seeds(cut)["seed"], strict=True)) == [
        ("amir_b5_r1", 0),
        ("amir_b5_r1", 1),
        ("grpo", 0),
        ("grpo", 1),
        ("grpo", 7),
    ]


def test_coverage_counts_problems_solved_at_least_once():
    found = figures(rows_of([0.0])).iloc[0]
    assert (found["base_solved"], found["kept"], found["lost"], found["gained"]) == (0.5, 0.5, 0.25, 0.25)
    assert found["accuracy_over_run"] == pytest.approx(0.4)


def test_a_page_is_filled_between_its_marks_and_nowhere_else(tmp_path):
    rows = rows_of([0.10, 0.12, 0.08, 0.11, 0.09])
    page = fill_page("Before.\n" + EMPTY_PAGE + "After.", rows)
    assert page.startswith("Before.\n") and page.endswith("After.")
    assert "**+10.0 [" in page and "5/5**" in page
    assert fill_page(page, rows) == page
    with pytest.raises(ValueError, match="no table 'costs'"):
        fill_page("<!-- table: costs -->\n<!-- end -->", rows)
    write_pictures(rows, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"entropies", "learning", "margins"}
    write_pictures(rows.assign(trainer="loop"), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"entropies", "learning", "margins", "differences"}


def test_the_two_trainers_are_never_mixed():
    rows = pd.concat([rows_of([0.1] * 5), rows_of([-0.2] * 4, trainer="loop")])
    page = fill_page(EMPTY_PAGE, rows)
    tables = dict(zip(TABLES, page.split("<!-- end -->"), strict=False))
    assert "+10.0" in tables["differences"] and "-20.0" not in tables["differences"]
    assert "-20.0 [-20.0, -20.0] 0/4" in tables["scan"] and "+10.0" not in tables["scan"]
    (amir,) = (line for line in tables["agreement"].splitlines() if "AMIR" in line)
    cells = [cell.strip() for cell in amir.split("|")]
    assert cells[3:6] == ["4", "60.0", "30.0"]  # the seeds that both have: verl 0.5 + 0.1, loop 0.5 - 0.2


def test_rows_are_kept_whole_and_of_one_length(tmp_path):
    path = tmp_path / "runs.parquet"
    add_row(path, row("paper", 1, 0.5))
    add_row(path, row("grpo", 0, 0.4))
    add_row(path, row("grpo", 0, 0.3, trainer="loop"))
    rows = read_rows(path, Length(30, 15))
    assert list(zip(rows["trainer"], rows["arm"], strict=True)) == [
        ("loop", "grpo"),
        ("verl", "grpo"),
        ("verl", "paper"),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["runs.parquet"]
    with pytest.raises(ValueError, match="runs of 30 steps, not 100"):
        read_rows(path, Length(100, 20))
    with pytest.raises(ValueError, match="validated every 15 steps, not 10"):
        read_rows(path, Length(30, 10))


def test_no_mean_over_validations_at_different_steps():
    rows = rows_of([0.1] * 5)
    other = rows[rows["arm"] == "grpo"].assign(arm="grpo_kl0.1", steps=[[0, 20, 30]] * 5)
    table = figures(pd.concat([rows, other], ignore_index=True))
    assert table["accuracy_over_run"].isna().equals(table["arm"] == "grpo_kl0.1")
    assert not table["accuracy"].isna().any()


def test_the_tables_of_the_page_are_those_of_its_runs():
    page = PAGE.read_text()
    assert fill_page(page, pd.read_parquet(RUNS)) == page
