"""A run that was stopped and resumed against one that was not: the same state. Given responses make every
step the same in both.
"""

import json
import random
import shutil

import pytest
import torch
from trainings import train

from amir_verl.data.prepare_ranked import write_ranked
from amir_verl.data.ranked import parse_ranked
from amir_verl.demo.arithmetic import distinct_sums
from amir_verl.demo.graded_sums import graded_row

pytestmark = pytest.mark.slow

PROMPTS = 8
STOP, END = 2, 4
OVERRIDES = [
    f"trainer.save_freq={STOP}",
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "trainer.resume_mode=auto",
    # A lambda that follows from the one before it and from its count of steps: so far below the losses' band
    # that it grows by a quarter at every step. And a learning rate that moves too.
    "amir.lambda_schedule=loss_ratio",
    "amir.lambda_value=0.1",
    "amir.lambda_max=10",
    "amir.lambda_warmup_steps=16",
    "actor_rollout_ref.actor.optim.lr_scheduler_type=cosine",
    "actor_rollout_ref.actor.optim.lr_warmup_steps=1",
]


def train_ranked(model, data, out):
    return train(
        "ranked",
        out,
        *OVERRIDES,
        MODEL=model,
        TRAIN=data / "ranked_train.parquet",
        VAL=data / "ranked_train.parquet",
        STEPS=END,
        PROMPTS=PROMPTS,
        GROUP=4,
        LR=1e-3,
        POLICY_WEIGHT=1.0,
    )


@pytest.fixture(scope="module")
def runs(tiny_models, tmp_path_factory):
    """Metrics and folder of a run to the end, and of one that begins with the other's checkpoint half-way."""
    folder = tmp_path_factory.mktemp("resumed")
    rng = random.Random(1)
    rows = [graded_row(problem, rng) for problem in distinct_sums("easy", 3 * PROMPTS, seed=1)]
    write_ranked([parse_ranked(row) for row in rows], folder, share=0.0, seed=0)
    model = tiny_models("qwen2")
    whole, resumed = folder / "whole", folder / "resumed"
    metrics = train_ranked(model, folder, whole)
    checkpoints = resumed / "checkpoints"
    shutil.copytree(whole / "checkpoints" / f"global_step_{STOP}", checkpoints / f"global_step_{STOP}")
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(STOP))
    return (metrics, whole), (train_ranked(model, folder, resumed), resumed)


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
    assert sorted(whole) == [1, 2, 3, 4]
    assert sorted(resumed) == [3, 4]


# What rounding may change in the two steps since the checkpoint, for the rows of a step are summed in the
# order in which they arrive: a share of the figure and, where it may lie near zero, what counts as zero.
FIGURES = {
    "amir/lambda": {"rel": 1e-3},
    "amir/grad_ratio": {"rel": 1e-3},
    "amir/loss": {"rel": 1e-3},
    "actor/grad_norm": {"rel": 1e-3},
    "amir/margin": {"rel": 1e-3, "abs": 1e-4},  # nats a token
    "actor/pg_loss": {"rel": 1e-3, "abs": 1e-4},  # advantages, which are of the order of 1
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
    saved = state(whole, STOP, "amir.json")["value"]
    assert saved == pytest.approx(0.1 * 1.25**STOP, rel=1e-9)
    assert states[0]["value"] == pytest.approx(saved * 1.25 ** (END - STOP), rel=1e-9)


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
