"""A real training over two Ray nodes, a rank on each."""

import json
import tempfile

import pytest
from prompt_sets import final_scores, pairs_of_different_score, train_on
from ray.cluster_utils import Cluster
from trainings import BY_MINI_BATCHES, EVERY_STEP, SEQUENCE_MEAN, not_finite

from amir_verl.recovery.checkpoint_mark import why_incomplete

pytestmark = pytest.mark.slow
WARM_UP = 4


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
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two_nodes")


@pytest.fixture(scope="module")
def two_nodes(ray_of_two_nodes, tiny_models, folder):
    """Gemma 3 with adapters, packed sequences, filtered groups of several sizes, sessions of several rows,
    two mini-batches a step, a checkpoint each step.
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
        tiny_models("gemma3"),
        folder,
        "algorithm.filter_groups.enable=True",
        "trainer.v1.sampler.custom_sampler.path=null",
        "trainer.save_freq=1",
        "actor_rollout_ref.model.use_remove_padding=True",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        SEQUENCE_MEAN,
        f"amir.lambda_warmup_steps={WARM_UP}",
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


def test_two_ranks_log_every_metric_at_every_step(two_nodes):
    metrics, _ = two_nodes
    assert sorted(metrics) == [1, 2]
    for data in metrics.values():
        assert set(data) >= EVERY_STEP
        assert not_finite(data) == []
        assert not [name for name in data if name.startswith("actor/amir/")]


def test_adapters_train_over_nodes_and_reach_every_engine(two_nodes):
    metrics, _ = two_nodes
    for data in metrics.values():
        # Fresh rollouts carry the log-probabilities of the engine: they must be those of the trained weights.
        assert data["training/rollout_probs_diff_max"] < 1e-4
        assert data["actor/grad_norm"] > 0


def test_a_second_mini_batch_has_drifted_from_the_anchors(two_nodes):
    metrics, _ = two_nodes
    assert all(data["amir/drift"] > 0 for data in metrics.values())


def test_lambda_grows_to_its_target_over_the_warm_up(two_nodes):
    metrics, _ = two_nodes
    for step, data in metrics.items():
        assert data["amir/grad_ratio"] == pytest.approx(step / WARM_UP, rel=BY_MINI_BATCHES)


def test_a_checkpoint_is_marked_as_whole_with_the_files_of_both_ranks_and_the_adapters_sizes(
    two_nodes, folder
):
    checkpoint = folder / "checkpoints" / "global_step_2"
    record = json.loads((checkpoint / "amir.json").read_text())
    assert record["steps"] == 2
    assert {f"actor/optim_world_size_2_rank_{rank}.pt" for rank in (0, 1)} < set(record["files"])
    assert why_incomplete(checkpoint) is None
    # What the export needs to fold the adapters in.
    adapters = json.loads((checkpoint / "actor/lora_train_meta.json").read_text())
    assert (adapters["r"], adapters["lora_alpha"]) == (16, 32)


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
