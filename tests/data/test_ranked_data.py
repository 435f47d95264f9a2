"""Ranked responses: what is accepted, what is refused, and what reaches verl."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amir_verl.data.prepare_ranked import (
    RANKED_SCHEMA,
    length_lines,
    read_ranked,
    token_counter,
    write_ranked,
)
from amir_verl.data.ranked import RankedGroup, group_findings, parse_ranked, validation_prompts

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_ranked.py"
ROW = {"prompt": "2 + 2?", "responses": ["4", " 5\n", "six"], "rankings": [0, 1, None]}
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]


def _group(prompt="p", rankings=(0, 1), responses=None):
    responses = responses or tuple(f"r{index}" for index in range(len(rankings)))
    return RankedGroup((("user", prompt),), tuple(responses), tuple(rankings))


@pytest.mark.parametrize(
    ("row", "group"),
    [
        (ROW, RankedGroup((("user", "2 + 2?"),), ("4", " 5\n", "six"), (0, 1, None))),
        (
            ROW | {"prompt": CHAT},
            RankedGroup((("system", "Be brief."), ("user", "2 + 2?")), ("4", " 5\n", "six"), (0, 1, None)),
        ),
        (ROW | {"rankings": [2, 2, 0]}, RankedGroup((("user", "2 + 2?"),), ("4", " 5\n", "six"), (2, 2, 0))),
        (ROW | {"source": "ours"}, RankedGroup((("user", "2 + 2?"),), ("4", " 5\n", "six"), (0, 1, None))),
    ],
)
def test_a_ranked_row(row, group):
    assert parse_ranked(row) == group


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "field 'prompt' is empty"),
        ({"prompt": None}, "neither text nor a list"),
        ({"prompt": []}, "neither text nor a list"),
        ({"prompt": ["2 + 2?"]}, "a message is not an object"),
        ({"prompt": [{"role": "user", "content": "x", "name": "n"}]}, "a message is not an object"),
        ({"prompt": [{"role": "tool", "content": "x"}]}, "role 'tool'"),
        ({"prompt": [{"role": "user", "content": ""}]}, "field 'prompt.content' is empty"),
        ({"prompt": [*CHAT, {"role": "assistant", "content": "4"}]}, "ends with the assistant"),
        ({"responses": ["4"], "rankings": [0]}, "two or more texts"),
        ({"responses": "456"}, "two or more texts"),
        ({"responses": ["4", "", "6"]}, "field 'responses' is empty"),
        ({"responses": ["4", None, "6"]}, "field 'responses' is NoneType"),
        ({"responses": ["4", "\udc00", "6"]}, "surrogate"),
        ({"rankings": [0, 1]}, "3 responses but 2 rankings"),
        ({"rankings": [0, 1, -1]}, "integers from 0"),
        ({"rankings": [0, 1, 1.0]}, "integers from 0"),
        ({"rankings": [0, 1, True]}, "integers from 0"),
        ({"rankings": [0, 1, "2"]}, "integers from 0"),
        ({"rankings": [0, 1, 10**30]}, "integers from 0"),
        ({"rankings": None}, "integers from 0"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, change, message):
    path = tmp_path / "ranked.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | change) + "\n")
    with pytest.raises(ValueError, match=message) as error:
        read_ranked(path)
    assert str(error.value).startswith(f"{path} row 2: ")


@pytest.mark.parametrize("field", ["prompt", "responses", "rankings"])
def test_a_missing_field_is_named(field):
    with pytest.raises(ValueError, match=f"no field '{field}'"):
        parse_ranked({key: value for key, value in ROW.items() if key != field})


_rank = st.none() | st.integers(0, 9)
_row = st.integers(2, 6).flatmap(
    lambda size: st.fixed_dictionaries(
        {
            "prompt": st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
            "responses": st.lists(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
                min_size=size,
                max_size=size,
            ),
            "rankings": st.lists(_rank, min_size=size, max_size=size),
        }
    )
)


@given(rows=st.lists(_row, min_size=1, max_size=5))
def test_parquet_gives_back_every_text_rank_and_null(tmp_path_factory, rows):
    out = tmp_path_factory.mktemp("ranked")
    (split,) = write_ranked([parse_ranked(row) for row in rows], out, share=0, seed=0)
    assert pyarrow.parquet.read_schema(split.path).equals(RANKED_SCHEMA)
    for row, stored in zip(rows, pyarrow.parquet.read_table(split.path).to_pylist(), strict=True):
        assert stored["prompt"] == [{"role": "user", "content": row["prompt"]}]
        assert stored["extra_info"]["responses"] == row["responses"]
        assert stored["extra_info"]["rankings"] == row["rankings"]
        assert {type(rank) for rank in stored["extra_info"]["rankings"]} <= {int, type(None)}


@given(
    prompts=st.lists(st.integers(0, 30).map(str), min_size=2, max_size=60).filter(lambda p: len(set(p)) > 1),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_the_split_is_by_prompt_and_the_same_in_any_order(prompts, share, seed):
    groups = [_group(prompt) for prompt in prompts]
    held_out = validation_prompts(groups, share=share, seed=seed)
    distinct = {group.prompt for group in groups}
    assert held_out < distinct
    assert abs(len(held_out) - share * len(distinct)) <= 1
    assert validation_prompts(groups[::-1], share=share, seed=seed) == held_out


def test_the_seed_chooses_the_prompts():
    groups = [_group(str(number)) for number in range(50)]
    chosen = {frozenset(validation_prompts(groups, share=0.2, seed=seed)) for seed in range(4)}
    assert len(chosen) == 4 and {len(prompts) for prompts in chosen} == {10}


@pytest.mark.parametrize(
    ("share", "message"), [(1, "expected"), (-0.1, "expected"), (float("nan"), "expected")]
)
def test_an_impossible_share_is_refused(share, message):
    with pytest.raises(ValueError, match="--validation-share"):
        validation_prompts([_group("a"), _group("b")], share=share, seed=0)


def test_one_prompt_cannot_be_split():
    with pytest.raises(ValueError, match="one prompt cannot be split"):
        validation_prompts([_group("a"), _group("a", (1, 0))], share=0.5, seed=0)


@pytest.mark.parametrize(
    ("rankings", "pairs"),
    [((0, 1, 2), 3), ((0, 0, 1), 2), ((0, None, 1), 1), ((None, None), 0), ((3, 3, 3), 0), ((0, None), 0)],
)
def test_ties_and_unranked_responses_make_no_pair(rankings, pairs):
    assert _group(rankings=rankings).pairs == pairs


def test_findings():
    groups = [
        _group("a", (0, 1, None)),
        _group("a", (0, 1, None)),
        _group("a", (1, 0)),
        _group("b", (0, 0, 1), ("x", "x", "y")),
        _group("c", (0, 1), ("x", "x")),
        _group("d", (None, 3)),
    ]
    assert list(group_findings(groups)) == [
        "responses a prompt: 2 to 3",
        "unranked responses: 3 of 15",
        "pairs: 6",
        "rows without a pair (one rank at most): 1",
        "rows with ties: 1",
        "rows that repeat another row: 1",
        "rows that share their prompt with an earlier row: 2",
        "rows with one response twice: 2",
        "of these, with different ranks for it: 1",
    ]


def test_lengths():
    groups = [_group("four", responses=("a", "bbb")), _group("sixsix", responses=("cc", "d" * 10))]
    assert list(length_lines(groups, unit="characters", measure=len)) == [
        "prompt length in characters: 4 to 6, median 5, 95 % up to 6",
        "response length in characters: 1 to 10, median 2, 95 % up to 9",
    ]


def test_lengths_in_tokens(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"[UNK]": 0, "one": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    assert token_counter(str(tmp_path))("one two, three") == 4


def test_an_earlier_validation_file_is_pointed_at(tmp_path):
    path = tmp_path / "ranked.jsonl"
    path.write_text("\n".join(json.dumps(ROW | {"prompt": prompt}) for prompt in "ab"))
    assert "earlier run" not in _script(path, "--out", tmp_path).stdout
    run = _script(path, "--out", tmp_path, "--validation-share", 0)
    assert f"{tmp_path / 'ranked_validation.parquet'} is from an earlier run" in run.stdout


def _script(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_the_script_writes_what_the_rollout_needs(tmp_path, suffix):
    rows = [ROW | {"prompt": f"{number} + 1?"} for number in range(10)]
    text = json.dumps(rows) if suffix == ".json" else "\n".join(map(json.dumps, rows))
    (tmp_path / f"ranked{suffix}").write_text(text)
    run = _script(tmp_path / f"ranked{suffix}", "--out", tmp_path / "out", "--validation-share", 0.2)
    assert run.returncode == 0, run.stderr
    assert "train: 8 rows" in run.stdout and "validation: 2 rows" in run.stdout
    assert "response length in characters: 1 to 3" in run.stdout
    loaded = {}
    for split in ("train", "validation"):
        # As verl loads it; a null rank must not become 0 or NaN on the way.
        file = str(tmp_path / "out" / f"ranked_{split}.parquet")
        loaded[split] = datasets.load_dataset("parquet", data_files=file, cache_dir=str(tmp_path))["train"]
    assert [row["extra_info"]["index"] for row in loaded["validation"]] == [0, 1]
    for split, rows in loaded.items():
        for row in rows:
            assert (row["data_source"], row["agent_name"]) == ("ranked", "ranked_replay")
            assert row["reward_model"] == {"style": "rule", "ground_truth": ""}
            assert row["extra_info"]["split"] == split
            assert row["extra_info"]["rankings"] == [0, 1, None]
            assert row["extra_info"]["responses"] == ROW["responses"]
    prompts = {split: {row["prompt"][0]["content"] for row in rows} for split, rows in loaded.items()}
    assert not prompts["train"] & prompts["validation"]


def test_the_script_gives_one_line_for_a_user_error(tmp_path):
    path = tmp_path / "ranked.jsonl"
    path.write_text('{"prompt": "a", "responses": ["b", "c"], "rankings": [0]}\n')
    for arguments, message in [
        ([path], f"prepare_ranked: {path} row 1: 2 responses but 1 rankings"),
        ([tmp_path / "no.jsonl"], f"prepare_ranked: {tmp_path / 'no.jsonl'}: no such file"),
        ([path, "--limit", 0], "prepare_ranked: --limit is 0"),
    ]:
        run = _script(*arguments, "--out", tmp_path / "out")
        assert run.returncode == 1 and not (tmp_path / "out").exists()
        assert run.stderr.splitlines()[-1].startswith(message)
