"""AMIR for verl: implicit preferences from the rewards of a rollout group.

Public names, loaded on first use so that the data and evaluation tools need no torch:

- `AmirConfig`: the settings, validated.
- `amir_loss`: the preference loss for one process and any trainer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amir_verl.config import AmirConfig
    from amir_verl.objective.loss import amir_loss

__version__ = "0.1.0"
__all__ = ["AmirConfig", "__version__", "amir_loss"]

_HOME = {"AmirConfig": "amir_verl.config", "amir_loss": "amir_verl.objective.loss"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'amir_verl' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
