"""`import verl` alone brings AMIR into a process: cheaply, loud when it fails, verl's files untouched."""

import base64
import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
import verl
from warm_python import run_python

from amir_verl import plugin

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


def environment():
    """Of a process that knows of the plugin through its entry point alone."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("VERL_", "PYTHONPATH"))}
    return env | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def fresh_process():
    ended = run_python("-c", REPORT, env=environment())
    assert ended.returncode == 0, ended.stderr
    line = next(line for line in ended.stdout.splitlines() if line.startswith("REPORT "))
    return json.loads(line.removeprefix("REPORT ")) | {"stderr": ended.stderr}


def test_verl_finds_the_plugin_by_its_entry_point():
    (entry,) = [entry for entry in metadata.entry_points(group="verl.plugins") if entry.name == "amir_verl"]
    assert entry.value == "amir_verl.plugin"


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


@pytest.mark.parametrize("version", ["0.8.2", "0.9.0", "0.9.1rc1", "0.10.0.dev0", "0.10.0", "1.0"])
def test_a_verl_outside_the_range_gets_one_line_and_no_hook(version, monkeypatch, capsys):
    hooks = []
    monkeypatch.setattr(plugin.wrapt, "register_post_import_hook", lambda *hook: hooks.append(hook))
    monkeypatch.setattr(verl, "__version__", version)
    plugin._load()
    expected = f"amir-verl: AMIR is off, verl {version} is not supported: pip install 'verl>=0.9.1,<0.10'\n"
    assert capsys.readouterr().err == expected
    assert hooks == []


@pytest.mark.parametrize("version", ["0.9.1", "0.9.1.post1", "0.9.2.dev3", "0.9.7"])
def test_a_verl_inside_the_range_is_hooked_in_silence(version, monkeypatch, capsys):
    hooks = {}
    monkeypatch.setattr(
        plugin.wrapt, "register_post_import_hook", lambda hook, name: hooks.update({name: hook})
    )
    monkeypatch.setattr(verl, "__version__", version)
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    plugin._load()
    assert capsys.readouterr().err == ""
    assert {"verl.trainer.ppo.core_algos", "verl.trainer.ppo.v1", "verl.utils.config"} <= set(hooks)


def test_the_supported_range_is_the_packages():
    requirements = [
        line for line in metadata.requires("amir-verl") if line.replace(" ", "").startswith("verl")
    ]
    plain = next(line for line in requirements if "extra" not in line)
    assert set(plain.removeprefix("verl").strip().split(",")) == set(plugin.SUPPORTED_VERL.split(","))


def test_verls_files_are_as_pip_wrote_them():
    files = [file for file in metadata.files("verl") or [] if file.suffix == ".py" and file.hash]
    if not files:
        pytest.skip("verl was not installed from a wheel: its files have no recorded hash")
    assert any("trainer_base.py" in str(file) for file in files) and len(files) > 300
    changed = []
    for file in files:
        digest = hashlib.new(file.hash.mode, Path(file.locate()).read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    assert changed == []
