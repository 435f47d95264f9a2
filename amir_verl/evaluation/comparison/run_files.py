"""A training run as files: verl's metrics file, validation dumps, and rows of `amir-verl evaluate`."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amir_verl.evaluation.sampling.samples import read_samples

if TYPE_CHECKING:
    import pandas as pd

#: Rows that `amir-verl evaluate` writes into a directory; they are preferred to a validation dump.
EVALUATION_ROWS = "samples.parquet"


@dataclass(frozen=True)
class Run:
    """What was found of a run; `samples` is None without rows, `metrics` empty without a metrics file."""

    name: str
    samples: "pd.DataFrame | None"
    step: int | None  # of the samples, where they come from a validation dump
    first_step: int | None  # of the earliest dump
    source: str  # file of the samples
    metrics: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # name -> (steps, values)


def read_metrics(path: Path) -> dict[int, dict[str, float]]:
    """Step to metrics, from one file of verl's `file` logger (`{"step": 3, "data": {...}}` a line).

    A torn last line, as a killed run leaves it, is left out. Metrics that are no number are left out.

    Raises:
        ValueError: another line is not such a record; names file and row.
    """
    steps: dict[int, dict[str, float]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            step, data = int(record["step"]), dict(record["data"])
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) and number > 1:
                break
            raise ValueError(f"{path}, row {number}: not a metrics record of verl ({error!r})") from None
        numbers = {k: float(v) for k, v in data.items() if isinstance(v, int | float) and math.isfinite(v)}
        steps.setdefault(step, {}).update(numbers)
    return steps


def _is_metrics_file(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as lines:
        try:
            first = json.loads(next(lines, ""))
        except ValueError:
            return False
    return isinstance(first, dict) and isinstance(first.get("data"), dict) and "step" in first


def run_metrics(directory: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (steps, values) of every metrics file at most two levels below a run directory.

    Raises:
        ValueError: a bad row, or two files for one step.
    """
    merged: dict[int, dict[str, float]] = {}
    origin: dict[int, Path] = {}
    candidates = (p for depth in ("", "*/", "*/*/") for p in sorted(directory.glob(f"{depth}*.jsonl")))
    for path in candidates:
        if path.stem.isdigit() or not _is_metrics_file(path):
            continue
        for step, data in read_metrics(path).items():
            # A resumed run writes a second file; two files for one step are two runs.
            if step in merged:
                raise ValueError(
                    f"{directory}: {origin[step]} and {path} both hold step {step}; give one run each"
                )
            merged[step], origin[step] = data, path
    names = dict.fromkeys(name for data in merged.values() for name in data)
    curves = {}
    for name in names:
        steps = sorted(step for step, data in merged.items() if name in data)
        curves[name] = np.array(steps), np.array([merged[step][name] for step in steps])
    return curves


def validation_dumps(directory: Path) -> dict[int, Path]:
    """Step to file of the one directory of validation dumps at or below `directory`."""
    found: dict[Path, dict[int, Path]] = {}
    for depth in ("", "*/", "*/*/"):
        for path in directory.glob(f"{depth}*.jsonl"):
            if path.stem.isdigit():
                found.setdefault(path.parent, {})[int(path.stem)] = path
    # Dumps of training rollouts (trainer.rollout_data_dir) look the same; only the name tells.
    named = [parent for parent in found if "val" in parent.name.lower()]
    chosen = named or list(found)
    if len(chosen) > 1:
        listed = ", ".join(sorted(str(parent) for parent in chosen))
        raise ValueError(
            f"{directory}: several directories of dumps ({listed}); give the run with one of them"
        )
    return found[chosen[0]] if chosen else {}


def load_run(
    path: str | Path,
    *,
    name: str | None = None,
    step: int | None = None,
    first: bool = False,
    threshold: float | None = None,
) -> Run:
    """Find and read the files of a run.

    Args:
        path: a run directory (metrics as *.jsonl and dumps as <step>.jsonl in a directory named like
            `validation`, each at most two levels down; or `samples.parquet`), or one file of sample rows.
        name: shown in the report; else the name of the file or directory.
        step: of the validation dump; else the last.
        first: take the earliest dump, which is the base model where verl validated before training.
        threshold: see `read_samples`.

    Raises:
        ValueError: nothing there, no such step, or a bad file; one line.
    """
    path = Path(path)
    name = name or path.resolve().name
    if path.is_file():
        samples = read_samples(path, threshold=threshold)
        return Run(name=name, samples=samples, step=None, first_step=None, source=str(path))
    if not path.is_dir():
        raise ValueError(f"{path}: no such run directory or file")
    metrics, dumps = run_metrics(path), validation_dumps(path)
    rows = path / EVALUATION_ROWS
    if rows.is_file() and step is None:
        return Run(
            name, read_samples(rows, threshold=threshold), None, min(dumps, default=None), str(rows), metrics
        )
    if not dumps:
        if not metrics:
            raise ValueError(f"{path}: holds no metrics of verl, no validation dump and no {EVALUATION_ROWS}")
        return Run(name, None, None, None, "", metrics)
    chosen = (min(dumps) if first else max(dumps)) if step is None else step
    if chosen not in dumps:
        raise ValueError(f"{path}: no validation dump of step {chosen}, there are {sorted(dumps)}")
    samples = read_samples(dumps[chosen], threshold=threshold)
    return Run(name, samples, chosen, min(dumps), str(dumps[chosen]), metrics)
