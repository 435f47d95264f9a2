"""`import verl` alone brings AMIR into a process: cheaply, loud when it fails, verl's files untouched."""

import base64
import hashlib
from importlib import metadata
from pathlib import Path

import pytest
import verl

from amir_verl import plugin


def test_verl_finds_the_plugin_by_its_entry_point():
    (entry,) = [entry for entry in metadata.entry_points(group="verl.plugins") if entry.name == "amir_verl"]
    assert entry.value == "amir_verl.plugin"


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
