"""A real training of two steps on given responses, through recipes/ranked.sh."""

import math
import random

import pytest
from trainings import train

from amir_verl.data.prepare_ranked import write_ranked
from amir_verl.data.ranked import parse_ranked
from amir_verl.demo.arithmetic import distinct_sums
from amir_verl.demo.graded_sums import graded_row
from amir_verl.evaluation import ranking_metrics
from amir_verl.evaluation.ranking.response_scores import ResponseScorer

pytestmark = pytest.mark.slow

PROMPTS = 8
NAMES = ("accuracy", "pairwise_accuracy", "ndcg", "mrr", "kendall_tau")


@pytest.fixture(scope="module")
def groups():
    rng = random.Random(1)
    rows = [graded_row(problem, rng) for problem in distinct_sums("easy", PROMPTS - 1, seed=1)]
    rows.append({"prompt": "2+2=?", "responses": ["<answer>4</answer>", "4"], "rankings": [0, 1]})
    found = [parse_ranked(row) for row in rows]
    assert len({sum(rank is not None for rank in group.rankings) for group in found}) == 3  # sizes 2, 3, 4
    return found


@pytest.fixture(scope="module")
def training(tiny_models, groups, tmp_path_factory):
    """The model and the metrics by step: all prompts in every step and in validation, room for one more."""
    out = tmp_path_factory.mktemp("ranked")
    model = tiny_models("qwen2")
    write_ranked(groups, out, share=0.0, seed=0)
    metrics = train(
        "ranked",
        out,
        MODEL=model,
        TRAIN=out / "ranked_train.parquet",
        VAL=out / "ranked_train.parquet",
        STEPS=2,
        TEST_FREQ=2,
        PROMPTS=PROMPTS,
        GROUP=5,
        LR=1e-3,
    )
    return model, metrics


def test_every_pair_of_different_ranks_takes_part_at_every_step(training, groups):
    _, metrics = training
    pairs = sum(group.pairs for group in groups)
    assert [metrics[step]["amir/num_pairs"] for step in (1, 2)] == [pairs, pairs]
    assert metrics[1]["amir/pair_coverage"] == 1
    assert metrics[1]["amir/dropped_rewards"] == 0


def test_the_first_step_starts_at_the_reference_and_the_second_below_it(training):
    _, metrics = training
    # Nats a token: log-probabilities about -5 in float32, of two passes of one model.
    assert metrics[1]["amir/margin"] == pytest.approx(0, abs=1e-4)
    assert metrics[1]["amir/loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert metrics[2]["amir/loss"] < math.log(2) - 1e-3


def test_preferences_alone_are_trained(training):
    _, metrics = training
    for step in (1, 2):
        assert metrics[step]["actor/pg_loss"] == 0
        assert metrics[step]["amir/lambda"] == 1
        assert metrics[step]["actor/grad_norm"] > 0
        assert metrics[step]["amir/drift"] == pytest.approx(0, abs=1e-4)  # nats a token, in float32


def test_validation_agrees_with_the_evaluation_of_the_saved_model(training, groups):
    model, metrics = training
    prompts = [[{"role": role, "content": text} for role, text in group.prompt] for group in groups]
    scores = ResponseScorer(str(model), device="cpu").scores(prompts, [group.responses for group in groups])
    expected = ranking_metrics(scores, [group.rankings for group in groups])
    for name in NAMES:
        assert metrics[0][f"val-ranked/{name}"] == pytest.approx(expected[name], abs=1e-6)


def test_training_raises_the_order_relative_to_the_reference(training):
    _, metrics = training
    assert metrics[0]["val-ranked/relative_pairwise_accuracy"] == 0.5
    assert metrics[2]["val-ranked/relative_pairwise_accuracy"] > 0.55
