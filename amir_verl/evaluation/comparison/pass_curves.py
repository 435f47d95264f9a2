"""pass@k of a run at each of its validations: what it gains in one try, and what it loses in many.

Shape suffixes: _I validations.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amir_verl.evaluation.comparison.run_files import run_metrics, validation_dumps
from amir_verl.evaluation.metrics.summary import problem_rates
from amir_verl.evaluation.sampling.samples import read_samples

#: Shown beside the largest k that every run has, where that one is larger.
USUAL_K = 8
# verl's names of the mean over N samples, and of the best of k of them (a bootstrap estimate of pass@k).
_LOGGED = re.compile(r"val-(?:core|aux)/(?P<source>.+)/acc/(?:mean@\d+|best@(?P<k>\d+)/mean)")


@dataclass(frozen=True)
class PassCurve:
    """pass@k of one run over training, means over its validation problems.

    Attributes:
        name: of the run; runs of one name, such as seeds, are drawn in one colour.
        step_I: training steps of the validations, ascending.
        rates: k -> pass@k (V,), in [0, 1]; NaN where a validation has too few samples a problem.
    """

    name: str
    step_I: np.ndarray
    rates: dict[int, np.ndarray]


def pass_rates(path: Path, *, threshold: float | None = None) -> dict[int, float]:
    """k -> pass@k of one file of sample rows, for k = 1, 2, 4, ... up to the samples of a problem.

    Raises:
        ValueError: a bad row; names file and row.
    """
    samples = read_samples(path, threshold=threshold).assign(pred=None)  # without answers nobody votes
    if samples.empty:
        return {}
    most = int(samples.groupby("prompt_id").size().max())
    rates = problem_rates(samples, ks=[2**i for i in range(most.bit_length())])
    return {int(name.removeprefix("pass@")): float(rates[name].mean()) for name in rates if "@" in name}


def pass_curve(directory: str | Path, *, name: str, threshold: float | None = None) -> PassCurve | None:
    """The curve of a run directory; None where it has no validation.

    From the validation dumps, by the unbiased estimate of `pass_at_k`. Without dumps, from verl's metrics
    `acc/mean@N` and `acc/best@k/mean`, for runs with one data source: a mean over data sets of different size
    would be no share of problems.

    Raises:
        ValueError: a bad file; one line.
    """
    directory = Path(directory)
    if not directory.is_dir():
        return None
    dumps = validation_dumps(directory)
    if dumps:
        by_step = {step: pass_rates(path, threshold=threshold) for step, path in sorted(dumps.items())}
    else:
        by_step = _logged_rates(directory)
    ks = sorted({k for rates in by_step.values() for k in rates})
    if not ks:
        return None
    steps = sorted(by_step)
    return PassCurve(
        name=name,
        step_I=np.array(steps),
        rates={k: np.array([by_step[step].get(k, np.nan) for step in steps]) for k in ks},
    )


def _logged_rates(directory: Path) -> dict[int, dict[int, float]]:
    metrics = run_metrics(directory)
    found = {name: match for name in metrics if (match := _LOGGED.fullmatch(name))}
    by_step: dict[int, dict[int, float]] = {}
    if len({match["source"] for match in found.values()}) != 1:
        return by_step
    for name, match in found.items():
        for step, value in zip(*metrics[name], strict=True):
            by_step.setdefault(int(step), {})[int(match["k"] or 1)] = float(value)
    return by_step


def shared_ks(curves: Iterable[PassCurve]) -> list[int]:
    """The k above 1 to draw: the largest that every curve has, and `USUAL_K` below it."""
    ks = [set(curve.rates) - {1} for curve in curves if 1 in curve.rates]
    shared = set.intersection(*ks) if ks else set()
    return sorted({k for k in shared if k in (USUAL_K, max(shared))})


def drawable(curves: Sequence[PassCurve]) -> list[PassCurve]:
    """Those that show a course: pass@1 and pass@k, at two validations or more."""
    return [curve for curve in curves if 1 in curve.rates and len(curve.rates) > 1 and len(curve.step_I) > 1]
