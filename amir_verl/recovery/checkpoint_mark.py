"""The mark that tells a complete checkpoint from half of one, with lambda's state in it.

verl 0.9.1 writes a checkpoint file by file and then its tracker, `latest_checkpointed_iteration.txt`, in
place (`trainer/ppo/v1/trainer_base.py:948`). A process killed on the way leaves some of the files, or an
empty tracker that verl cannot read again. So `amir.json.part` stands in the folder of the step while it is
written, and `amir.json`, with lambda's state and the size of every file that resuming reads, takes its place
when all else is there. It tells what a killed process leaves, not what a machine that lost power does.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATE_FILE = "amir.json"
PART_FILE = f"{STATE_FILE}.part"
# Every rank writes its own (verl/utils/checkpoint/fsdp_checkpoint_manager.py).
_RANK_FILE = re.compile(r"(.+_world_size_)(\d+)_rank_\d+\.pt")


def mark_unfinished(folder: str | Path) -> None:
    """Say that a folder is about to be written, and take off the mark of an earlier save."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PART_FILE).touch()
    (folder / STATE_FILE).unlink(missing_ok=True)


def mark_complete(folder: str | Path, state: dict[str, Any], *, list_files: bool = True) -> None:
    """Say that a folder is complete, and keep lambda's `state` in it.

    Args:
        folder: `global_step_N` below verl's checkpoint directory, written.
        state: of the lambda controller.
        list_files: False when writing goes on in the background; then verl's tracker alone tells its end.
    """
    folder = Path(folder)
    record = state | {"files": _sizes(folder)} if list_files else state
    part = folder / PART_FILE
    part.write_text(json.dumps(record))
    os.replace(part, folder / STATE_FILE)


def lambda_state(folder: str | Path) -> dict[str, Any]:
    """lambda's state from a checkpoint; empty where the user has asked for a fresh one with an empty object.

    Raises:
        ValueError: the file is missing or damaged; the line names it.
    """
    return {name: value for name, value in _read(Path(folder)).items() if name != "files"}


def is_marked(folder: Path) -> bool:
    """Whether an AMIR run has written, or begun to write, this checkpoint."""
    return (folder / STATE_FILE).exists() or (folder / PART_FILE).exists()


def was_cut_short(folder: Path) -> bool:
    """Whether the run ended while it saved this checkpoint."""
    return (folder / PART_FILE).exists() and not (folder / STATE_FILE).exists()


def why_incomplete(folder: str | Path, *, named: bool = False) -> str | None:
    """What keeps a checkpoint from being resumed: a save that was cut short, or a file that is not as it was
    written. None if it is complete.

    Args:
        folder: `global_step_N`.
        named: the user or verl's tracker names it, which is enough where its files are not listed.

    Raises:
        ValueError: the checkpoint is another program's, its state file is damaged, or nothing tells whether
            it is complete. None of these is left by a killed run, so the user has to look.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return "is missing"
    if was_cut_short(folder):
        return "was cut short while it was saved"
    if not is_marked(folder) and not named:
        raise ValueError(_why_unmarked(folder))
    record = _read(folder)
    if "files" not in record and not named:
        raise ValueError(
            f"{folder / STATE_FILE} lists no files, so nothing tells whether the checkpoint is complete: "
            f"to take it, trainer.resume_mode=resume_path trainer.resume_from_path={folder}"
        )
    sizes, listed = _sizes(folder), record.get("files", {})
    lacking = [name for name in listed if name not in sizes]
    if lacking:
        return f"lacks {lacking[0]}" + (f" and {len(lacking) - 1} more files" if lacking[1:] else "")
    for name, size in listed.items():
        if sizes[name] != size:
            return f"has {sizes[name]} bytes of {size} in {name}"
    return None


class MarkingCallback:
    """verl's checkpoint callback: marks the folder as complete, then calls the user's own.

    Under `max_actor_ckpt_to_keep=1` verl deletes the old checkpoint when the workers have written theirs of
    the new one, and only then writes the rest: for a moment none is complete. So verl is told to keep two,
    and the older one goes here, after the mark.
    """

    def __init__(self, callback: Any, trainer: Any, state: Callable[[], dict[str, Any]]) -> None:
        """`trainer` is the node of the run's settings, `state` gives that of the lambda controller."""
        self._callback = callback
        self._state = state
        self._previous: Path | None = None
        self._keep_one = []
        self._warned = False
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
        mark_complete(folder, self._state(), list_files=not async_save)
        if not async_save:
            self._warn_of_unshared(folder)
        for role in self._keep_one if self._previous not in (None, folder) and not async_save else ():
            shutil.rmtree(self._previous / role, ignore_errors=True)
        self._previous = folder
        self._callback.on_save(checkpoint_dir=checkpoint_dir, async_save=async_save, **rest)

    def _warn_of_unshared(self, folder: Path) -> None:
        """Say once that other nodes have written where the driver cannot see it: here the training goes on,
        but a resumed run may find half a checkpoint wherever its driver lands.
        """
        unseen = _unseen_rank_file(folder)
        if unseen and not self._warned:
            self._warned = True
            print(
                f"amir-verl: {folder} lacks {unseen} on the node of the trainer: nodes that do not share "
                "trainer.default_local_dir cannot resume this run",
                flush=True,
            )


def _why_unmarked(folder: Path) -> str:
    """The refusal of a folder that nobody names and no AMIR run has marked."""
    if (folder / "data.pt").exists():
        return (
            f"{_not_amir(folder)}, and start with trainer.resume_mode=resume_path "
            f"trainer.resume_from_path={folder}; to start over: trainer.resume_mode=disable"
        )
    return (
        f"{folder} has neither {STATE_FILE} nor data.pt, which the trainer writes: it wrote them to another "
        "node's disk (trainer.default_local_dir must be a folder that all nodes share), or verl was stopped "
        "while saving; to start over: trainer.resume_mode=disable"
    )


def _not_amir(folder: Path) -> str:
    path = folder / STATE_FILE
    return (
        f"{path} is missing: this checkpoint was not written by an AMIR run; "
        f"to go on from it with a fresh lambda: echo '{{}}' > {path}"
    )


def _read(folder: Path) -> dict[str, Any]:
    """The state file of a checkpoint: lambda's state and, under "files", bytes by name."""
    path = folder / STATE_FILE
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        if was_cut_short(folder):
            raise ValueError(f"{path} is missing: the checkpoint was cut short while it was saved") from None
        raise ValueError(_not_amir(folder)) from None
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
        if name.name not in (STATE_FILE, PART_FILE) and "huggingface" not in name.parts
    }


def _unseen_rank_file(folder: Path) -> str | None:
    """A file that a rank must have written and that is not in `folder`; None if all are there."""
    names = set(_sizes(folder))
    if not any(name.startswith("actor/") for name in names):
        return "actor"
    for name in sorted(names):
        if found := _RANK_FILE.fullmatch(name):
            stem, ranks = found.group(1, 2)
            expected = (f"{stem}{ranks}_rank_{rank}.pt" for rank in range(int(ranks)))
            if missing := next((file for file in expected if file not in names), None):
                return missing
    return None
