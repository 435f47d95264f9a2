"""Scores of given responses, and the ranking evaluation from file to table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from amir_verl.cli import evaluate_ranking
from amir_verl.evaluation import ranking_metrics
from amir_verl.evaluation.ranking.groups import (
    format_ranking,
    order_kept,
    ranked_order_kept,
    ranking_estimates,
    read_ranked_groups,
)

ROOT = Path(__file__).resolve().parents[2]
GROUP = {
    "prompt": "What is 1 + 2, please?",
    "responses": ["3", "4", "no idea at all"],
    "rankings": [0, 1, None],
}


@pytest.fixture
def run(capsys):
    """The command in this process: its status, and what it wrote."""

    def run(*args: object) -> tuple[int, str, str]:
        status = evaluate_ranking.main(list(map(str, args)))
        return (status, *capsys.readouterr())

    return run


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def scorer(tiny_model):
    from amir_verl.evaluation.ranking.response_scores import ResponseScorer

    return ResponseScorer(str(tiny_model), device="cpu", batch_tokens=120)


def test_a_score_is_the_mean_log_probability_of_response_and_end_of_turn(scorer):
    import torch

    messages, response = [{"role": "user", "content": "1+2=?"}], "it is 3"
    prompt = scorer.tokenizer(
        "<|im_start|>user\n1+2=?<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
    )["input_ids"]
    target = [
        *scorer.tokenizer(response, add_special_tokens=False)["input_ids"],
        scorer.tokenizer.eos_token_id,
    ]
    expected = 0.0
    with torch.no_grad():
        for i, token in enumerate(target):  # one forward pass a token: no batch, no padding, no shift
            logits = scorer.model(torch.tensor([prompt + target[:i]])).logits[0, -1].double()
            expected += float(logits.log_softmax(-1)[token]) / len(target)
    assert scorer.scores([messages], [[response]])[0][0] == pytest.approx(expected, abs=1e-5)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(scorer):
    prompts = [[{"role": "user", "content": text}] for text in ("1+2=?", "a much longer question than that")]
    responses = [["3", "12345678901234567890", "no"], ["yes"]]
    together = scorer.scores(prompts, responses)
    assert [len(group) for group in together] == [3, 1]
    for prompt, group, scores in zip(prompts, responses, together, strict=True):
        for response, score in zip(group, scores, strict=True):
            assert scorer.scores([prompt], [[response]])[0][0] == pytest.approx(score, abs=1e-5)


def test_other_prompts_change_the_last_message_alone():
    from amir_verl.evaluation.ranking.response_scores import cut_prompt, paraphrased_prompt

    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "one two  three four"}]
    assert cut_prompt(messages, 0.5) == [messages[0], {"role": "user", "content": "one two"}]
    assert cut_prompt(messages, 0.01)[1]["content"] == "one"
    assert paraphrased_prompt(messages, "five")[1] == {"role": "user", "content": "five"}
    assert paraphrased_prompt(messages, messages[1:]) == messages[1:]


def test_groups_are_read_from_json_and_from_prepared_parquet(tmp_path):
    source = write(tmp_path / "ranked.jsonl", [GROUP | {"paraphrases": ["How much is 1 + 2?"]}, GROUP])
    first, second = read_ranked_groups(source)
    assert first.paraphrases == ("How much is 1 + 2?",) and second.paraphrases == ()
    assert first.messages == [{"role": "user", "content": GROUP["prompt"]}]
    prepare = [
        sys.executable,
        str(ROOT / "scripts" / "prepare_ranked.py"),
        str(source),
        "--out",
        str(tmp_path),
    ]
    subprocess.run([*prepare, "--validation-share", "0"], check=True, capture_output=True)
    (prepared, _) = read_ranked_groups(tmp_path / "ranked_train.parquet")
    assert prepared.group == first.group and prepared.group.rankings == (0, 1, None)
    assert len(read_ranked_groups(source, limit=1)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rankings": [0, 1]}, "row 2: 3 responses but 2 rankings"),
        ({"responses": ["3"]}, "row 2: field 'responses'"),
        ({"paraphrases": "How much?"}, "row 2: field 'paraphrases' is not a list"),
    ],
)
def test_a_bad_group_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_ranked_groups(write(tmp_path / "ranked.jsonl", [GROUP, GROUP | change]))


def test_order_kept_against_the_ranking_and_between_scores():
    rankings = [[0, 1, 2], [0, None, 1]]
    scores, other = [[3.0, 1.0, 2.0], [1.0, 9.0, 2.0]], [[3.0, 2.0, 1.0], [1.0, 9.0, 2.0]]
    ranked = ranked_order_kept(scores, rankings)
    # Of (0,1) (0,2) (1,2) and one pair of the second prompt.
    assert (ranked.share, ranked.pairs) == (pytest.approx(2 / 4), 4)
    assert (ranked.near_share, ranked.near_pairs) == (pytest.approx(1 / 3), 3)
    moved = order_kept(scores, other, rankings)
    assert (moved.share, moved.near_share) == pytest.approx((3 / 4, 2 / 3))
    estimates = ranking_estimates(scores, rankings)
    assert estimates["pairwise_accuracy"].mean == pytest.approx(
        ranking_metrics(scores, rankings)["pairwise_accuracy"]
    )
    text = format_ranking(estimates, {"as ranked": ranked}, k=2)
    assert "ndcg@2" in text and "as ranked" in text and "0.500" in text


def test_ranking_evaluation_from_file_to_table_and_picture(run, tiny_model, tmp_path):
    rows = [
        GROUP | {"prompt": f"What is {i} + 2, please?", "responses": [str(i + 2), str(i), "no idea at all"]}
        for i in range(12)
    ]
    rows[0]["paraphrases"] = ["Please add 0 and 2."]
    data, out = write(tmp_path / "ranked.jsonl", rows), tmp_path / "out"
    status, printed, errors = run(
        "--model", tiny_model, "--data", data, "--out", out, "--device", "cpu", "--keep", "0.5"
    )
    assert status == 0, errors
    record = json.loads((out / "ranking.json").read_text())
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    again = ranking_metrics([line["scores"] for line in lines], [line["rankings"] for line in lines])
    assert {name: e["mean"] for name, e in record["metrics"].items()} == pytest.approx(again)
    assert list(record["order_kept"]) == ["as ranked", "prompt cut to 50 %", "prompt paraphrased"]
    assert record["order_kept"]["as ranked"]["pairs"] == 12
    assert record["order_kept"]["prompt paraphrased"]["pairs"] == 1
    assert (out / "ranking.png").read_bytes().startswith(b"\x89PNG")
    assert "kendall_tau" in printed


def test_bad_input_is_one_line(run, tiny_model, tmp_path):
    missing = tmp_path / "none.jsonl"
    assert run("--model", tiny_model, "--data", missing) == (
        1,
        "",
        f"evaluate_ranking: {missing}: no such file\n",
    )
    data = write(tmp_path / "ranked.jsonl", [GROUP])
    _, _, errors = run("--model", tiny_model, "--data", data, "--keep", "1.5")
    assert errors == "evaluate_ranking: --keep 1.5: a share lies between 0 and 1\n"


def test_a_missing_model_is_named(tmp_path):
    from amir_verl.evaluation.ranking.response_scores import ResponseScorer

    with pytest.raises(ValueError, match="no such model directory"):
        ResponseScorer(str(tmp_path / "none"))
