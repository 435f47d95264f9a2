"""What a run resumes from after it was killed: the newest whole checkpoint, or the user is asked."""

import pytest
from saved_checkpoints import cut_short, restored, save, tracker_of, trainer, write_files

from amir_verl.recovery import checkpoint


@pytest.mark.parametrize("content", ["", " ", "6", "60", "x\n", None], ids=repr)
def test_the_newest_whole_checkpoint_is_resumed_after_a_kill_while_saving(tmp_path, capsys, content):
    """Tracker: emptied by the kill, of a save without its mark, of a folder that is gone, or lost."""
    for step in (2, 4):
        save(tmp_path, step)
    half = cut_short(tmp_path, 6)
    tracker = tmp_path / checkpoint.TRACKER
    tracker.unlink() if content is None else tracker.write_text(content)
    checkpoint.settle(trainer(tmp_path))
    assert tracker_of(tmp_path) == "4"
    said = capsys.readouterr().out
    assert said.startswith(f"amir-verl: {tmp_path}: ") and said.endswith(": resuming from global_step_4\n")
    assert "global_step_6 was cut short while it was saved" in said and said.count("\n") == 1
    assert half.exists()  # verl writes it again
    checkpoint.settle(trainer(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_whole_checkpoint_that_the_tracker_names_is_left_alone(tmp_path, capsys):
    """Also one that the user has gone back to, and one beside a half-written newer one."""
    for step in (2, 4):
        save(tmp_path, step)
    cut_short(tmp_path, 6)
    for step in ("4", "2"):
        (tmp_path / checkpoint.TRACKER).write_text(step)
        checkpoint.settle(trainer(tmp_path))
        assert tracker_of(tmp_path) == step
    assert capsys.readouterr().out == ""


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (9, 10, 8):
        save(tmp_path, step)
    (tmp_path / checkpoint.TRACKER).write_text("")
    checkpoint.settle(trainer(tmp_path))
    assert tracker_of(tmp_path) == "10"


def test_a_step_that_the_user_went_back_to_is_not_passed(tmp_path):
    for step in (2, 4, 6):
        save(tmp_path, step)
    (tmp_path / "global_step_4" / "data.pt").unlink()
    (tmp_path / checkpoint.TRACKER).write_text("4")
    checkpoint.settle(trainer(tmp_path))
    assert tracker_of(tmp_path) == "2"


@pytest.mark.parametrize("content", ["", None], ids=repr)
def test_a_kill_in_the_first_save_starts_at_the_beginning(tmp_path, capsys, content):
    cut_short(tmp_path, 2)
    if content is not None:
        (tmp_path / checkpoint.TRACKER).write_text(content)
    checkpoint.settle(trainer(tmp_path))
    assert not (tmp_path / checkpoint.TRACKER).exists()
    assert "no whole checkpoint, the training starts at step 0" in capsys.readouterr().out


@pytest.mark.parametrize("made", [False, True])
def test_a_new_run_is_left_to_verl(tmp_path, capsys, made):
    directory = tmp_path / "checkpoints"
    if made:
        write_files(
            directory / "global_step_3"
        )  # a plain run without a tracker: verl starts at the beginning
    checkpoint.settle(trainer(directory))
    assert capsys.readouterr().out == ""
    assert not (directory / checkpoint.TRACKER).exists()


def test_a_plain_checkpoint_is_not_overwritten_for_an_empty_tracker(tmp_path):
    write_files(tmp_path / "global_step_3")
    (tmp_path / checkpoint.TRACKER).write_text("")
    with pytest.raises(ValueError, match="was not written by an AMIR run"):
        checkpoint.settle(trainer(tmp_path))
    assert tracker_of(tmp_path) == ""


def test_a_save_in_the_background_is_whole_when_the_tracker_says_so(tmp_path):
    folder = tmp_path / "global_step_3"
    checkpoint.begin(folder)
    checkpoint.finish(folder, {"value": 3}, list_files=False)
    (tmp_path / checkpoint.TRACKER).write_text("3")
    checkpoint.settle(trainer(tmp_path))
    assert restored(trainer(tmp_path), 3) == [{"value": 3}]
    (tmp_path / checkpoint.TRACKER).write_text("")
    with pytest.raises(ValueError, match=r"lists no files.*resume_from_path="):
        checkpoint.settle(trainer(tmp_path))
    checkpoint.settle(trainer(tmp_path, mode="resume_path", path=folder))


def test_a_path_to_half_a_checkpoint_is_refused(tmp_path):
    half = cut_short(tmp_path, 6)
    with pytest.raises(ValueError, match=f"resume_from_path={half} was cut short while it was saved"):
        checkpoint.settle(trainer(tmp_path, mode="resume_path", path=half))


def test_nothing_is_touched_when_the_run_does_not_resume(tmp_path, capsys):
    cut_short(tmp_path, 6)
    (tmp_path / checkpoint.TRACKER).write_text("6")
    checkpoint.settle(trainer(tmp_path, mode="disable"))
    assert tracker_of(tmp_path) == "6" and capsys.readouterr().out == ""
