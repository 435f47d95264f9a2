"""The six sets at hand, whole, through the script a user runs, and then through verl's own dataset class."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from amir_verl.cli import prepare
from amir_verl.data.registry import MATH_SETS
from reward_fns.prompts import SYSTEM_PROMPTS

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = {
    "gsm8k": "gsm8k",
    "aime24": "aime24",
    "amc23": "amc23",
    "minervamath": "minerva_math",
    "olympiadbench": "olympiadbench",
    "aquarat": "aqua",
}
ROWS = {
    "gsm8k_train": 7473,
    "gsm8k_test": 1319,
    "aime24_test": 30,
    "amc23_test": 40,
    "minervamath_test": 272,
    "olympiadbench_test": 675,
    "aquarat_test": 254,
}


def _run(*arguments):
    command = [sys.executable, str(REPOSITORY / "scripts" / "prepare_data.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def prepared(shared_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    printed = {}
    for name, folder in FOLDERS.items():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert prepare.main([name, "--source", str(shared_data / folder), "--out", str(out)]) == 0
        printed[name] = said.getvalue()
    return out, printed


def _rows(path):
    return pyarrow.parquet.read_table(path).to_pylist()


def _source(shared_data, name, split="test"):
    lines = (shared_data / FOLDERS[name] / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("file", ROWS)
def test_every_row_is_there(prepared, file):
    rows = _rows(prepared[0] / f"{file}.parquet")
    name, split = file.split("_")
    assert len(rows) == ROWS[file]
    assert [row["extra_info"]["index"] for row in rows] == list(range(ROWS[file]))
    assert {row["extra_info"]["split"] for row in rows} == {split}
    assert {row["data_source"] for row in rows} == {name}
    assert {row["reward_model"]["style"] for row in rows} == {"rule"}
    assert {row["extra_info"]["answer_kind"] for row in rows} == {MATH_SETS[name].answer_kind}
    for row in rows:
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert row["prompt"][0]["content"] == SYSTEM_PROMPTS["plain"]
        assert row["prompt"][1]["content"].strip() and row["reward_model"]["ground_truth"].strip()


def test_the_counts_and_findings_are_printed(prepared):
    out, printed = prepared
    assert f"train: 7473 rows -> {out / 'gsm8k_train.parquet'}\n  duplicates: 0\n" in printed["gsm8k"]
    assert "overlap: 0 questions of gsm8k_train.parquet are in gsm8k_test.parquet" in printed["gsm8k"]
    assert "overlap: 0 questions of gsm8k_train.parquet are in aquarat_test.parquet" in printed["aquarat"]
    assert "675 rows in the source, 674 where it was published" in printed["olympiadbench"]


def test_gsm8k_answers_are_plain_numbers(prepared, shared_data):
    rows = _rows(prepared[0] / "gsm8k_train.parquet")
    source = _source(shared_data, "gsm8k", "train")
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", row["reward_model"]["ground_truth"]) for row in rows)
    for row, published in zip(rows, source, strict=True):
        assert row["prompt"][1]["content"] == published["question"].strip()
        assert published["answer"].replace(",", "").endswith(row["reward_model"]["ground_truth"])


@pytest.mark.parametrize("name", ["aime24", "amc23"])
def test_contest_answers_are_the_same_integers(prepared, shared_data, name):
    rows = _rows(prepared[0] / f"{name}_test.parquet")
    published = [row["answer"] for row in _source(shared_data, name)]
    answers = [row["reward_model"]["ground_truth"] for row in rows]
    assert answers == [str(int(answer)) for answer in published]


def test_minerva_answers_are_boxed_in_the_solution(prepared, shared_data):
    rows = _rows(prepared[0] / "minervamath_test.parquet")
    for row, published in zip(rows, _source(shared_data, "minervamath"), strict=True):
        answer = row["reward_model"]["ground_truth"]
        assert re.search(r"\\boxed\s*\{\s*" + re.escape(answer) + r"\s*\}", published["solution"])
        assert answer.count("{") == answer.count("}")


def test_olympiadbench_keeps_what_scoring_needs(prepared, shared_data):
    rows = _rows(prepared[0] / "olympiadbench_test.parquet")
    source = _source(shared_data, "olympiadbench")
    assert [row["reward_model"]["ground_truth"] for row in rows] == [
        row["final_answer"][0].strip() for row in source
    ]
    infos = [row["extra_info"] for row in rows]
    assert [info["multiple_answers"] for info in infos] == [row["is_multiple_answer"] for row in source]
    assert sum(info["multiple_answers"] for info in infos) == 94
    assert sum(info["unit"] is not None for info in infos) == 8
    assert [(info["unit"], info["tolerance"]) for info in infos if info["tolerance"] is not None] == [
        ("%", 0.1)
    ]


def test_aqua_options_stand_in_the_question_and_beside_the_letter(prepared, shared_data):
    rows = _rows(prepared[0] / "aquarat_test.parquet")
    for row, published in zip(rows, _source(shared_data, "aquarat"), strict=True):
        options = row["extra_info"]["options"]
        assert [re.sub(r"^[A-E]\)\s*", "", option).strip() for option in published["options"]] == options
        letter = row["reward_model"]["ground_truth"]
        assert letter == published["correct"]
        question = row["prompt"][1]["content"]
        assert question.startswith(published["question"].strip())
        assert f"\n({letter}) {options[ord(letter) - ord('A')]}" in question


def test_verl_reads_all_sets_as_one(prepared):
    rl_dataset = pytest.importorskip("verl.utils.dataset.rl_dataset", reason="verl is not installed")
    from omegaconf import OmegaConf

    files = [str(prepared[0] / f"{file}.parquet") for file in ROWS]
    config = OmegaConf.create({"filter_overlong_prompts": False, "cache_dir": str(prepared[0] / "cache")})
    dataset = rl_dataset.RLHFDataset(files, tokenizer=None, config=config)
    assert len(dataset) == sum(ROWS.values())
    last = dataset[len(dataset) - 1]
    assert last["raw_prompt"][-1]["role"] == "user"
    assert last["index"] == ROWS["aquarat_test"] - 1
    assert len(last["extra_info"]["options"]) == 5
    assert dataset[0]["reward_model"]["ground_truth"] == "72"


def test_calibrated_and_limited(shared_data, tmp_path):
    run = _run("aime24", "--source", shared_data / "aime24", "--out", tmp_path, "--calibrated", "--limit", 3)
    assert run.returncode == 0, run.stderr
    rows = _rows(tmp_path / "aime24_test.parquet")
    assert len(rows) == 3
    assert {row["prompt"][0]["content"] for row in rows} == {SYSTEM_PROMPTS["calibrated"]}
    assert "stopped at --limit 3" in run.stdout


def test_a_user_error_is_one_line(tmp_path):
    for arguments, message in [
        (["gsm9k", "--out", tmp_path], "prepare_data: unknown set 'gsm9k', expected one of gsm8k, math,"),
        (
            ["gsm8k", "--source", tmp_path / "no", "--out", tmp_path],
            f"prepare_data: {tmp_path / 'no'}: no such",
        ),
        (
            ["gsm8k", "--source", tmp_path, "--out", tmp_path],
            f"prepare_data: {tmp_path}: holds no train.jsonl",
        ),
    ]:
        run = _run(*arguments)
        assert run.returncode == 1
        assert run.stderr.startswith(message) and run.stderr.count("\n") == 1
