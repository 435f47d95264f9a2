"""What a run resumes from after it was killed: the newest complete checkpoint, or the user is asked."""

import os

import pytest
from saved_checkpoints import cut_short, fragment, restored, save, tracker_of, trainer, write_files

from amir_verl.recovery.checkpoint_mark import mark_complete, mark_unfinished
from amir_verl.recovery.resume_point import TRACKER, choose_resume_point, find_resume_point


@pytest.mark.parametrize("content", ["", " ", "6", "60", "x\n", None], ids=repr)
def test_the_newest_complete_checkpoint_is_resumed_after_a_kill_while_saving(tmp_path, capsys, content):
    """Tracker: emptied by the kill, of a save without its mark, of a folder that is gone, or lost."""
    for step in (2, 4):
        save(tmp_path, step)
    half = cut_short(tmp_path, 6)
    tracker = tmp_path / TRACKER
    tracker.unlink() if content is None else tracker.write_text(content)
    choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == "4"
    said = capsys.readouterr().out
    assert said.startswith(f"amir-verl: {tmp_path}: ") and said.endswith(": resuming from global_step_4\n")
    assert "global_step_6 was cut short while it was saved" in said and said.count("\n") == 1
    assert half.exists()  # verl writes it again
    choose_resume_point(trainer(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_complete_checkpoint_that_the_tracker_names_is_left_alone(tmp_path, capsys):
    """Also one that the user has gone back to, and one beside a half-written newer one."""
    for step in (2, 4):
        save(tmp_path, step)
    cut_short(tmp_path, 6)
    for step in ("4", "2"):
        (tmp_path / TRACKER).write_text(step)
        choose_resume_point(trainer(tmp_path))
        assert tracker_of(tmp_path) == step
    assert capsys.readouterr().out == ""


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (9, 10, 8):
        save(tmp_path, step)
    (tmp_path / TRACKER).write_text("")
    choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == "10"


def test_a_step_that_the_user_went_back_to_is_not_passed(tmp_path):
    for step in (2, 4, 6):
        save(tmp_path, step)
    (tmp_path / "global_step_4" / "data.pt").unlink()
    (tmp_path / TRACKER).write_text("4")
    choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == "2"


@pytest.mark.parametrize("content", ["", "2", None], ids=repr)
def test_a_kill_in_the_first_save_starts_at_the_beginning(tmp_path, capsys, content):
    cut_short(tmp_path, 2)
    if content is not None:
        (tmp_path / TRACKER).write_text(content)
    node = trainer(tmp_path)
    choose_resume_point(node)
    assert node.resume_mode == "disable"  # verl fails on an empty tracker
    assert content is None or tracker_of(tmp_path) == content
    said = capsys.readouterr().out
    assert said.endswith(": no save had come to its end, training starts at step 0\n")
    assert "global_step_2 was cut short while it was saved" in said and said.count("\n") == 1


@pytest.mark.parametrize("made", [False, True])
def test_a_new_run_is_left_to_verl(tmp_path, capsys, made):
    directory = tmp_path / "checkpoints"
    if made:
        directory.mkdir()
    node = trainer(directory)
    choose_resume_point(node)
    assert capsys.readouterr().out == "" and node.resume_mode == "auto"
    assert not (directory / TRACKER).exists()


# What the user has to decide: nothing is changed, and one line says what to do.


def refusal(directory, **settings):
    """The one line of a refusal, which left every file as it was, whichever function was asked."""
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    lines = set()
    for ask in (find_resume_point, choose_resume_point):
        with pytest.raises(ValueError) as raised:
            ask(trainer(directory, **settings))
        lines.add(str(raised.value))
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    (line,) = lines
    assert "\n" not in line
    return line


def start_over(directory):
    """The same run with the word that every refusal gives: verl does not look at the folder."""
    node = trainer(directory, mode="disable")
    choose_resume_point(node)
    assert node.resume_mode == "disable"


START_OVER = "trainer.resume_mode=disable"


@pytest.mark.parametrize("steps", [(2,), (2, 4)])
def test_fragments_without_a_tracker_are_not_started_over(tmp_path, steps):
    """Two nodes with disks of their own: the trainer wrote mark and tracker on the other one."""
    for step in steps:
        fragment(tmp_path, step)
    newest = tmp_path / f"global_step_{steps[-1]}"
    assert refusal(tmp_path) == (
        f"{newest} has neither amir.json nor data.pt, which the trainer writes: "
        "it wrote them to another node's disk (trainer.default_local_dir must be a folder that all nodes "
        f"share), or verl was stopped while saving; to start over: {START_OVER}"
    )
    start_over(tmp_path)


def test_a_fragment_newer_than_the_tracker_is_not_thrown_away(tmp_path):
    """The trainer was on this node for step 2, and on another one for step 4."""
    save(tmp_path, 2)
    fragment(tmp_path, 4)
    assert f"{tmp_path / 'global_step_4'} has neither amir.json nor data.pt" in refusal(tmp_path)
    choose_resume_point(trainer(tmp_path, mode="resume_path", path=tmp_path / "global_step_2"))


def test_the_trainers_part_of_a_checkpoint_is_taken_where_it_was_written(tmp_path, capsys):
    """It lists the files of its own node; the workers find theirs, or verl stops with their names."""
    folder = save(tmp_path, 2)
    (folder / "actor/model_world_size_2_rank_1.pt").unlink()
    mark_unfinished(folder)
    mark_complete(folder, {"value": 2})
    choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == "2" and capsys.readouterr().out == ""


def test_plain_checkpoints_without_a_tracker_are_not_started_over(tmp_path):
    folder = tmp_path / "global_step_3"
    write_files(folder)
    line = refusal(tmp_path)
    assert f"echo '{{}}' > {folder / 'amir.json'}, and start with trainer.resume_mode=resume_path" in line
    assert line.endswith(START_OVER)
    (folder / "amir.json").write_text("{}")
    choose_resume_point(trainer(tmp_path, mode="resume_path", path=folder))


def test_an_old_runs_checkpoints_do_not_stop_one_that_was_started_over(tmp_path, capsys):
    write_files(tmp_path / "global_step_100")
    age(tmp_path / "global_step_100", days=1)
    save(tmp_path, 10)
    choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == "10" and capsys.readouterr().out == ""


def age(folder, *, days):
    for path in (folder, *folder.rglob("*")):
        then = path.stat().st_mtime - 86400 * days
        os.utime(path, (then, then))


@pytest.mark.parametrize("tracker", ["4", "", None], ids=repr)
def test_a_lost_file_is_named_where_no_older_checkpoint_is_complete(tmp_path, tracker):
    for step in (2, 4):
        folder = save(tmp_path, step)
    (tmp_path / "global_step_2" / "data.pt").unlink()
    (folder / "actor/model_world_size_2_rank_1.pt").unlink()
    (tmp_path / TRACKER).unlink() if tracker is None else (tmp_path / TRACKER).write_text(tracker)
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path} has no complete checkpoint to resume: ")
    assert "global_step_4 lacks actor/model_world_size_2_rank_1.pt; global_step_2 lacks data.pt; " in line
    assert line.endswith(f"put back what is missing, or start over with {START_OVER}")
    start_over(tmp_path)


def test_a_lost_file_beside_a_save_that_was_cut_short_is_no_first_save(tmp_path):
    (save(tmp_path, 2) / "data.pt").unlink()
    cut_short(tmp_path, 4)
    (tmp_path / TRACKER).write_text("4")
    assert "global_step_4 was cut short while it was saved; global_step_2 lacks data.pt" in refusal(tmp_path)


@pytest.mark.parametrize("beside", [False, True])
def test_a_tracker_whose_checkpoint_is_gone_is_not_started_over(tmp_path, beside):
    """Also where a save that was cut short is left: the tracker tells of one that had been complete."""
    (tmp_path / TRACKER).write_text("60")
    if beside:
        cut_short(tmp_path, 62)
    assert "global_step_60 is missing" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "x\n"], ids=repr)
def test_a_tracker_without_a_step_or_a_checkpoint_is_not_started_over(tmp_path, content):
    (tmp_path / TRACKER).write_text(content)
    assert f"{TRACKER} is empty or unreadable" in refusal(tmp_path)


def test_of_many_incomplete_checkpoints_the_newest_are_named(tmp_path):
    for step in range(1, 21):
        (save(tmp_path, step) / "data.pt").unlink()
    line = refusal(tmp_path)
    assert "global_step_18 lacks data.pt; and 17 more" in line and "global_step_17" not in line


def test_a_plain_checkpoint_is_not_overwritten_for_an_empty_tracker(tmp_path):
    write_files(tmp_path / "global_step_3")
    (tmp_path / TRACKER).write_text("")
    with pytest.raises(ValueError, match="was not written by an AMIR run"):
        choose_resume_point(trainer(tmp_path))
    assert tracker_of(tmp_path) == ""


def test_a_save_in_the_background_is_complete_when_the_tracker_says_so(tmp_path):
    folder = tmp_path / "global_step_3"
    mark_unfinished(folder)
    mark_complete(folder, {"value": 3}, list_files=False)
    (tmp_path / TRACKER).write_text("3")
    choose_resume_point(trainer(tmp_path))
    assert restored(trainer(tmp_path), 3) == [{"value": 3}]
    (tmp_path / TRACKER).write_text("")
    with pytest.raises(ValueError, match=r"lists no files.*resume_from_path="):
        choose_resume_point(trainer(tmp_path))
    choose_resume_point(trainer(tmp_path, mode="resume_path", path=folder))


def test_a_path_to_half_a_checkpoint_is_refused(tmp_path):
    half = cut_short(tmp_path, 6)
    with pytest.raises(ValueError, match=f"resume_from_path={half} was cut short while it was saved"):
        choose_resume_point(trainer(tmp_path, mode="resume_path", path=half))


def test_nothing_is_touched_when_the_run_does_not_resume(tmp_path, capsys):
    cut_short(tmp_path, 6)
    (tmp_path / TRACKER).write_text("6")
    choose_resume_point(trainer(tmp_path, mode="disable"))
    assert tracker_of(tmp_path) == "6" and capsys.readouterr().out == ""


def test_a_run_is_refused_before_ray_starts(tmp_path):
    from amir_verl.cli.composition import composed_run
    from amir_verl.trainer.preflight import check_run

    run = ["+amir=grpo", "actor_rollout_ref.rollout.n=4", f"trainer.default_local_dir={tmp_path}"]
    fragment(tmp_path, 2)
    with pytest.raises(ValueError, match="global_step_2 has neither "):
        check_run(composed_run(run))
    check_run(composed_run([*run, START_OVER]))
    check_run(composed_run(["algorithm.adv_estimator=grpo", *run[2:]]))  # verl's own runs are verl's
