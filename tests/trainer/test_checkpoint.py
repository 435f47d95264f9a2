"""lambda beside verl's checkpoint: saved whole, loaded from where verl resumes, refused when damaged."""

import os

import pytest
from omegaconf import OmegaConf

from amir_verl.config import AmirConfig
from amir_verl.schedule import LambdaController
from amir_verl.trainer import checkpoint


def trainer(folder, *, mode="auto", path=None):
    return OmegaConf.create(
        {
            "default_local_dir": str(folder),
            "resume_mode": mode,
            "resume_from_path": None if path is None else str(path),
        }
    )


def test_a_saved_state_is_the_one_that_a_resumed_run_gets(tmp_path):
    lambdas = LambdaController(AmirConfig())
    lambdas.begin_step(policy_norm=1.0, preference_norm=3.0)  # a third: no short decimal
    checkpoint.save(tmp_path, 7, lambdas.state_dict())
    resumed = LambdaController(AmirConfig())
    resumed.load_state_dict(checkpoint.load(trainer(tmp_path), 7))
    assert resumed.state_dict() == lambdas.state_dict()
    assert resumed.begin_step(policy_norm=0.0, preference_norm=0.0) == 1 / 3


def test_each_step_has_its_own_state(tmp_path):
    for step in (5, 10):
        checkpoint.save(tmp_path, step, {"value": step})
    assert checkpoint.load(trainer(tmp_path), 5) == {"value": 5}
    assert checkpoint.load(trainer(tmp_path), 10) == {"value": 10}


def test_a_run_resumed_from_a_path_reads_there(tmp_path):
    checkpoint.save(tmp_path / "old", 3, {"value": 1})
    checkpoint.save(tmp_path / "new", 3, {"value": 2})
    resumed = trainer(tmp_path / "new", mode="resume_path", path=tmp_path / "old" / "global_step_3")
    assert checkpoint.load(resumed, 3) == {"value": 1}


def test_a_path_without_resume_path_is_not_followed(tmp_path):
    """As verl does: `resume_from_path` counts under `resume_mode=resume_path` alone."""
    checkpoint.save(tmp_path, 3, {"value": 2})
    assert checkpoint.load(trainer(tmp_path, path=tmp_path / "elsewhere"), 3) == {"value": 2}


def test_a_save_that_is_cut_short_leaves_the_old_state(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 3, {"value": 1})

    def cut_short(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", cut_short)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(tmp_path, 3, {"value": 2})
    assert checkpoint.load(trainer(tmp_path), 3) == {"value": 1}


def test_a_checkpoint_of_a_plain_run_is_named(tmp_path):
    (tmp_path / "global_step_3").mkdir()
    path = tmp_path / "global_step_3" / "amir.json"
    with pytest.raises(ValueError) as refusal:
        checkpoint.load(trainer(tmp_path), 3)
    assert str(refusal.value) == f"{path} is missing: this checkpoint was not written by an AMIR run"


@pytest.mark.parametrize(
    "content", [b"", b'{"value": 0.', b"[1, 2]", b'"x"', b"null", b"\xff\xfe\x00", b"\x00" * 64], ids=repr
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, content):
    checkpoint.save(tmp_path, 3, {"value": 1})
    path = tmp_path / "global_step_3" / "amir.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        checkpoint.load(trainer(tmp_path), 3)
    assert str(refusal.value).startswith(f"{path} is damaged: ") and "\n" not in str(refusal.value)


def test_a_folder_in_the_files_place_is_named(tmp_path):
    path = tmp_path / "global_step_3" / "amir.json"
    path.mkdir(parents=True)
    with pytest.raises(ValueError, match="is damaged: "):
        checkpoint.load(trainer(tmp_path), 3)
