"""What a new process gets from `import verl` alone: AMIR, cheaply, and loud when it fails."""

import json
import os

import pytest
from warm_python import run_python

# What verl itself asks a user to set.
MICRO_BATCHES = [
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
]
REPORT = """
import json, sys
import verl
after_import = sorted(sys.modules)
from omegaconf import OmegaConf
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils import config
losses = core_algos.POLICY_LOSS_REGISTRY
names = lambda mode: [cls.__name__ for cls in get_trainer_cls(mode).__mro__]
wrapped = lambda loss: getattr(getattr(loss, "__wrapped__", None), "__name__", None)

def refusal():
    run = {"trainer": {"use_v1": True, "v1": {"trainer_mode": "amir_nowhere"}}, "algorithm": {}, "amir": {}}
    try:
        config.validate_config(OmegaConf.create(run), use_reference_policy=False, use_critic=False)
    except BaseException as error:
        return str(error)

print("REPORT " + json.dumps({
    "after_import": after_import,
    "losses": {name: wrapped(loss) for name, loss in losses.items()},
    "plain": {name: loss.__name__ for name, loss in losses.items() if not name.startswith("amir_")},
    "trainers": {mode: names(mode) for mode in ("amir_sync", "sync")},
    "refusal": refusal(),
    "platform_module": "amir_verl.platform.cpu" in sys.modules,
}))
"""


def environment(**more):
    """Of a process that knows of the plugin through its entry point alone."""
    names = ("VERL_", "RAY_", "PYTHONPATH")
    env = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    return env | {"OMP_NUM_THREADS": "1"} | more


@pytest.fixture(scope="module")
def fresh_process():
    ended = run_python("-c", REPORT, env=environment())
    assert ended.returncode == 0, ended.stderr
    line = next(line for line in ended.stdout.splitlines() if line.startswith("REPORT "))
    return json.loads(line.removeprefix("REPORT ")) | {"stderr": ended.stderr}


def test_every_loss_of_verl_is_there_with_preferences(fresh_process):
    plain, losses = fresh_process["plain"], fresh_process["losses"]
    assert {"vanilla", "gspo", "gpg", "cispo", "geo_mean"} <= set(plain)
    for name, function in plain.items():
        assert losses[f"amir_{name}"] == function, name
        assert losses[name] is None, f"verl's own {name} is wrapped"
    assert losses["amir_grpo"] == plain["vanilla"]
    assert losses["amir_gspo"] == plain["gspo"]
    assert set(losses) == set(plain) | {f"amir_{name}" for name in plain} | {"amir_grpo"}


def test_the_trainer_mode_extends_verls(fresh_process):
    line = fresh_process["trainers"]["amir_sync"]
    assert line[0] == "AmirTrainerSync"
    assert "AmirTrainer" in line and line.index("AmirTrainer") < line.index("PPOTrainerSync")
    assert not any(name.startswith("Amir") for name in fresh_process["trainers"]["sync"])


def test_runs_are_checked_before_ray(fresh_process):
    """verl itself would stumble over this run's missing settings, or not at all."""
    expected = "amir-verl: amir is set, but the run has no preset of AMIR: add +amir@_global_=grpo"
    assert fresh_process["refusal"] == expected


def test_import_verl_stays_cheap(fresh_process):
    """Nothing is imported that verl would not have: registrations wait for verl's own imports."""
    modules = set(fresh_process["after_import"])
    assert "amir_verl.plugin" in modules
    assert not {name for name in modules if name.startswith("verl.trainer.ppo")}
    ours = {"amir_verl.objective.loss", "amir_verl.trainer.driver", "amir_verl.data", "amir_verl.evaluation"}
    # None of them is in a warm Python before.
    assert not modules & (ours | {"vllm", "matplotlib", "sklearn", "scipy", "datasets.arrow_dataset"})


def test_without_verl_platform_the_host_is_left_alone(fresh_process):
    assert not fresh_process["platform_module"]


def test_a_plugin_that_loads_says_nothing(fresh_process):
    assert "amir" not in fresh_process["stderr"]


def test_an_error_inside_the_plugin_is_loud():
    """verl swallows it at DEBUG level; a broken plugin must not look like none."""
    broken = "import wrapt\ndef fail(*_):\n    raise RuntimeError('no hook today')\n"
    broken += "wrapt.register_post_import_hook = fail\n"
    ended = run_python("-c", broken + "import verl; print('verl runs')", env=environment())
    assert "verl runs" in ended.stdout
    lines = ended.stderr.splitlines()
    assert "RuntimeError: no hook today" in lines
    assert lines.count("amir-verl: the plugin failed to load, AMIR is off (the error stands above)") == 1
    assert any(line.startswith("Traceback") for line in lines)


def test_a_missing_part_is_named():
    """A part that pip would have installed is not there."""
    missing = "import sys\nsys.modules['wrapt'] = None\n"
    ended = run_python("-c", missing + "import verl; print('verl runs')", env=environment())
    assert "verl runs" in ended.stdout
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("amir-verl:")]
    assert line == "amir-verl: AMIR is off, wrapt is missing: pip install wrapt"


INSTALLED = """
import sys
import verl
from verl.utils import distributed
from amir_verl.platform import patches
print("PATCHED", hasattr(distributed.initialize_global_process_group_ray, "__wrapped__"),
      any(isinstance(finder, patches.VllmCpuIsVllm) for finder in sys.meta_path))
import verl.workers.engine.fsdp.transformer_impl as engine
print("PINNED", engine.CPUOffloadPolicy(pin_memory=True).pin_memory)
from verl.plugin.platform import get_platform
print("PLATFORM", type(get_platform()).__name__)
"""


def test_verl_platform_cpu_brings_every_patch():
    ended = run_python("-c", INSTALLED, env=environment(VERL_PLATFORM="cpu"))
    assert ended.returncode == 0, ended.stderr
    expected = ["PATCHED True True", "PINNED False", "PLATFORM CpuPlatform"]
    assert [line for line in ended.stdout.splitlines() if line in expected] == expected


# A process as on a machine with GPUs: stand-ins for the two modules of verl that import vLLM.
NAMES = """
import json, sys, types
import verl, wrapt
def stand_in(module, cls, **methods):
    made = types.ModuleType(f"verl.workers.rollout.vllm_rollout.{module}")
    setattr(made, cls, type(cls, (), methods))
    wrapt.notify_module_loaded(made)
    return getattr(made, cls)()
handle = "ipc:///tmp/rl-colocate-zmq-01000000-replica-0-rank-0.sock"
sender = stand_in("vllm_rollout", "ServerAdapter", __init__=lambda self: setattr(self, "zmq_handle", handle))
receiver = stand_in("utils", "vLLMColocateWorkerExtension", _get_zmq_handle=lambda self: handle)
loaded = sorted(name for name in sys.modules if name.startswith("amir_verl.platform"))
print("NAMES " + json.dumps([sender.zmq_handle, receiver._get_zmq_handle(), loaded]))
"""


def test_it_is_made_on_every_platform():
    """Without VERL_PLATFORM=cpu, as on GPUs; and none of the patches for a CPU."""
    ended = run_python("-c", NAMES, env=environment(RAY_RAYLET_PID="11"))
    assert ended.returncode == 0, ended.stderr
    line = next(line for line in ended.stdout.splitlines() if line.startswith("NAMES "))
    sender, receiver, loaded = json.loads(line.removeprefix("NAMES "))
    assert sender == receiver == "ipc:///tmp/rl-colocate-zmq-01000000-raylet-11-replica-0-rank-0.sock"
    assert "amir_verl.platform.weight_socket" in loaded
    assert not {"amir_verl.platform.cpu", "amir_verl.platform.patches"} & set(loaded)


def test_the_real_command_ends_in_one_line_and_starts_no_ray(tmp_path):
    """verl's own entry point, as a user runs it."""
    words = ["+amir=grpo", "amir.beta=-1", "actor_rollout_ref.rollout.n=4", *MICRO_BATCHES]
    env = environment(VERL_PLATFORM="cpu")
    ended = run_python("-m", "verl.trainer.main_ppo", *words, env=env, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "amir-verl: amir.beta must be above 0, got -1"
    assert ended.stderr.count("amir-verl") == 1
    said = ended.stdout + ended.stderr
    for sign in ("Traceback", "ray init kwargs", "Started a local Ray instance", "HYDRA_FULL_ERROR"):
        assert sign not in said
