"""lambda's state beside verl's own checkpoint, as `amir.json` in the folder of the step."""

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "amir.json"


def save(directory: str | Path, step: int, state: dict[str, Any]) -> None:
    """Write the state of `step` below verl's checkpoint directory: whole or not at all."""
    folder = Path(directory) / f"global_step_{step}"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE_NAME}.part"
    part.write_text(json.dumps(state))
    os.replace(part, folder / FILE_NAME)


def load(trainer: Any, step: int) -> dict[str, Any]:
    """Read the state that belongs to the checkpoint which verl resumed from.

    Args:
        trainer: the `trainer` node of the run.
        step: the step that verl resumed.

    Raises:
        ValueError: the file is missing or damaged; the line names it.
    """
    folder = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
    path = Path(folder or Path(trainer.default_local_dir) / f"global_step_{step}") / FILE_NAME
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: this checkpoint was not written by an AMIR run") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return state
