"""Which checkpoint a run goes on from: the newest complete one, or the user is asked.

verl 0.9.1 resumes what its tracker names, complete or not, and starts at step 0 without a word where there is
no tracker (`trainer/ppo/v1/trainer_base.py:849`). Here a run starts over by itself only where nothing can be
lost: in a new folder, or where no save had come to its end. All else is `trainer.resume_mode=disable`.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from amir_verl.recovery.checkpoint_mark import (
    STATE_FILE,
    is_marked,
    lambda_state,
    was_cut_short,
    why_incomplete,
)

TRACKER = "latest_checkpointed_iteration.txt"
_REASONS_SAID = 3


class ResumePoint(NamedTuple):
    """The step to resume, None for a start at step 0; and why verl's tracker does not lead there by itself,
    empty if it does.
    """

    step: int | None
    reasons: list[str]


def find_resume_point(trainer: Any) -> ResumePoint:
    """Where a run goes on; changes nothing.

    Args:
        trainer: the `trainer` node of the run's settings.

    Raises:
        ValueError: the user has to choose; one line that names the folder or file, and what to set.
    """
    if trainer.resume_mode == "resume_path":
        folder = Path(str(trainer.resume_from_path))
        if reason := why_incomplete(folder, named=True):
            raise ValueError(f"trainer.resume_from_path={folder} {reason}")
    if trainer.resume_mode != "auto":
        return ResumePoint(None, [])
    directory = Path(trainer.default_local_dir)
    tracker, steps = directory / TRACKER, _saved_steps(directory)
    if not tracker.exists() and not steps:
        return ResumePoint(None, [])
    named, reasons = _named_step(tracker), []
    if named is None:
        reasons.append(f"{TRACKER} {'is empty or unreadable' if tracker.exists() else 'is missing'}")
    for step in sorted({*steps, *([] if named is None else [named])}, reverse=True):
        folder = _folder(directory, step)
        if named is not None and step > named and _may_be_passed(folder, _folder(directory, named)):
            continue
        reason = why_incomplete(folder, named=step == named)
        if reason is None:
            return ResumePoint(step, reasons)
        reasons.append(f"{folder.name} {reason}")
    killed_in_first_save = steps and all(was_cut_short(_folder(directory, step)) for step in steps)
    if killed_in_first_save and (named is None or named in steps):
        return ResumePoint(None, reasons)
    raise ValueError(
        f"{directory} has no complete checkpoint to resume: {_listed(reasons)}; "
        "put back what is missing, or start over with trainer.resume_mode=disable"
    )


def choose_resume_point(trainer: Any) -> None:
    """Make verl go on from a complete checkpoint, before it looks for one.

    A tracker that does not name the newest complete checkpoint up to its step is made to name it; one line
    says so. No file is ever deleted.

    Args:
        trainer: the `trainer` node of the run's settings.

    Raises:
        ValueError: the user has to choose; one line that names the folder or file, and what to set.
    """
    point = find_resume_point(trainer)
    if not point.reasons:
        return
    directory = Path(trainer.default_local_dir)
    if point.step is None:
        trainer.resume_mode = "disable"  # verl fails on an empty tracker
        outcome = "no save had come to its end, training starts at step 0"
    else:
        tracker = directory / TRACKER
        part = tracker.with_suffix(".part")
        part.write_text(str(point.step))
        os.replace(part, tracker)
        outcome = f"resuming from global_step_{point.step}"
    print(f"amir-verl: {directory}: {_listed(point.reasons)}: {outcome}", flush=True)


def restore_lambda(load_state: Callable[[dict[str, Any]], None], trainer: Any, step: int) -> None:
    """Give lambda the state that belongs to the checkpoint which verl resumed from.

    Args:
        load_state: of the lambda controller.
        trainer: the `trainer` node of the run's settings.
        step: the step that verl resumed.

    Raises:
        ValueError: the state is missing, damaged, or of another schedule; the line names the file.
    """
    path = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
    folder = Path(path or _folder(Path(trainer.default_local_dir), step))
    state = lambda_state(folder)
    try:
        if state:
            load_state(state)
    except ValueError as error:
        raise ValueError(f"{folder / STATE_FILE}: {error}") from None


def _folder(directory: Path, step: int) -> Path:
    return directory / f"global_step_{step}"


def _may_be_passed(later: Path, named: Path) -> bool:
    """Whether a step after the one that the tracker names is no reason to ask: the user has set the tracker
    back, or started over in a folder of old checkpoints. Not so for one that this run, its trainer on another
    node, has saved after it.
    """
    return is_marked(later) or (named.is_dir() and _saved_at(later) < _saved_at(named))


def _saved_at(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _saved_steps(directory: Path) -> list[int]:
    names = [path.name for path in directory.glob("global_step_*") if path.is_dir()]
    return [int(name.rpartition("_")[2]) for name in names if re.fullmatch(r"global_step_\d+", name)]


def _named_step(tracker: Path) -> int | None:
    try:
        return int(tracker.read_text())
    except (OSError, ValueError):
        return None


def _listed(reasons: list[str]) -> str:
    more = len(reasons) - _REASONS_SAID
    return "; ".join([*reasons[:_REASONS_SAID], *([f"and {more} more"] if more > 0 else [])])
