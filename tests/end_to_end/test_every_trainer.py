"""Real trainings where batches are as hostile as they come, and on two Ray nodes."""

import json
import math
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from prompt_sets import write_prompts
from ray.cluster_utils import Cluster
from trainings import train

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
FSDP1 = [
    f"actor_rollout_ref.{role}.{setting}=fsdp"
    for role in ("actor", "ref")
    for setting in ("strategy", "fsdp_config.strategy")
]
SHAPED_ANSWERS = [
    f"actor_rollout_ref.rollout.agent.agent_loop_config_path={HERE}/shaped_answers.yaml",
    "actor_rollout_ref.rollout.agent.default_agent_loop=shaped_answers",
    f"+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH={HERE}",
]
ALL_PROMPTS_IN_ORDER = ["data.shuffle=False", "trainer.val_before_train=False", "trainer.test_freq=-1"]


def train_on(groups, tiny, out, *overrides, **environment):
    """A training on `groups` as write_prompts takes them; returns step -> metrics, step -> rows."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = write_prompts(out / "prompts.parquet", groups)
    metrics = train(
        tiny,
        out,
        *ALL_PROMPTS_IN_ORDER,
        *SHAPED_ANSWERS,
        f"trainer.rollout_data_dir={out}/rollouts",
        *overrides,
        TRAIN=prompts,
        VAL=prompts,
        REWARD=HERE / "degenerate_reward.py",
        ALGO="amir_grpo",
        **environment,
    )
    files = {step: (out / "rollouts" / f"{step}.jsonl").read_text() for step in metrics}
    return metrics, {step: [json.loads(line) for line in text.splitlines()] for step, text in files.items()}


def final_scores(rows):
    """prompt -> scores of its sessions, each that of its last row; rows that pad the batch left out."""
    scores = defaultdict(dict)
    for row in rows:  # verl sorts them by prompt, session and output
        prompt, session, _ = row["uid"].rsplit("_", 2)
        if not prompt.startswith("pad"):
            scores[prompt][session] = row["score"]
    return [list(sessions.values()) for sessions in scores.values()]


def pairs_of_different_score(scores):
    return sum(better > worse for better in scores for worse in scores)


def not_finite(data):
    return [name for name, value in data.items() if value is None or not math.isfinite(value)]


# Degenerate batches.

BROKEN = [
    (4, "digits", "whole"),
    (3, "digits", "whole"),
    (4, "equal", "whole"),
    (3, "nan", "whole"),
    (2, "inf", "whole"),
    (4, "one nan", "whole"),
    (1, "digits", "whole"),
    (3, "digits", "by a tool"),
    (4, "error", "whole"),
    (2, "digits", "nothing"),
]
IN_PLACE_OF_THE_FAILED = [(2, "digits", "in parts"), (2, "digits", "in parts")]
WITHOUT_A_PAIR = [
    (4, "equal", "whole"),
    (4, "equal", "in parts"),
    (3, "nan", "whole"),
    (2, "-inf", "whole"),
    (3, "0.25", "whole"),
    (1, "digits", "whole"),
    (3, "digits", "by a tool"),
    (2, "1e30", "whole"),
    (4, "equal", "whole"),
    (4, "equal", "whole"),
]


@pytest.fixture(scope="module")
def degenerate(tiny_models, tmp_path_factory):
    """amir_colocate_async on FSDP1 with two mini-batches, two epochs and both KL terms. Step 1 and 3 have
    broken groups of every kind, step 2 has no pair.
    """
    return train_on(
        BROKEN + IN_PLACE_OF_THE_FAILED + WITHOUT_A_PAIR,
        tiny_models("qwen2"),
        tmp_path_factory.mktemp("degenerate"),
        *FSDP1,
        "trainer.v1.trainer_mode=amir_colocate_async",
        "trainer.v1.colocate_async.num_warmup_batches=0",  # no prompt of the next step in this one
        "actor_rollout_ref.actor.ppo_mini_batch_size=5",
        "actor_rollout_ref.actor.ppo_epochs=2",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "algorithm.use_kl_in_reward=True",
        STEPS=3,
        PROMPTS=10,
        GROUP=4,
    )


def test_training_goes_on_and_every_metric_is_a_number(degenerate):
    metrics, _ = degenerate
    assert sorted(metrics) == [1, 2, 3]
    assert {step: not_finite(data) for step, data in metrics.items()} == {1: [], 2: [], 3: []}
    assert all(data["actor/grad_norm"] > 0 for data in metrics.values())


def test_what_can_join_no_pair_is_counted_by_reason(degenerate):
    metrics, rows = degenerate
    names = ("dropped_rewards", "empty_responses", "groups_of_one", "padding_rows")
    seen = {step: [data[f"amir/{name}"] for name in names] for step, data in metrics.items()}
    padding = {step: sum(row["uid"].startswith("pad") for row in found) for step, found in rows.items()}
    assert seen == {1: [6, 3, 1, padding[1]], 2: [7, 3, 1, padding[2]], 3: [6, 3, 1, padding[3]]}
    assert padding[1] > 0


def test_failed_rollouts_are_replaced(degenerate):
    metrics, _ = degenerate
    name = "training/rollout_failure/evicted_samples"
    assert [metrics[step].get(name, 0) for step in (1, 2, 3)] == [2, 0, 2]


def test_broken_groups_leave_the_pairs_of_the_others_alone(degenerate):
    """Groups of a single value give none, so only the digits and the three that are left of one NaN count."""
    metrics, rows = degenerate
    for step in (1, 3):
        sizes = sorted(len(scores) for scores in final_scores(rows[step]))
        assert sizes == sorted([4, 3, 4, 3, 2, 4, 1, 3, 2, 2])
        assert 0 < metrics[step]["amir/num_pairs"] <= 6 + 3 + 3 + 1 + 1


def test_a_batch_without_a_pair_has_no_preference_loss_and_keeps_lambda(degenerate):
    metrics, _ = degenerate
    assert metrics[2]["amir/num_pairs"] == metrics[2]["amir/loss"] == metrics[2]["amir/grad_ratio"] == 0
    assert metrics[2]["amir/lambda"] == metrics[1]["amir/lambda"]
    assert metrics[3]["amir/grad_ratio"] == pytest.approx(1)


def test_a_second_epoch_counts_the_preference_loss_once(degenerate):
    metrics, _ = degenerate
    for step in (1, 3):
        assert metrics[step]["amir/loss"] == pytest.approx(math.log(2), abs=0.15)
        assert metrics[step]["amir/drift"] > 0


# Two nodes.


@pytest.fixture(scope="module")
def ray_of_two_nodes():
    """The address of a cluster of two nodes on this machine, a logical GPU each, and the cluster."""
    node = {"num_cpus": 16, "num_gpus": 1, "object_store_memory": 200_000_000}
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Else every `ray.init()` on this machine would join this cluster.
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def two_nodes(ray_of_two_nodes, tiny_models, tmp_path_factory):
    """A rank on each of two nodes: LoRA, packed sequences, filtered groups of several sizes, and sessions of
    several rows, two mini-batches a step.
    """
    groups = [
        (4, "digits", "whole"),
        (3, "digits", "in parts"),
        (6, "digits", "whole"),
        (4, "equal", "whole"),
        (4, "digits", "in parts"),
        (2, "error", "whole"),
        (5, "digits", "whole"),
    ]
    return train_on(
        groups,
        tiny_models("qwen2"),
        tmp_path_factory.mktemp("two_nodes"),
        "algorithm.filter_groups.enable=True",
        "trainer.v1.sampler.custom_sampler.path=null",
        "actor_rollout_ref.model.use_remove_padding=True",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        RAY_ADDRESS=ray_of_two_nodes.address,
        NNODES=2,
        RANKS=1,
        LORA_RANK=16,
        STEPS=2,
        PROMPTS=4,
        GROUP=4,
    )


def test_each_node_holds_a_rank(two_nodes, ray_of_two_nodes):
    actors = ray_of_two_nodes.global_state.actor_table(None, None, None).values()
    ranks = [actor for actor in actors if actor["ActorClassName"].endswith("WorkerDict")]
    nodes = [rank["Address"]["NodeID"] for rank in ranks]
    assert sorted(nodes.count(node) for node in set(nodes)) == [1, 1]


def test_adapters_train_over_nodes_and_reach_every_engine(two_nodes):
    metrics, _ = two_nodes
    assert sorted(metrics) == [1, 2]
    for data in metrics.values():
        assert not_finite(data) == []
        assert data["amir/grad_ratio"] == pytest.approx(1)
        assert data["amir/drift"] > 0
        assert data["training/rollout_probs_diff_max"] < 1e-4


def test_groups_of_one_reward_are_filtered_before_training(two_nodes):
    metrics, rows = two_nodes
    name = "training/filter_groups/evicted_samples"
    assert sum(data.get(name, 0) for data in metrics.values()) > 0
    for found in rows.values():
        assert all(len(set(scores)) > 1 for scores in final_scores(found))


def test_pairs_are_those_of_the_last_row_of_each_session(two_nodes):
    metrics, rows = two_nodes
    assert any(row["uid"].endswith("_1") for found in rows.values() for row in found)
    for step, data in metrics.items():
        groups = final_scores(rows[step])
        assert data["amir/num_pairs"] == sum(pairs_of_different_score(scores) for scores in groups) > 0
        assert data["amir/padding_rows"] == sum(row["uid"].startswith("pad") for row in rows[step])
