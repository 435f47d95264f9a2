"""The study's analysis, on curves whose answer is known, and its page against its rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.study.claims import CLAIMS, Claim
from benchmarks.study.frontier import (
    against_first,
    at_accuracy,
    at_equal_accuracy,
    at_equal_steps,
    common_accuracy,
    holm,
    student,
)
from benchmarks.study.report import PAGE, fill_page, read_rows, write_pictures
from benchmarks.study.tables import TABLES, agreement, claims, frontier, rates, reporting, rows_of, tuning

SEEDS = (2, 3, 4, 5, 6)


def run(arm, seed, accuracy, kept, task="countdown"):
    """A run whose pass@8 falls from 0.6 by `kept` for each unit of pass@1."""
    accuracy = np.asarray(accuracy)
    left = 0.6 - kept * (accuracy - accuracy[0])
    zeros = dict.fromkeys(("distinct_right", "lost", "gained", "entropy", "unlikely_right", "margin"), 0.0)
    return pd.DataFrame(
        {"task": task, "reward": "right_wrong", "arm": arm, "seed": seed}
        | {"step": 100 * np.arange(len(accuracy)), "pass@1": accuracy}
        | {"pass@8": left, "pass@64": left + 0.3, **zeros}
    )


def two_arms(noise=0.0):
    """GRPO is faster and loses 2 points of pass@8 a point of pass@1, the other arm 1."""
    runs = []
    for seed in SEEDS:
        shift = noise * (seed - 4)
        runs.append(run("grpo", seed, [0.10, 0.20, 0.30], 2.0 + shift))
        runs.append(run("chosen_b2_r3", seed, [0.10, 0.15, 0.20], 1.0))
    return pd.concat(runs, ignore_index=True)


@given(st.floats(0.11, 0.29))
def test_a_straight_curve_is_read_between_its_evaluations(accuracy):
    curve = run("grpo", 2, [0.10, 0.20, 0.30], 2.0)
    found = at_accuracy(curve["pass@1"].tolist(), curve["pass@8"].tolist(), accuracy)
    assert found == pytest.approx(0.6 - 2.0 * (accuracy - 0.10), abs=1e-9)


def test_a_curve_is_read_where_it_first_reaches_an_accuracy():
    assert at_accuracy([0.1, 0.3, 0.2, 0.3], [0.6, 0.4, 0.1, 0.0], 0.25) == pytest.approx(0.45)
    assert at_accuracy([0.1, 0.3], [0.6, 0.4], 0.05) == pytest.approx(0.6)
    assert np.isnan(at_accuracy([0.1, 0.3], [0.6, 0.4], 0.35))
    assert common_accuracy([0.1, 0.3, 0.2], [0.1, 0.15, 0.25]) == 0.25


def test_arms_are_compared_at_the_accuracy_that_both_reach():
    found = at_equal_accuracy(two_arms(), "chosen_b2_r3", "grpo", "pass@8")
    assert found.accuracy == pytest.approx(0.20)
    assert found.mean == pytest.approx(0.10)  # 0.6 - 0.1 less 0.6 - 0.2
    assert found.seeds == len(SEEDS)
    # At the last step GRPO is further: it has lost four times as much.
    assert at_equal_steps(two_arms(), "chosen_b2_r3", "grpo", "pass@8").mean == pytest.approx(0.30)
    assert at_equal_steps(two_arms(), "chosen_b2_r3", "grpo", "pass@1").mean == pytest.approx(-0.10)
    assert against_first(two_arms(), "grpo", "pass@64").mean == pytest.approx(-0.40)


def test_a_longer_run_is_compared_over_the_steps_that_both_have():
    rows = pd.concat([two_arms(), run("chosen_b2_r3", 2, [0.10, 0.15, 0.20, 0.28], 1.0).iloc[3:]])
    found = at_equal_accuracy(rows, "chosen_b2_r3", "grpo", "pass@8")
    assert found.accuracy == pytest.approx(0.20)


def test_seeds_without_a_partner_are_left_out():
    rows = two_arms()
    rows = rows[(rows["seed"] != 6) | (rows["arm"] == "grpo")]
    assert at_equal_accuracy(rows, "chosen_b2_r3", "grpo", "pass@8").seeds == 4


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=8, unique=True))
def test_the_interval_is_students(values):
    found = student(values)
    wanted = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    # The interval leaves 0 out exactly where p is below 0.05.
    if abs(found.p - 0.05) > 1e-6:
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)


def test_a_difference_needs_two_finite_seeds():
    for values in ([0.1], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="two seeds"):
            student(values)


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferronis(p_values):
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1.0, p * len(p_values)) + 1e-12
    order = np.argsort(p_values)
    assert all(np.diff(np.array(corrected)[order]) >= 0)


def test_a_claim_holds_is_refuted_or_stays_open():
    claim = Claim("1", "", "countdown", "chosen_b2_r3", "grpo", "pass@8", "higher")
    clear, contrary, unclear = ([0.10, 0.11, 0.12], [-0.10, -0.11, -0.12], [0.1, -0.1, 0.2])
    for values, wanted in ((clear, "holds"), (contrary, "refuted"), (unclear, "open")):
        assert claim.verdict(student(values), 0.01 if values is clear else 0.5) == wanted
    assert claim.verdict(student(clear), 0.2) == "open"  # clear alone, not among so many
    kept = Claim("1", "", "countdown", "chosen_b2_r3", None, "pass@64", "not lower")
    assert kept.verdict(student([0.00, 0.01, -0.01]), 1.0) == "holds"
    assert kept.verdict(student([0.0, 0.1, -0.1]), 1.0) == "open"
    assert kept.verdict(student(contrary), 0.01) == "refuted"
    grown = Claim("1", "", "search", "chosen_b2_r3", "grpo", "tokens_wrong", "not higher", slack=1.0)
    assert grown.verdict(student([0.0, 0.1, -0.1]), 1.0) == "holds"
    assert grown.verdict(student([0.0, 1.0, -1.0]), 1.0) == "open"
    assert grown.verdict(student([2.0, 2.1, 1.9]), 0.01) == "refuted"


def test_the_claims_table_says_what_was_not_run():
    table = claims(two_arms(noise=0.1), "countdown")
    *lines, _, last = table.splitlines()
    cells = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    assert cells["C3a"].rstrip(" |").endswith("holds") and "+10.0" in cells["C3a"]
    missing = last.removeprefix("Not run: ").rstrip(".").split(", ")
    assert "C2a" in missing and "C3a" not in missing
    table_of = ("countdown", "right_wrong", "first")
    of_the_task = [claim.key for claim in CLAIMS if (claim.task, claim.setting, claim.round) == table_of]
    assert sorted([*missing, *cells]) == sorted(of_the_task)
    # Another reward has claims of its own, whose number does not count here.
    assert "G3a" in claims(two_arms(noise=0.1).assign(reward="graded"), "countdown", "graded")


def test_lengths_are_shown_in_tokens():
    rows = two_arms().assign(task="search", tokens_right=12.0, tokens_wrong=14.0, cut_off=0.25)
    rows.loc[rows["arm"] == "chosen_b2_r3", "arm"] = "both_b5_r1"
    rows.loc[rows["arm"] == "both_b5_r1", "tokens_wrong"] += 0.01 * rows["seed"] + 2
    assert "| 5 | 12.0 | 14.0 | 25.0% |" in TABLES["lengths"](rows, "search")
    line = next(line for line in claims(rows, "search").splitlines() if line.startswith("| S23a "))
    assert "**+2.0 [+2.0, +2.1]**" in line and line.endswith("| refuted |")


def test_verls_runs_are_compared_with_the_loops_seed_by_seed():
    loop = two_arms(noise=0.1)
    verls = loop[(loop["arm"] == "grpo") & (loop["seed"] < 5)].assign(task="countdown_verl")
    verls["pass@1"] += 0.01 * (verls["seed"] - 2)  # 0, 1 and 2 points above
    table = agreement(pd.concat([loop, verls]), "countdown", "countdown_verl").splitlines()
    assert table[0].startswith("| countdown, step 200 | seeds | pass@1 |")
    assert table[2].startswith("| GRPO | 3 | 31.0%, +1.0 [-1.5, +3.5] |")


def test_tuning_seeds_report_nothing():
    rows = pd.concat([two_arms(), run("grpo", 0, [0.1, 0.2, 0.3], 2.0)])
    assert set(reporting(rows)["seed"]) == set(SEEDS)
    assert set(tuning(rows)["seed"]) == {0}


def test_what_all_arms_of_a_setting_have_in_their_names_is_its_heading():
    one, four, fast = two_arms(), two_arms(), two_arms()
    four["arm"] += "+updates_4"
    four["pass@1"] += 0.02
    fast["arm"] += "+lr_4e-4"
    fast["pass@1"] += 0.03
    rows = pd.concat([one, four, fast, one.assign(reward="noisy")])
    for setting, wanted in (("right_wrong", one), ("four_updates", four), ("high_rate", fast)):
        found = rows_of(rows, "countdown", setting)
        assert found["pass@1"].tolist() == wanted["pass@1"].tolist()
        assert set(found["arm"]) == {"grpo", "chosen_b2_r3"}
    assert "| countdown, four updates |" in frontier(rows, "countdown", "four_updates")
    # Among the settings that were tuned a learning rate is one of many.
    table = TABLES["tuning"](rows.assign(seed=rows["seed"] % 2), "countdown")
    assert "| GRPO, learning rate 4e-4 |" in table and "updates" not in table


def test_rates_are_compared_at_a_step_that_all_have():
    parts = [two_arms(noise=0.1)]
    for rate, gain in (("2e-4", 0.01), ("4e-4", 0.02)):
        fast = two_arms(noise=0.1)
        fast.loc[fast["arm"] == "grpo", "pass@8"] -= gain
        parts.append(fast[fast["step"] < 200].assign(arm=fast["arm"] + f"+lr_{rate}"))
    lines = rates(pd.concat(parts), "countdown", "chosen_b2_r3").splitlines()
    # At step 100 GRPO has gained 10 points of pass@1 for 20 of pass@8, the other 5 for 5.
    assert lines[0].startswith("| countdown, step 100: learning rate |")
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    assert [line[1] for line in cells] == ["1e-4", "", "2e-4", "", "4e-4", ""]
    assert [line[3].split()[0] for line in cells[1::2]] == ["-5.0"] * 3
    assert [line[4].split()[0] for line in cells[1::2]] == ["+15.0", "+16.0", "+17.0"]


def test_pictures_are_drawn(tmp_path):
    written = write_pictures(two_arms(noise=0.1), tmp_path)
    assert [path.name for path in written] == ["countdown.png"]
    assert written[0].stat().st_size > 10_000


def test_a_page_that_asks_for_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="no table 'ages'"):
        fill_page("<!-- table: ages -->\n<!-- end -->", two_arms())
    with pytest.raises(ValueError, match="no parquet"):
        read_rows(PAGE.parent / "nowhere")
