"""The socket that weights go through: two runs on one machine do not share it, on any platform."""

import inspect
import types

import pytest
import verl

from amir_verl.platform import weight_socket


@pytest.fixture
def sockets(monkeypatch):
    """Names of the sockets of a sender and a receiver of weights, in a run whose Ray has this raylet; with
    vLLM's modules.
    """
    import ray
    from verl.workers.config import HFModelConfig, RolloutConfig
    from verl.workers.rollout.vllm_rollout import utils, vllm_rollout

    job = types.SimpleNamespace(get_job_id=lambda: "01000000")  # of the first job of every cluster
    monkeypatch.setattr(ray, "get_runtime_context", lambda: job)
    for name, value in {"RANK": "0", "RAY_LOCAL_WORLD_SIZE": "1", "VERL_RAY_JOB_ID": "01000000"}.items():
        monkeypatch.setenv(name, value)
    worker = types.SimpleNamespace(local_rank=0, model_runner=None)
    settings = RolloutConfig(name="vllm"), object.__new__(HFModelConfig), None

    def ends(raylet, *, patched):
        """What a sender holds, and the name that the receiver opens."""
        monkeypatch.setenv("RAY_RAYLET_PID", str(raylet))
        initialize, handle = (
            vllm_rollout.ServerAdapter.__init__,
            utils.vLLMColocateWorkerExtension._get_zmq_handle,
        )
        if not patched:
            initialize, handle = inspect.unwrap(initialize), inspect.unwrap(handle)
        sender = object.__new__(vllm_rollout.ServerAdapter)
        initialize(sender, *settings)
        return vars(sender), handle(worker)

    return ends


@pytest.mark.slow
def test_verl_needs_a_socket_of_each_ray(sockets):
    assert sockets(11, patched=False) == sockets(22, patched=False)


@pytest.mark.slow
def test_runs_on_one_machine_do_not_share_a_socket(sockets):
    (sender, receiver), (other, _) = sockets(11, patched=True), sockets(22, patched=True)
    assert sender["zmq_handle"] == receiver != other["zmq_handle"]


@pytest.mark.slow
def test_the_name_alone_is_not_verls(sockets):
    """So a run without AMIR is verl's own."""
    (sender, _), (verls, _) = sockets(11, patched=True), sockets(11, patched=False)
    assert sender == verls | {"zmq_handle": verls["zmq_handle"].replace("-replica-", "-raylet-11-replica-")}


@pytest.mark.parametrize(("version", "patched"), [("0.9.1", True), ("0.9.1.post1", True), ("0.9.2", False)])
def test_another_version_of_verl_is_left_alone(monkeypatch, version, patched):
    hooks = []
    monkeypatch.setattr(weight_socket.wrapt, "register_post_import_hook", lambda *hook: hooks.append(hook))
    weight_socket.name_after_raylet(version)
    assert bool(hooks) is patched


def test_the_verl_that_is_installed_is_the_one_that_was_read():
    """On the day of a new verl: look at both lines that the module names, and at its version."""
    assert verl.__version__ in weight_socket.VERL
