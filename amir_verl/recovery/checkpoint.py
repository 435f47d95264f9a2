"""Whole checkpoints: lambda's state, and the mark that tells a finished save from half of one.

verl 0.9.1 writes a checkpoint file by file and then its tracker, `latest_checkpointed_iteration.txt`, in
place (`trainer/ppo/v1/trainer_base.py:948`). A process killed on the way leaves a part of the files, or an
empty tracker that verl cannot read again. So `amir.json.part` stands in the folder of the step while it is
written, and `amir.json`, with lambda's state and the size of every file that resuming reads, takes its place
when all else is there. It tells what a killed process leaves, not what a machine without power does.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_NAME = "amir.json"
PART_NAME = f"{FILE_NAME}.part"
TRACKER = "latest_checkpointed_iteration.txt"
_NOT_AMIR = "this checkpoint was not written by an AMIR run"


def begin(folder: str | Path) -> None:
    """Take the mark off a folder that is about to be written, if it bears one of an earlier save."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PART_NAME).touch()
    (folder / FILE_NAME).unlink(missing_ok=True)


def finish(folder: str | Path, state: dict[str, Any], *, list_files: bool = True) -> None:
    """Mark a folder as whole, and keep lambda's `state` in it.

    Args:
        folder: `global_step_N` below verl's checkpoint directory, written.
        state: of the lambda controller.
        list_files: False when writing goes on in the background; then verl's tracker alone tells its end.
    """
    folder = Path(folder)
    record = state | {"files": _sizes(folder)} if list_files else state
    part = folder / PART_NAME
    part.write_text(json.dumps(record))
    os.replace(part, folder / FILE_NAME)


def load(folder: str | Path) -> dict[str, Any]:
    """lambda's state from a checkpoint; empty where the user has asked for a fresh one with an empty object.

    Raises:
        ValueError: the file is missing or damaged; the line names it.
    """
    return {name: value for name, value in _read(Path(folder)).items() if name != "files"}


def restore(load_state: Callable[[dict[str, Any]], None], trainer: Any, step: int) -> None:
    """Give lambda the state that belongs to the checkpoint which verl resumed from.

    Args:
        load_state: of the lambda controller.
        trainer: the `trainer` node of the run.
        step: the step that verl resumed.

    Raises:
        ValueError: the state is missing, damaged, or of another schedule; the line names the file.
    """
    path = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
    folder = Path(path or Path(trainer.default_local_dir) / f"global_step_{step}")
    state = load(folder)
    try:
        if state:
            load_state(state)
    except ValueError as error:
        raise ValueError(f"{folder / FILE_NAME}: {error}") from None


def flaw(folder: str | Path, *, chosen: bool = False) -> str | None:
    """What keeps a checkpoint from being resumed: a save that was cut short, or a file that is not as it was
    written. None if it is whole.

    Args:
        folder: `global_step_N`.
        chosen: the user or verl's tracker names it, which is enough where its files are not listed.

    Raises:
        ValueError: the checkpoint is another program's, its state file is damaged, or nothing tells whether
            it is whole. None of these is left by a killed run, so the user has to look.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return "is missing"
    if (folder / PART_NAME).exists() and not (folder / FILE_NAME).exists():
        return "was cut short while it was saved"
    record = _read(folder)
    if "files" not in record and not chosen:
        raise ValueError(
            f"{folder / FILE_NAME} lists no files, so nothing tells whether the checkpoint is whole: "
            f"to take it, trainer.resume_mode=resume_path trainer.resume_from_path={folder}"
        )
    sizes = _sizes(folder)
    for name, size in record.get("files", {}).items():
        if name not in sizes:
            return f"lacks {name}"
        if sizes[name] != size:
            return f"has {sizes[name]} bytes of {size} in {name}"
    return None


def settle(trainer: Any) -> None:
    """See to it that verl resumes from a whole checkpoint, before it looks for one.

    With `resume_mode=auto`, a tracker that does not name a whole checkpoint is made to name the newest whole
    one before it, and taken away if there is none; one line says so.

    Args:
        trainer: the `trainer` node of the run.

    Raises:
        ValueError: the user has to choose; one line that names the folder or file.
    """
    if trainer.resume_mode == "resume_path":
        folder = Path(str(trainer.resume_from_path))
        if reason := flaw(folder, chosen=True):
            raise ValueError(f"trainer.resume_from_path={folder} {reason}")
    if trainer.resume_mode != "auto":
        return
    directory = Path(trainer.default_local_dir)
    tracker = directory / TRACKER
    steps = _saved_steps(directory)
    if not tracker.exists() and not any(_is_ours(directory / f"global_step_{step}") for step in steps):
        return  # a new run, or as verl takes it: a start from the beginning
    named = _named_step(tracker)
    step, reasons = _newest_whole(directory, steps, named)
    if step is not None and step == named:
        return
    if step is None:
        tracker.unlink(missing_ok=True)
        outcome = "no whole checkpoint, the training starts at step 0"
    else:
        part = tracker.with_suffix(".part")
        part.write_text(str(step))
        os.replace(part, tracker)
        outcome = f"resuming from global_step_{step}"
    print(f"amir-verl: {directory}: {'; '.join(reasons)}: {outcome}", flush=True)


def _newest_whole(directory: Path, steps: list[int], named: int | None) -> tuple[int | None, list[str]]:
    """The step to resume, and why none after it."""
    reasons = []
    if named is None:
        state = "is empty or unreadable" if (directory / TRACKER).exists() else "is missing"
        reasons.append(f"{TRACKER} {state}")
    else:
        # The user may have set it back on purpose.
        steps = [step for step in steps if step <= named] + [named] * (named not in steps)
    for step in sorted(steps, reverse=True):
        name = f"global_step_{step}"
        reason = flaw(directory / name, chosen=step == named)
        if reason is None:
            return step, reasons
        reasons.append(f"{name} {reason}")
    return None, reasons


class MarkingCallback:
    """verl's checkpoint callback: marks the folder as whole, then calls the user's own.

    Under `max_actor_ckpt_to_keep=1` verl deletes the old checkpoint when the workers have written theirs of
    the new one, and only then writes the rest: for a moment none is whole. So verl is told to keep two, and
    the older one goes here, after the mark.
    """

    def __init__(self, callback: Any, trainer: Any, state: Callable[[], dict[str, Any]]) -> None:
        self._callback = callback
        self._state = state
        self._previous: Path | None = None
        self._keep_one = []
        for role in ("actor", "critic"):
            limit = f"max_{role}_ckpt_to_keep"
            if trainer.get(limit) == 1 or trainer.get("remove_previous_ckpt_in_save"):
                trainer[limit] = 2
                self._keep_one.append(role)
        if trainer.get("remove_previous_ckpt_in_save"):
            trainer.remove_previous_ckpt_in_save = False

    def on_save(self, *, checkpoint_dir: str, async_save: bool = False, **rest: Any) -> None:
        """Called by verl when all files and the tracker are written."""
        folder = Path(checkpoint_dir)
        finish(folder, self._state(), list_files=not async_save)
        for role in self._keep_one if self._previous not in (None, folder) and not async_save else ():
            shutil.rmtree(self._previous / role, ignore_errors=True)
        self._previous = folder
        self._callback.on_save(checkpoint_dir=checkpoint_dir, async_save=async_save, **rest)


def _read(folder: Path) -> dict[str, Any]:
    """The state file of a checkpoint: lambda's state and, under "files", bytes by name."""
    path = folder / FILE_NAME
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        if (folder / PART_NAME).exists():
            raise ValueError(f"{path} is missing: the checkpoint was cut short while it was saved") from None
        raise ValueError(
            f"{path} is missing: this checkpoint was not written by an AMIR run; "
            f"to go on from it with a fresh lambda: echo '{{}}' > {path}"
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    files = record.get("files", {})
    if not isinstance(files, dict) or not all(type(size) is int for size in files.values()):
        raise ValueError(f"{path} is damaged: its list of files")
    return record


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file below `folder` that resuming reads, by its path in it."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path.stat().st_size
        for name, path in found.items()
        # huggingface/: for use elsewhere, and exports write into it later.
        if name.name not in (FILE_NAME, PART_NAME) and "huggingface" not in name.parts
    }


def _saved_steps(directory: Path) -> list[int]:
    names = [path.name for path in directory.glob("global_step_*") if path.is_dir()]
    return [int(name.rpartition("_")[2]) for name in names if re.fullmatch(r"global_step_\d+", name)]


def _is_ours(folder: Path) -> bool:
    return (folder / FILE_NAME).exists() or (folder / PART_NAME).exists()


def _named_step(tracker: Path) -> int | None:
    try:
        return int(tracker.read_text())
    except (OSError, ValueError):
        return None
