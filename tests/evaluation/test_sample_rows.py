"""Rows of every understood file become one table, and a bad row is named."""

import json

import numpy as np
import pandas as pd
import pytest

from amir_verl.evaluation.metrics.summary import format_summary, problem_rates, summarise
from amir_verl.evaluation.sampling.samples import COLUMNS, read_samples


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def verl(uid, **more):
    return {"input": "user\n1+1", "output": "it is 2", "gts": "2", "score": 1.0, "step": 3, "uid": uid} | more


def test_verl_dumps_of_two_validations_share_problem_ids_though_their_uids_differ(tmp_path):
    first = read_samples(write(tmp_path / "3.jsonl", [verl("aaa_0_0", acc=1.0), verl("aaa_1_0", acc=0.0)]))
    second = read_samples(
        write(tmp_path / "6.jsonl", [verl("bbb_0_0", acc=1.0), verl("bbb_1_0", gts="3", acc=0.0)])
    )
    assert list(first.columns) == list(COLUMNS)
    assert first["correct"].tolist() == [1, 0]
    assert first["prompt_id"].nunique() == 1
    assert (first["prompt_id"][0] == second["prompt_id"]).tolist() == [
        True,
        False,
    ]  # another answer, another problem


def test_only_the_last_output_of_a_verl_session_counts(tmp_path):
    rows = [
        verl("a_0_0", acc=0, output="draft"),
        verl("a_0_10", acc=1, output="final"),
        verl("a_0_2", acc=0),
        verl("a_1_0", acc=0),
    ]
    samples = read_samples(write(tmp_path / "1.jsonl", rows))
    assert samples["sample_id"].tolist() == ["a_0_10", "a_1_0"]
    assert samples["correct"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("row", "correct"),
    [
        ({"prompt_id": "p", "correct": True}, 1),
        ({"problem_id": 7, "acc": 0.0}, 0),
        ({"question_id": "q", "is_correct": 1}, 1),
        ({"id": 3, "score": 1.0}, 1),
        ({"id": 3, "acc": None, "score": 0}, 0),
    ],
)
def test_any_jsonl_with_a_prompt_id_and_a_correctness(tmp_path, row, correct):
    samples = read_samples(write(tmp_path / "rows.jsonl", [row]))
    assert samples["correct"].tolist() == [correct]
    assert samples["response"].tolist() == [""]
    assert np.isnan(samples["length"][0])


def test_ids_that_count_from_one_in_every_set_are_kept_apart(tmp_path):
    rows = [{"id": 1, "acc": 1, "data_source": source} for source in ("aime25", "amc23")]
    assert read_samples(write(tmp_path / "rows.jsonl", rows))["prompt_id"].tolist() == ["aime25/1", "amc23/1"]


def test_own_names_and_a_threshold(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"q": "a", "ok": 1}, {"q": "b", "ok": 0}])
    assert read_samples(path, prompt_key="q", correct_key="ok")["prompt_id"].tolist() == ["a", "b"]
    graded = write(tmp_path / "graded.jsonl", [{"id": 1, "score": 2.5}, {"id": 1, "score": 0.5, "acc": 1}])
    assert read_samples(graded, threshold=2.0)["correct"].tolist() == [1, 0]


def test_length_truncation_and_confidence(tmp_path):
    rows = [
        {"id": 1, "acc": 1, "response": "abcd", "length": 2, "finish_reason": "length", "confidence": 0.9},
        {"id": 1, "acc": 0, "output": "abc", "truncated": False, "confidence": 7},
        {"id": 1, "acc": 0, "confidence": 0.0, "confidence_given": 0.0},
    ]
    samples = read_samples(write(tmp_path / "rows.jsonl", rows))
    assert samples["length"].tolist()[:2] == [2.0, 3.0]
    assert samples["length_unit"].tolist()[:2] == ["tokens", "characters"]
    assert samples["truncated"].tolist() == [True, False, None]
    assert samples["confidence"][0] == 0.9
    assert np.isnan(samples["confidence"][1:]).all()  # 7 is no confidence, and the third stated none


def test_parquet_rows_survive_the_round_trip(tmp_path):
    samples = read_samples(
        write(tmp_path / "1.jsonl", [verl("a_0_0", acc=1.0), verl("a_1_0", acc=0.0, pred="3")])
    )
    samples.to_parquet(tmp_path / "samples.parquet")
    again = read_samples(tmp_path / "samples.parquet")
    pd.testing.assert_frame_equal(again, samples, check_dtype=False)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1, "acc": 1}, "{broken"], r"row 2: not valid JSON"),
        (["[1, 2]"], r"row 1: is list, expected an object"),
        (["[" * 100_000], r"row 1: JSON that cannot be read"),
        ([{"id": 1}], r"row 1: no correctness: expected one of correct, acc"),
        ([{"id": 1, "acc": 1}, {"acc": 1}], r"row 2: no prompt id: expected one of prompt_id"),
        ([{"id": 1, "score": 0.5}], r"row 1: score is 0\.5, but correctness is 0 or 1"),
        ([{"id": 1, "acc": "yes"}], r"row 1: acc is 'yes'"),
        ([{"id": 1, "acc": 10**400}], r"row 1: acc is 1000"),
        ([], r"has no rows"),
    ],
)
def test_bad_files_are_one_line_naming_file_and_row(tmp_path, rows, message):
    path = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(ValueError, match=message) as error:
        read_samples(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_false_parquet_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_samples(tmp_path / "none.jsonl")
    (tmp_path / "rows.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValueError, match=r"rows\.parquet: not readable as parquet"):
        read_samples(tmp_path / "rows.parquet")


def rows_of(*problems):
    return pd.DataFrame(
        [
            {"prompt_id": p, "pred": pred, "correct": int(pred == "r"), "length": 10.0 * len(pred or "none")}
            | {"length_unit": "tokens", "truncated": pred is None, "confidence": 0.5}
            for p, preds in problems
            for pred in preds
        ]
    )


def test_summary_of_a_hand_counted_table():
    samples = rows_of(("p", ["r", "r", "w", None]), ("q", ["w", "w", "w", "r"]))
    summary = summarise(samples)
    assert summary.rates["pass@1"].mean == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert summary.rates["pass@2"].mean == pytest.approx(((1 - 1 / 6) + (1 - 3 / 6)) / 2)
    assert summary.rates["pass@4"].mean == pytest.approx(1.0)
    assert summary.rates["maj@4"].mean == pytest.approx(0.5)
    assert "pass@8" not in summary.rates
    assert summary.truncation_share == pytest.approx(1 / 8)
    assert summary.mean_length_correct == pytest.approx(10.0)
    assert summary.mean_length_wrong == pytest.approx((4 * 10 + 40) / 5)
    assert summary.calibration.brier == pytest.approx(0.25)


def test_k_needs_samples_in_half_of_the_problems_and_counts_those_that_have_them():
    samples = rows_of(("p", ["r", "w"]), ("q", ["r"]), ("s", ["r", "r", "w", "w"]))
    table = problem_rates(samples)
    assert "pass@4" not in table.columns
    assert table["pass@2"].dropna().to_dict() == {"p": 1.0, "s": pytest.approx(1 - 1 / 6)}
    assert summarise(samples).rates["pass@2"].num_problems == 2


def test_plain_table_has_aligned_columns():
    samples = rows_of(*[(str(i), ["r", "w"]) for i in range(30)])
    text = format_summary({"aime25": summarise(samples), "all": summarise(samples)})
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "50.0 [50.0, 50.0]" in lines[1] and lines[1].startswith("aime25")
