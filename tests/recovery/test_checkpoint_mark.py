"""Checkpoints: marked as complete when they are, with lambda's state in them."""

import json
import os

import pytest
from saved_checkpoints import FILES, restored, save, tracker_of, trainer, write_files

from amir_verl.config import AmirConfig
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.recovery.checkpoint_mark import (
    MarkingCallback,
    lambda_state,
    mark_complete,
    mark_unfinished,
    why_incomplete,
)
from amir_verl.recovery.resume_point import TRACKER, choose_resume_point, restore_lambda

# lambda's state


def test_a_saved_state_is_the_one_that_a_resumed_run_gets(tmp_path):
    lambdas = LambdaController(AmirConfig())
    lambdas.begin_step(policy_norm=1.0, preference_norm=3.0)  # a third: no short decimal
    save(tmp_path, 7, lambdas.state_dict())
    resumed = LambdaController(AmirConfig())
    restore_lambda(resumed.load_state_dict, trainer(tmp_path), 7)
    assert resumed.state_dict() == lambdas.state_dict()
    assert resumed.begin_step(policy_norm=0.0, preference_norm=0.0) == 1 / 3


def test_each_step_has_its_own_state(tmp_path):
    for step in (5, 10):
        save(tmp_path, step)
    assert restored(trainer(tmp_path), 5) == [{"value": 5}]
    assert restored(trainer(tmp_path), 10) == [{"value": 10}]


def test_a_run_resumed_from_a_path_reads_there(tmp_path):
    old = save(tmp_path / "old", 3, {"value": 1})
    save(tmp_path / "new", 3, {"value": 2})
    assert restored(trainer(tmp_path / "new", mode="resume_path", path=old), 3) == [{"value": 1}]


def test_a_path_without_resume_path_is_not_followed(tmp_path):
    """As verl does: `resume_from_path` counts under `resume_mode=resume_path` alone."""
    save(tmp_path, 3)
    assert restored(trainer(tmp_path, path=tmp_path / "elsewhere"), 3) == [{"value": 3}]


def test_a_state_of_another_schedule_is_refused_with_its_file(tmp_path):
    folder = save(tmp_path, 3, {"schedule": "constant", "value": 0.5, "steps": 3})
    with pytest.raises(ValueError) as refusal:
        restore_lambda(LambdaController(AmirConfig()).load_state_dict, trainer(tmp_path), 3)
    said = "lambda was saved under amir.lambda_schedule=constant, this run has grad_ratio"
    assert str(refusal.value) == f"{folder / 'amir.json'}: {said}"


def test_a_checkpoint_of_a_plain_run_is_refused_with_the_way_to_take_it(tmp_path):
    folder = tmp_path / "global_step_3"
    write_files(folder)
    (tmp_path / TRACKER).write_text("3")
    path = folder / "amir.json"
    with pytest.raises(ValueError) as refusal:
        choose_resume_point(trainer(tmp_path))
    assert str(refusal.value) == (
        f"{path} is missing: this checkpoint was not written by an AMIR run; "
        f"to go on from it with a fresh lambda: echo '{{}}' > {path}"
    )
    assert tracker_of(tmp_path) == "3"
    path.write_text("{}\n")
    choose_resume_point(trainer(tmp_path))
    assert restored(trainer(tmp_path), 3) == []  # lambda starts afresh


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"value": 0.',
        b"[1, 2]",
        b'"x"',
        b"null",
        b"\xff\xfe\x00",
        b"\x00" * 64,
        b'{"files": {"a": "b"}}',
    ],
    ids=repr,
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, content):
    save(tmp_path, 2)
    path = save(tmp_path, 3) / "amir.json"
    path.write_bytes(content)
    for refuse in (lambda: restored(trainer(tmp_path), 3), lambda: choose_resume_point(trainer(tmp_path))):
        with pytest.raises(ValueError) as refusal:
            refuse()
        assert str(refusal.value).startswith(f"{path} is damaged: ") and "\n" not in str(refusal.value)
    assert tracker_of(tmp_path) == "3"


def test_a_folder_in_the_files_place_is_named(tmp_path):
    path = tmp_path / "global_step_3" / "amir.json"
    path.mkdir(parents=True)
    with pytest.raises(ValueError, match="is damaged: "):
        restored(trainer(tmp_path), 3)


# the mark


def test_a_finished_save_is_complete_and_leaves_no_part_file(tmp_path):
    folder = save(tmp_path, 3)
    assert why_incomplete(folder) is None
    assert not (folder / "amir.json.part").exists()
    assert json.loads((folder / "amir.json").read_text()) == {
        "value": 3,
        "files": {name: len(content) for name, content in FILES.items() if "huggingface" not in name},
    }


@pytest.mark.parametrize("name", [name for name in FILES if "huggingface" not in name])
def test_a_checkpoint_without_one_of_its_files_or_bytes_is_not_complete(tmp_path, name):
    folder = save(tmp_path, 3)
    (folder / name).write_bytes(FILES[name][:-1])
    assert why_incomplete(folder) == f"has {len(FILES[name]) - 1} bytes of {len(FILES[name])} in {name}"
    (folder / name).unlink()
    assert why_incomplete(folder) == f"lacks {name}"


def test_what_an_export_writes_does_not_matter(tmp_path):
    folder = save(tmp_path / "huggingface", 3)  # nor where the checkpoints lie
    (folder / "actor/huggingface/config.json").write_text('{"changed": true}')
    (folder / "actor/huggingface/model.safetensors").write_bytes(b"w")
    assert why_incomplete(folder) is None
    (folder / "data.pt").unlink()
    assert why_incomplete(folder) == "lacks data.pt"


def test_a_second_save_into_a_folder_is_not_complete_until_it_ends(tmp_path):
    folder = save(tmp_path, 3)
    mark_unfinished(folder)
    assert why_incomplete(folder) == "was cut short while it was saved"
    mark_complete(folder, {"value": 4})
    assert why_incomplete(folder) is None
    assert lambda_state(folder) == {"value": 4}


def test_a_mark_that_is_cut_short_is_none(tmp_path, monkeypatch):
    folder = tmp_path / "global_step_3"
    mark_unfinished(folder)

    def no_space(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="no space left"):
        mark_complete(folder, {"value": 2})
    assert why_incomplete(folder) == "was cut short while it was saved"


# verl's callback


class Seen:
    """A user's callback that notes what it finds."""

    def __init__(self):
        self.calls = []

    def on_save(self, *, checkpoint_dir, **rest):
        self.calls.append((why_incomplete(checkpoint_dir, named=True), rest))


def steps_with_weights(directory):
    return sorted(int(path.parent.name.rpartition("_")[2]) for path in directory.glob("global_step_*/actor"))


def save_by_callback(callback, directory, step, **rest):
    folder = directory / f"global_step_{step}"
    mark_unfinished(folder)
    write_files(folder)
    callback.on_save(trainer=None, global_step=step, checkpoint_dir=str(folder), **rest)


@pytest.mark.parametrize("background", [False, True])
def test_the_users_callback_finds_a_complete_checkpoint(tmp_path, background):
    seen = Seen()
    callback = MarkingCallback(seen, trainer(tmp_path), lambda: {"value": 3})
    save_by_callback(callback, tmp_path, 3, async_save=background)
    assert seen.calls == [(None, {"trainer": None, "global_step": 3, "async_save": background})]
    assert ("files" in json.loads((tmp_path / "global_step_3" / "amir.json").read_text())) is not background


@pytest.mark.parametrize("settings", [{"max_actor_ckpt_to_keep": 1}, {"remove_previous_ckpt_in_save": True}])
def test_the_one_checkpoint_to_keep_goes_when_the_next_is_complete(tmp_path, settings):
    node = trainer(tmp_path, **settings)
    callback = MarkingCallback(Seen(), node, dict)
    assert node.max_actor_ckpt_to_keep == 2 and not node.get("remove_previous_ckpt_in_save")
    save_by_callback(callback, tmp_path, 2)
    (half := tmp_path / "global_step_4").mkdir()
    write_files(half)
    assert steps_with_weights(tmp_path) == [2, 4]  # while the next is written, the last complete one is there
    save_by_callback(callback, tmp_path, 4)
    assert steps_with_weights(tmp_path) == [4]
    save_by_callback(callback, tmp_path, 4)
    assert steps_with_weights(tmp_path) == [4]


@pytest.mark.parametrize("keep", [None, 2, 3])
def test_more_checkpoints_to_keep_are_verls_to_count(tmp_path, keep):
    node = trainer(tmp_path, max_actor_ckpt_to_keep=keep)
    callback = MarkingCallback(Seen(), node, dict)
    for step in (2, 4):
        save_by_callback(callback, tmp_path, step)
    assert node.max_actor_ckpt_to_keep == keep
    assert steps_with_weights(tmp_path) == [2, 4]


@pytest.mark.parametrize(
    ("unseen", "named"),
    [
        (["actor/model_world_size_2_rank_1.pt"], "actor/model_world_size_2_rank_1.pt"),
        (["actor/optim_world_size_2_rank_0.pt"], "actor/optim_world_size_2_rank_0.pt"),
        ([name for name in FILES if name.startswith("actor/")], "actor"),
    ],
    ids=["a rank's model", "a rank's optimizer", "all of the workers"],
)
def test_nodes_that_share_no_folder_are_noticed_at_the_first_save(tmp_path, capsys, unseen, named):
    callback = MarkingCallback(Seen(), trainer(tmp_path), dict)
    for step in (2, 4):
        folder = tmp_path / f"global_step_{step}"
        mark_unfinished(folder)
        write_files(folder)
        for name in unseen:
            (folder / name).unlink()
        callback.on_save(checkpoint_dir=str(folder))
    said = capsys.readouterr().out
    assert said.startswith(
        f"amir-verl: {tmp_path / 'global_step_2'} lacks {named} on the node of the trainer"
    )
    assert said.count("\n") == 1


def test_a_save_that_every_rank_has_written_is_not_remarked_upon(tmp_path, capsys):
    save_by_callback(MarkingCallback(Seen(), trainer(tmp_path), dict), tmp_path, 2)
    assert capsys.readouterr().out == ""


def test_every_lacking_file_counts(tmp_path):
    folder = save(tmp_path, 3)
    for name in list(FILES)[:3]:
        (folder / name).unlink()
    assert why_incomplete(folder) == "lacks actor/model_world_size_2_rank_0.pt and 2 more files"
