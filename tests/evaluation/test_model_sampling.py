"""Questions in, scored samples out; once through the real vLLM engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from amir_verl.evaluation.sampling.questions import find_data, read_questions
from amir_verl.evaluation.sampling.samples import read_samples
from amir_verl.evaluation.sampling.vllm_engine import (
    Completion,
    SamplingSettings,
    check_reward,
    encode_prompts,
    load_reward,
    score_completions,
)

ROOT = Path(__file__).resolve().parents[2]
MATH_REWARD = ROOT / "reward_fns" / "math_reward.py"


def question_row(a: int, b: int, **more) -> dict:
    return {
        "data_source": "sums",
        "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": f"{a}+{b}=?"}],
        "reward_model": {"style": "rule", "ground_truth": str(a + b)},
        "extra_info": {"index": a},
    } | more


@pytest.fixture
def sums(tmp_path) -> Path:
    path = tmp_path / "sums_test.parquet"
    pd.DataFrame([question_row(a, 2) for a in range(3)]).to_parquet(path)
    return path


def run(*args: object) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process: half the start-up
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_sets_are_found_by_name_and_training_splits_are_not(tmp_path, sums):
    (tmp_path / "sums_train.parquet").touch()
    (tmp_path / "aime25_train.parquet").touch()
    (tmp_path / "two_a.parquet").touch()
    (tmp_path / "two_b.parquet").touch()
    assert find_data(["sums", str(sums)], tmp_path) == [sums, sums]
    assert find_data(["two_a"], tmp_path) == [tmp_path / "two_a.parquet"]
    with pytest.raises(ValueError, match=r"aime25: no file of that name in .*sums_test\.parquet"):
        find_data(["aime25"], tmp_path)
    with pytest.raises(ValueError, match=r"two: several files of that name .*two_a\.parquet, two_b\.parquet"):
        find_data(["two"], tmp_path)


def test_a_problem_keeps_its_id_under_another_system_prompt(tmp_path):
    other = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+2=?"}]
    rows = [question_row(1, 2), question_row(1, 2, prompt=other), question_row(2, 2)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second, third = read_questions(tmp_path / "q.jsonl")
    assert first.prompt_id == second.prompt_id != third.prompt_id
    assert len(read_questions(tmp_path / "q.jsonl", limit=2)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "1+2"}, "row 2: field 'prompt' is not a list of chat messages"),
        ({"prompt": []}, "row 2: field 'prompt' is not a list of chat messages"),
        ({"prompt": [{"role": "user"}]}, "row 2: field 'prompt' is not a list of chat messages"),
        ({"reward_model": None}, "row 2: no reward_model.ground_truth"),
        ({"reward_model": {"ground_truth": None}}, "row 2: no reward_model.ground_truth"),
    ],
)
def test_bad_questions_are_named(tmp_path, change, message):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(question_row(1, 2)) + "\n" + json.dumps(question_row(1, 2, **change)) + "\n")
    with pytest.raises(ValueError, match=message):
        read_questions(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples must be at least 1"),
        ({"temperature": -1}, "temperature must be at least 0"),
        ({"temperature": 0}, "temperature 0 gives the same response"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingSettings(**settings)


def test_prompts_carry_the_chat_template_and_fit_the_model(tiny_model, sums):
    from transformers import AutoTokenizer

    questions = read_questions(sums)
    encoded = encode_prompts(str(tiny_model), questions, max_tokens=8)
    text = AutoTokenizer.from_pretrained(tiny_model).decode(encoded[1])
    assert text == (
        "<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n1+2=?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(ValueError, match=r"row 1: \d+ prompt and 2040 new tokens exceed the model's 2048"):
        encode_prompts(str(tiny_model), questions, max_tokens=2040)
    with pytest.raises(ValueError, match="no such model directory"):
        encode_prompts(str(sums.parent / "none"), questions, max_tokens=8)


def test_completions_are_scored_by_the_math_reward(sums):
    questions = read_questions(sums)
    right = Completion("so <answer>2</answer>", 7, False, -0.5)
    wrong = Completion("so <answer>9</answer>", 7, True, -0.7)
    table = score_completions(questions, [[right, wrong]] * 3, load_reward(str(MATH_REWARD)), progress=False)
    assert table["correct"].tolist() == [1, 0, 0, 0, 0, 0]  # 0+2, 1+2, 2+2
    assert table["pred"].tolist() == ["2", "9"] * 3
    assert table["truncated"].tolist() == [False, True] * 3
    assert table["prompt"].tolist()[::2] == ["0+2=?", "1+2=?", "2+2=?"]
    assert table["ground_truth"].tolist()[::2] == ["2", "3", "4"] and table["sample_id"].is_unique


def test_a_real_set_is_asked_by_name_and_its_gold_answers_are_right(tmp_path):
    source = Path(os.environ.get("AMIR_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (source / "amc23").is_dir():
        pytest.skip(f"no amc23 in {source} (AMIR_SHARED_DATA)")
    prepare = [sys.executable, str(ROOT / "scripts" / "prepare_data.py"), "amc23", "--source", str(source)]
    subprocess.run([*prepare, "--out", str(tmp_path)], check=True, capture_output=True)
    questions = read_questions(*find_data(["amc23"], tmp_path))
    assert len({question.prompt_id for question in questions}) == len(questions) == 40
    answers = [
        [Completion(f"<answer>{question.ground_truth}</answer>", 5, False, -1.0)] for question in questions
    ]
    table = score_completions(questions, answers, load_reward(str(MATH_REWARD)), progress=False)
    assert table["correct"].tolist() == [1] * 40 and set(table["data_source"]) == {"amc23"}


def test_a_reward_is_checked_before_the_model_is_asked(tmp_path, sums):
    reward = tmp_path / "reward.py"
    reward.write_text("def compute_score(d, s, g, e=None):\n    return 0.5\n")
    with pytest.raises(ValueError, match=r"row 1: reward: score is 0\.5, but correctness is 0 or 1"):
        check_reward(read_questions(sums), load_reward(str(reward)))
    with pytest.raises(ValueError, match="has no function grade"):
        load_reward(str(reward), "grade")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_reward(str(tmp_path / "none.py"))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_reward("no_such_module.reward")


def test_rows_of_any_origin_are_summarised_and_bad_ones_are_one_line(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": i // 2, "acc": i % 2}) + "\n" for i in range(60)))
    result = run("--rows", rows)
    assert result.returncode == 0, result.stderr
    assert "pass@1" in result.stdout and "50.0 [50.0, 50.0]" in result.stdout and "100.0" in result.stdout
    rows.write_text('{"id": 1}\n')
    result = run("--rows", rows)
    assert result.returncode == 1
    assert (
        result.stderr
        == f"evaluate: {rows} row 1: no correctness: expected one of correct, acc, is_correct, score\n"
    )


@pytest.mark.slow
def test_evaluation_through_vllm(tiny_model, sums, tmp_path):
    pytest.importorskip("vllm")
    from amir_verl.evaluation.ranking.response_scores import ResponseScorer

    out = tmp_path / "out"
    options = [
        "--data-dir",
        sums.parent,
        "--samples",
        16,
        "--temperature",
        1.0,
        "--max-tokens",
        60,
        "--out",
        out,
    ]
    result = run(
        "--model", tiny_model, "--data", "sums", *options, "--engine", "enforce_eager=true", "dtype=float32"
    )
    assert result.returncode == 0, result.stderr[-2000:]
    rows = read_samples(out / "samples.parquet")
    assert rows.groupby("prompt_id").size().tolist() == [16, 16, 16]
    assert rows["response"].nunique() > 6
    record = json.loads((out / "evaluation.json").read_text())
    assert record["sampling"]["temperature"] == 1.0 and record["results"]["sums"]["samples"] == 48
    assert record["results"]["sums"]["rates"]["pass@1"][0] == pytest.approx(rows["correct"].mean())
    assert (rows.loc[rows["truncated"].astype(bool), "length"] == 60).all()

    # What vLLM says of a response's log-probability is what transformers says of its text.
    ended = rows[~rows["truncated"].astype(bool) & (rows["response"].str.len() + 1 == rows["length"])]
    assert len(ended), "no response ended by itself: raise the number of samples"
    scorer = ResponseScorer(str(tiny_model), device="cpu")
    for row in ended.itertuples():
        messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": row.prompt}]
        assert scorer.scores([messages], [[row.response]])[0][0] == pytest.approx(row.logprob_mean, abs=2e-4)
