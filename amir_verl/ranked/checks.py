"""Checks of a ranked run's settings and files, before Ray starts."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from amir_verl.data.ranked import ranked_responses


def check_ranked_run(config: DictConfig) -> None:
    """Refuse a run with `trainer.v1.trainer_mode=amir_ranked` whose files or settings do not fit.

    Leaves files that are not local (a remote path) to verl.

    Raises:
        ValueError: one line that names the file or the setting.
    """
    rollout = config.actor_rollout_ref.rollout
    bypass = config.algorithm.get("rollout_correction") and config.algorithm.rollout_correction.bypass_mode
    if rollout.calculate_log_probs or bypass:
        raise ValueError(
            "given responses have no log-probabilities of a rollout: set actor_rollout_ref.rollout."
            "calculate_log_probs=False algorithm.rollout_correction.bypass_mode=False"
        )
    for path in _files(config.data.val_files):
        _group_sizes(path)
    sizes = {path: _group_sizes(path) for path in _files(config.data.train_files)}
    largest = max((max(counts, default=0) for counts in sizes.values()), default=0)
    for path, counts in sizes.items():
        for row, count in enumerate(counts):
            if count > rollout.n:
                raise ValueError(
                    f"{path} row {row + 1} has {count} ranked responses, more than "
                    f"actor_rollout_ref.rollout.n={rollout.n}: set actor_rollout_ref.rollout.n={largest}"
                )


def _files(files: str | Sequence[str] | None) -> list[Path]:
    names = [files] if isinstance(files, str) else list(files or ())
    return [Path(name) for name in names if Path(name).is_file()]


def _group_sizes(path: Path) -> list[int]:
    """Ranked responses of each row."""
    import pyarrow.parquet as pq  # here: every process of a run loads this module

    try:
        rows = pq.read_table(path, columns=["extra_info"])["extra_info"]
        return [len(ranked_responses(row)[0]) for row in rows.to_pylist()]
    except (KeyError, TypeError, ValueError):  # for a damaged file pyarrow raises ValueErrors
        raise ValueError(
            f"{path} holds no ranked responses: `amir-verl prepare-ranked` writes such files"
        ) from None
