"""A real training on given responses, through recipes/ranked.sh, and the same one stopped and resumed.

Given responses make every step the same in both.
"""

import json
import math
import random
import shutil

import pytest
import torch
from trainings import train

from amir_verl.data.prepare_ranked import write_ranked
from amir_verl.data.ranked import parse_ranked
from amir_verl.demo.arithmetic import distinct_sums
from amir_verl.demo.graded_sums import graded_row
from amir_verl.evaluation import ranking_metrics
from amir_verl.evaluation.ranking.response_scores import ResponseScorer

pytestmark = pytest.mark.slow

PROMPTS = 8  # of a step; a third of all
STOP, END = 2, 4
WARM_UP = 16
NAMES = ("accuracy", "pairwise_accuracy", "ndcg", "mrr", "kendall_tau")
OVERRIDES = [
    f"trainer.save_freq={STOP}",
    "trainer.resume_mode=auto",
    # A lambda that follows from its count of steps, and a learning rate that moves too.
    f"amir.lambda_warmup_steps={WARM_UP}",
    "actor_rollout_ref.actor.optim.lr_scheduler_type=cosine",
    "actor_rollout_ref.actor.optim.lr_warmup_steps=0",
]


@pytest.fixture(scope="module")
def groups():
    rng = random.Random(1)
    rows = [graded_row(problem, rng) for problem in distinct_sums("easy", 3 * PROMPTS - 1, seed=1)]
    rows.append({"prompt": "2+2=?", "responses": ["<answer>4</answer>", "4"], "rankings": [0, 1]})
    found = [parse_ranked(row) for row in rows]
    assert len({sum(rank is not None for rank in group.rankings) for group in found}) == 3  # sizes 2, 3, 4
    return found


def train_ranked(model, data, out, *overrides):
    return train(
        "ranked",
        out,
        *OVERRIDES,
        *overrides,
        MODEL=model,
        TRAIN=data / "ranked_train.parquet",
        VAL=data / "ranked_train.parquet",
        STEPS=END,
        TEST_FREQ=END,
        PROMPTS=PROMPTS,
        GROUP=5,  # room for one more
        LR=1e-3,
    )


@pytest.fixture(scope="module")
def training(tiny_models, groups, tmp_path_factory):
    """The model, the data's folder, and metrics and folder of a run to the end."""
    folder = tmp_path_factory.mktemp("ranked")
    write_ranked(groups, folder, share=0.0, seed=0)
    model = tiny_models("qwen2")
    return model, folder, train_ranked(model, folder, folder / "whole"), folder / "whole"


@pytest.fixture(scope="module")
def runs(training):
    """Metrics and folder of that run, and of one that begins with its checkpoint half-way."""
    model, folder, metrics, whole = training
    resumed = folder / "resumed"
    checkpoints = resumed / "checkpoints"
    shutil.copytree(whole / "checkpoints" / f"global_step_{STOP}", checkpoints / f"global_step_{STOP}")
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(STOP))
    again = train_ranked(model, folder, resumed, "trainer.val_before_train=False")
    return (metrics, whole), (again, resumed)


def test_every_pair_of_different_ranks_takes_part_once_an_epoch(training, groups):
    _, _, metrics, _ = training
    assert sum(metrics[step]["amir/num_pairs"] for step in (1, 2, 3)) == sum(group.pairs for group in groups)
    assert metrics[1]["amir/pair_coverage"] == 1
    assert metrics[1]["amir/dropped_rewards"] == 0


def test_the_first_step_starts_at_the_reference_and_the_second_epoch_below_it(training):
    _, _, metrics, _ = training
    # Nats a token: log-probabilities about -5 in float32, of two passes of one model.
    assert metrics[1]["amir/margin"] == pytest.approx(0, abs=1e-4)
    assert metrics[1]["amir/loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert metrics[END]["amir/loss"] < math.log(2) - 1e-3


def test_preferences_alone_are_trained(training):
    _, _, metrics, _ = training
    for step in range(1, END + 1):
        assert metrics[step]["actor/pg_loss"] == 0
        assert metrics[step]["amir/lambda"] == pytest.approx(step / WARM_UP, rel=1e-6)
        assert metrics[step]["actor/grad_norm"] > 0
        assert metrics[step]["amir/drift"] == pytest.approx(0, abs=1e-4)  # nats a token, in float32


def test_validation_agrees_with_the_evaluation_of_the_saved_model(training, groups):
    model, _, metrics, _ = training
    prompts = [[{"role": role, "content": text} for role, text in group.prompt] for group in groups]
    scores = ResponseScorer(str(model), device="cpu").scores(prompts, [group.responses for group in groups])
    expected = ranking_metrics(scores, [group.rankings for group in groups])
    for name in NAMES:
        assert metrics[0][f"val-ranked/{name}"] == pytest.approx(expected[name], abs=1e-6)


def test_training_raises_the_order_relative_to_the_reference(training):
    _, _, metrics, _ = training
    assert metrics[0]["val-ranked/relative_pairwise_accuracy"] == 0.5
    assert metrics[END]["val-ranked/relative_pairwise_accuracy"] > 0.55


def state(out, step, name):
    path = out / "checkpoints" / f"global_step_{step}" / name
    return json.loads(path.read_text()) if name.endswith(".json") else torch.load(path, weights_only=False)


def actor(out, step, part):
    return state(out, step, f"actor/{part}_world_size_1_rank_0.pt")


def tensors(found, prefix=""):
    """Every tensor of nested dicts and lists by its path; sharded ones as this rank has them."""
    if isinstance(found, torch.Tensor):
        return {prefix: getattr(found, "_local_tensor", found).detach()}
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return {name: value for key, part in items for name, value in tensors(part, f"{prefix}/{key}").items()}


def test_the_resumed_run_makes_the_missing_steps_alone(runs):
    (whole, _), (resumed, _) = runs
    assert sorted(whole) == [0, 1, 2, 3, 4]
    assert sorted(resumed) == [3, 4]


# What rounding may change in the two steps since the checkpoint, for the rows of a step are summed in the
# order in which they arrive: a share of the figure and, where it may lie near zero, what counts as zero.
FIGURES = {
    "amir/lambda": {"rel": 1e-3},
    "amir/loss": {"rel": 1e-3},
    "actor/grad_norm": {"rel": 1e-3},
    "amir/margin": {"rel": 1e-3, "abs": 1e-4},  # nats a token
}


def test_lambda_and_every_other_figure_of_a_step_are_the_same(runs):
    (whole, _), (resumed, _) = runs
    # What the tolerances would hide: a run that forgot its state differs by far more.
    assert whole[4]["amir/lambda"] != pytest.approx(whole[3]["amir/lambda"], rel=0.05)
    assert whole[4]["actor/lr"] != pytest.approx(whole[3]["actor/lr"], rel=0.05)
    for step in (3, 4):
        assert resumed[step]["actor/lr"] == pytest.approx(whole[step]["actor/lr"], rel=1e-9)
        assert resumed[step]["amir/num_pairs"] == whole[step]["amir/num_pairs"]
        for name, tolerance in FIGURES.items():
            assert resumed[step][name] == pytest.approx(whole[step][name], **tolerance), name


def test_lambdas_saved_state_is_the_same(runs):
    (_, whole), (_, resumed) = runs
    states = [state(out, END, "amir.json") for out in (whole, resumed)]
    assert [saved["steps"] for saved in states] == [END, END]
    assert states[1]["value"] == pytest.approx(states[0]["value"], **FIGURES["amir/lambda"])
    assert state(whole, STOP, "amir.json")["steps"] == STOP


def test_the_order_of_the_data_goes_on(runs):
    (_, whole), (_, resumed) = runs
    ends = [state(out, END, "data.pt") for out in (whole, resumed)]
    assert repr(ends[0]) == repr(ends[1])
    assert repr(ends[0]) != repr(state(whole, STOP, "data.pt"))


def test_the_optimizer_has_counted_every_step(runs):
    (_, whole), (_, resumed) = runs
    for out, step in ((whole, STOP), (whole, END), (resumed, END)):
        counts = {float(found["step"]) for found in actor(out, step, "optim")["state"].values()}
        assert counts == {step}


def test_the_learning_rates_schedule_and_the_random_numbers_are_the_same(runs):
    (_, whole), (_, resumed) = runs
    ends = [actor(out, END, "extra_state") for out in (whole, resumed)]
    assert repr(ends[0]["lr_scheduler"]) == repr(ends[1]["lr_scheduler"])
    assert repr(ends[0]["lr_scheduler"]) != repr(actor(whole, STOP, "extra_state")["lr_scheduler"])
    assert torch.equal(ends[0]["rng"]["cpu"], ends[1]["rng"]["cpu"])


@pytest.mark.parametrize("part", ["model", "optim"])
def test_parameters_and_moments_are_the_same(runs, part):
    """Up to a hundredth of how far the largest has moved: Adam divides by the gradient's own size, so that
    rounding shows where a gradient is small.
    """
    (_, whole), (_, resumed) = runs
    ours, theirs, before = (
        tensors(actor(out, step, part)) for out, step in ((resumed, END), (whole, END), (whole, STOP))
    )
    assert ours.keys() == theirs.keys() == before.keys() and len(ours) > 20
    for name, tensor in theirs.items():
        moved = (tensor - before[name]).abs().max().item()
        difference = (tensor - ours[name]).abs().max().item()
        assert moved > 0 and difference <= 1e-2 * moved, name
