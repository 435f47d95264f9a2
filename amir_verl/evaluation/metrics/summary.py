"""The figures of one table of samples: pass@k, maj@k, length, truncation, calibration.

Shape suffixes: _Q problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amir_verl.evaluation.metrics.bootstrap import bootstrap_interval
from amir_verl.evaluation.metrics.calibration import Calibration, calibration_error
from amir_verl.evaluation.metrics.pass_rates import majority_at_k, pass_at_k

if TYPE_CHECKING:
    import pandas as pd

KS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Estimate:
    """Mean over problems with its bootstrap interval."""

    mean: float
    low: float
    high: float
    num_problems: int


@dataclass(frozen=True)
class Summary:
    """Figures of one run on one set of problems. Lengths are means over samples; unknown figures are NaN."""

    num_problems: int
    num_samples: int
    rates: dict[str, Estimate]  # "pass@1", ..., "maj@8"
    length_unit: str
    mean_length: float
    mean_length_correct: float
    mean_length_wrong: float
    truncation_share: float
    calibration: Calibration | None
    confidence_share: float  # samples that stated a confidence


def problem_rates(samples: "pd.DataFrame", *, ks: Sequence[int] = KS, seed: int = 0) -> "pd.DataFrame":
    """One row per problem (index `prompt_id`): n, c, `pass@k` and `maj@k`; NaN where it has too few samples.

    Leaves out any k that fewer than half of the problems have samples for: a few repeated questions say
    little about the set. maj@k is for the largest k above 1, and absent if no sample has an answer.
    """
    import pandas as pd

    groups = samples.groupby("prompt_id", sort=False)
    table = pd.DataFrame({"n": groups.size(), "c": groups["correct"].sum()})
    enough = {k: (table["n"] >= k).to_numpy() for k in ks}
    kept = [k for k in ks if 2 * enough[k].sum() >= len(table)]
    for k in kept:
        rate_Q = np.full(len(table), np.nan)
        counted = table[enough[k]]
        rate_Q[enough[k]] = pass_at_k(counted["n"].to_numpy(), counted["c"].to_numpy(), k)
        table[f"pass@{k}"] = rate_Q
    votes = max((k for k in kept if k > 1), default=None)
    if votes and samples["pred"].notna().any():
        table[f"maj@{votes}"] = [
            _majority(group, votes, seed) if len(group) >= votes else np.nan for _, group in groups
        ]
    return table


def _majority(group: "pd.DataFrame", votes: int, seed: int) -> float:
    answers = group["pred"].astype(object).where(group["pred"].notna(), None)
    return majority_at_k(list(answers), group["correct"], votes, seed=seed)


def estimate(values: "pd.Series", *, seed: int = 0) -> Estimate:
    """Mean and interval over the problems with this figure."""
    value_Q = values.dropna().to_numpy(dtype=float)
    low, high = bootstrap_interval(value_Q, seed=seed)
    return Estimate(float(value_Q.mean()), low, high, int(value_Q.size))


def summarise(samples: "pd.DataFrame", *, ks: Sequence[int] = KS, seed: int = 0) -> Summary:
    """All figures of one table of samples (see `samples.COLUMNS`)."""
    table = problem_rates(samples, ks=ks, seed=seed)
    correct = samples["correct"] == 1
    truncated = samples["truncated"].dropna().astype(float)
    stated = samples[samples["confidence"].notna()]
    units = samples["length_unit"].unique()
    return Summary(
        num_problems=len(table),
        num_samples=len(samples),
        rates={name: estimate(table[name], seed=seed) for name in table.columns if "@" in name},
        length_unit=" or ".join(units),
        mean_length=float(samples["length"].mean()),
        mean_length_correct=float(samples.loc[correct, "length"].mean()),
        mean_length_wrong=float(samples.loc[~correct, "length"].mean()),
        truncation_share=float(truncated.mean()),
        calibration=calibration_error(stated["confidence"], stated["correct"]) if len(stated) else None,
        confidence_share=len(stated) / len(samples),
    )


def summaries_by_source(samples: "pd.DataFrame") -> dict[str, Summary]:
    """One summary per data source, and one of all if there are several; k in powers of two."""
    most = int(samples.groupby("prompt_id").size().max())
    ks = [2**i for i in range(most.bit_length())]
    parts = {str(name): summarise(part, ks=ks) for name, part in samples.groupby("data_source", sort=False)}
    return parts | {"all": summarise(samples, ks=ks)} if len(parts) > 1 else parts


def summary_record(summary: Summary) -> dict[str, Any]:
    """The summary as JSON; unknown figures are null."""

    def known(value: float) -> float | None:
        return None if np.isnan(value) else value

    calibration = summary.calibration
    return {
        "problems": summary.num_problems,
        "samples": summary.num_samples,
        "rates": {
            name: [rate.mean, known(rate.low), known(rate.high)] for name, rate in summary.rates.items()
        },
        "length_unit": summary.length_unit,
        "mean_length": known(summary.mean_length),
        "mean_length_correct": known(summary.mean_length_correct),
        "mean_length_wrong": known(summary.mean_length_wrong),
        "truncation_share": known(summary.truncation_share),
        "confidence_share": summary.confidence_share,
        "ece": calibration.ece if calibration else None,
        "brier": calibration.brier if calibration else None,
    }


def format_summary(summaries: dict[str, Summary]) -> str:
    """A plain-text table, one line per data set, percentages with 95 % intervals."""
    rates = list(dict.fromkeys(name for summary in summaries.values() for name in summary.rates))
    header = ["data", "problems", "samples", *rates, "length", "cut off", "ECE"]
    lines = [header]
    for name, summary in summaries.items():
        cells = [name, str(summary.num_problems), str(summary.num_samples)]
        cells += [_percent(summary.rates.get(rate)) for rate in rates]
        cells.append("-" if np.isnan(summary.mean_length) else f"{summary.mean_length:.0f}")
        cells.append("-" if np.isnan(summary.truncation_share) else f"{100 * summary.truncation_share:.1f} %")
        cells.append(f"{summary.calibration.ece:.3f}" if summary.calibration else "-")
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _percent(rate: Estimate | None) -> str:
    if rate is None:
        return "-"
    if np.isnan(rate.low):
        return f"{100 * rate.mean:.1f}"
    return f"{100 * rate.mean:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
