"""Layouts on disk, the hub, duplicates, overlap, and files that appear whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet
import pytest

from amir_verl.data.author_formats import DAPO_CLOSING, DAPO_OPENING
from amir_verl.data.duplicates import question_key
from amir_verl.data.math_rows import MATH_SCHEMA
from amir_verl.data.prepare import overlap_lines, prepare
from amir_verl.data.registry import MATH_SETS
from amir_verl.data.sources import local_splits
from amir_verl.data.verl_parquet import staged_files, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]


def _lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _gsm(question, answer="1"):
    return {"question": question, "answer": f"#### {answer}"}


def _parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(rows).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "files", "source", "splits"),
    [
        ("gsm8k", ["train.jsonl", "test.jsonl"], ".", {"train": ["train.jsonl"], "test": ["test.jsonl"]}),
        ("gsm8k", ["gsm8k/train.jsonl"], ".", {"train": ["gsm8k/train.jsonl"]}),
        ("gsm8k", ["train.jsonl", "train_socratic.txt"], ".", {"train": ["train.jsonl"]}),
        ("gsm8k", ["train.jsonl", "test.jsonl"], "train.jsonl", {"train": ["train.jsonl"]}),
        ("gsm8k", ["mine.jsonl"], "mine.jsonl", {"test": ["mine.jsonl"]}),
        (
            "gsm8k",
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
            ".",
            {"train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]},
        ),
        (
            "math",
            ["MATH/train/algebra/10.json", "MATH/train/algebra/2.json", "MATH/test/geometry/1.json"],
            ".",
            {
                "train": ["MATH/train/algebra/2.json", "MATH/train/algebra/10.json"],
                "test": ["MATH/test/geometry/1.json"],
            },
        ),
        ("dapo_math_17k", ["data/dapo-math-17k.parquet"], ".", {"train": ["data/dapo-math-17k.parquet"]}),
        ("aquarat", ["train.json", "dev.json", "test.json"], ".", {"test": ["test.json"]}),
        (
            "aime25",
            ["aime2025-I.jsonl", "aime2025-II.jsonl"],
            ".",
            {"test": ["aime2025-I.jsonl", "aime2025-II.jsonl"]},
        ),
        (
            "livemathbench",
            ["LiveMathBench/AMC_cn.jsonl", "LiveMathBench/AMC_en.jsonl", "LiveMathBench/CNMO_en.jsonl"],
            ".",
            {"test": ["LiveMathBench/AMC_en.jsonl", "LiveMathBench/CNMO_en.jsonl"]},
        ),
    ],
)
def test_splits_of_a_layout(tmp_path, name, files, source, splits):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = local_splits(MATH_SETS[name], tmp_path / source)
    expected = {split: [tmp_path / file for file in members] for split, members in splits.items()}
    assert found == expected


def test_a_damaged_row_leaves_nothing_behind_and_the_old_files_whole(tmp_path):
    gsm8k, out = MATH_SETS["gsm8k"], tmp_path / "out"
    _lines(tmp_path / "train.jsonl", [_gsm("one"), _gsm("two")])
    prepare(gsm8k, source=tmp_path, out=out)
    before = (out / "gsm8k_train.parquet").read_bytes()
    _lines(tmp_path / "train.jsonl", [_gsm("other")])
    damaged = _lines(tmp_path / "test.jsonl", [_gsm("three"), {"question": "four"}])
    with pytest.raises(ValueError, match=r"test\.jsonl row 2: no field 'answer', found question") as error:
        prepare(gsm8k, source=tmp_path, out=out)
    assert str(error.value).startswith(f"{damaged} row 2")
    assert [path.name for path in out.iterdir()] == ["gsm8k_train.parquet"]
    assert (out / "gsm8k_train.parquet").read_bytes() == before


def test_staged_files_survive_only_a_block_that_ends_well(tmp_path):
    targets = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    with pytest.raises(KeyboardInterrupt), staged_files(targets) as staged:
        write_rows(staged[0], [], MATH_SCHEMA)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with staged_files(targets) as staged:
        for path in staged:
            write_rows(path, [], MATH_SCHEMA)
        assert not any(target.exists() for target in targets)
    assert sorted(tmp_path.iterdir()) == targets


QUESTIONS = [
    _gsm("What is $x$?", "1"),
    _gsm("What  is \\(x\\)?", "1"),
    _gsm("What is $x$?", "2"),
    _gsm("What is $X$?", "1"),
]


@pytest.mark.parametrize(("drop", "written"), [(False, 4), (True, 3)])
def test_duplicates_are_counted_and_dropped_only_when_asked(tmp_path, drop, written):
    _lines(tmp_path / "train.jsonl", QUESTIONS)
    (report,) = prepare(MATH_SETS["gsm8k"], source=tmp_path, out=tmp_path / "out", drop_duplicates=drop)
    assert (report.read, report.written) == (4, written)
    assert (report.seen.repeated, report.seen.conflicting) == (1, 1)
    text = "\n".join(report.lines(MATH_SETS["gsm8k"], limit=None, drop_duplicates=drop))
    assert f"duplicates: 1 ({'dropped' if drop else 'kept, --drop-duplicates drops them'})" in text
    assert "the same question with another answer: 1 (kept)" in text
    rows = pyarrow.parquet.read_table(report.path).to_pylist()
    assert [row["extra_info"]["index"] for row in rows] == list(range(written))


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("Find $x$.", "Find \\( x \\).", True),
        ("Find\nx.", "Find x.", True),
        ("Find x^2.", "Find x\u00b2.", False),
        ("Find -2.", "Find 2.", False),
        ("Find A.", "Find a.", False),
        ("caf\u00e9", "cafe\u0301", True),
    ],
)
def test_equal_questions(first, second, equal):
    assert (question_key(first) == question_key(second)) is equal


def test_overlap_between_splits_of_one_call_and_with_files_in_the_folder(tmp_path):
    out = tmp_path / "out"
    _lines(tmp_path / "gsm8k" / "train.jsonl", [_gsm("one"), _gsm("two"), _gsm("three")])
    _lines(tmp_path / "gsm8k" / "test.jsonl", [_gsm("two")])
    reports = prepare(MATH_SETS["gsm8k"], source=tmp_path, out=out)
    assert list(overlap_lines(reports)) == [
        "overlap: 1 questions of gsm8k_train.parquet are in gsm8k_test.parquet"
    ]

    (out / "else.parquet").write_bytes(b"no parquet")
    _lines(tmp_path / "aime25" / "a.jsonl", [{"problem": p, "answer": "1"} for p in ("one", " three", "new")])
    reports = prepare(MATH_SETS["aime25"], source=tmp_path, out=out)
    assert list(overlap_lines(reports)) == [
        f"{out / 'else.parquet'}: not compared, because it is no file of prompts",
        "overlap: 2 questions of gsm8k_train.parquet are in aime25_test.parquet",
    ]


def test_rows_left_out_are_named(tmp_path):
    rows = [{"problem": str(n), "solution": "\\boxed{}" if n < 7 else "\\boxed{1}"} for n in range(8)]
    path = _lines(tmp_path / "train.jsonl", rows)
    (report,) = prepare(MATH_SETS["math"], source=tmp_path, out=tmp_path / "out")
    text = "\n".join(report.lines(MATH_SETS["math"], limit=None, drop_duplicates=False))
    assert report.written == 1 and "left out: 7" in text and "and 2 more" in text
    assert f"    {path} row 1: the authors' \\boxed{{}} is empty" in text
    _lines(tmp_path / "train.jsonl", rows[:7])
    with pytest.raises(ValueError, match=r"math train: no row is left; .* row 1"):
        prepare(MATH_SETS["math"], source=tmp_path, out=tmp_path / "out")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match="--limit"):
        prepare(MATH_SETS["gsm8k"], source=tmp_path, out=tmp_path, limit=limit)


HUB_ROWS = {
    "gsm8k": [_gsm("How many?", "1,200")],
    "math": [{"problem": "p", "level": "Level 1", "type": "Algebra", "solution": "$\\boxed{2}$"}],
    "dapo_math_17k": [
        {
            "data_source": "math_dapo",
            "prompt": [{"role": "user", "content": f"{DAPO_OPENING}\n\nFind $x$.\n\n{DAPO_CLOSING}"}],
            "ability": "MATH",
            "reward_model": {"ground_truth": "34", "style": "rule-lighteval/MATH_v2"},
            "extra_info": {"index": "9a9b6eb4"},
        }
    ],
    "aime24": [{"id": 60, "problem": "p", "solution": "s", "answer": "204", "url": "u", "year": "2024"}],
    "aime25": [{"problem": "p", "answer": "70", "id": "0"}],
    "math500": [
        {"problem": "p", "solution": "s", "answer": "2", "subject": "Algebra", "level": 2, "unique_id": "u"}
    ],
    "olympiadbench": [
        {
            "id": 1606,
            "question": "q",
            "solution": ["s"],
            "final_answer": ["2"],
            "context": None,
            "image_1": None,
            "modality": "Text-only",
            "is_multiple_answer": False,
            "unit": None,
            "answer_type": "Numerical",
            "error": None,
            "subfield": "Algebra",
        }
    ],
    "amc23": [{"id": 0, "question": "q", "answer": 27.0, "url": "u"}],
    "minervamath": [{"question": "q", "answer": "1.6"}],
    "aquarat": [{"question": "q", "options": ["A)1", "B)2"], "rationale": "r", "correct": "B"}],
    "livemathbench": [{"question": "q", "answer": "1", "question_type": "problem-solving"}],
}


@pytest.mark.parametrize("name", MATH_SETS)
def test_from_the_hub(tmp_path, monkeypatch, name):
    asked = []

    def load_dataset(hub_id, config, *, split):
        asked.append((hub_id, config, split))
        return datasets.Dataset.from_list(HUB_ROWS[name])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    math_set = MATH_SETS[name]
    reports = prepare(math_set, source=None, out=tmp_path)
    hub_splits = list(math_set.splits.values())
    assert asked == [(math_set.hub_id, config, split) for split in hub_splits for config in math_set.configs]
    for report in reports:
        assert pyarrow.parquet.read_schema(report.path).equals(MATH_SCHEMA)
        assert report.written == len(math_set.configs)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            ConnectionError("no route\nto host"),
            r"openai/gsm8k main train: not to be had from the hub \(no route\)",
        ),
        (KeyError(), "KeyError"),
        (datasets.Dataset.from_list([]), "openai/gsm8k main train: has no rows"),
        (
            datasets.Dataset.from_list([{"q": "x"}]),
            "openai/gsm8k main train row 1: no field 'question', found q",
        ),
    ],
)
def test_a_hub_that_fails_is_one_line(tmp_path, monkeypatch, outcome, message):
    def load_dataset(hub_id, config, *, split):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match=message) as error:
        prepare(MATH_SETS["gsm8k"], source=None, out=tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_no_heavy_import():
    code = (
        "import sys, amir_verl.data.prepare, amir_verl.data.prepare_ranked;"
        "print({'torch', 'verl', 'transformers', 'datasets'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert run.stdout == "set()\n"
