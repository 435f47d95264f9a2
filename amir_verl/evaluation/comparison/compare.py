"""Two runs, and a base model if given, on the problems that all of them answered.

Shape suffixes: _Q shared problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amir_verl.evaluation.metrics.bootstrap import Gain, paired_gain
from amir_verl.evaluation.metrics.summary import KS, Estimate, Summary, estimate, problem_rates, summarise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RateRow:
    """One line of the pass@k table; the base and the gains over it are None without a base."""

    name: str
    base: Estimate | None
    a: Estimate
    b: Estimate
    a_over_base: Gain | None
    b_over_base: Gain | None
    b_over_a: Gain


@dataclass(frozen=True)
class Coverage:
    """Problems by who solves them at least once. `p_value`: exact sign test of only A against only B."""

    both: int
    only_a: int
    only_b: int
    none: int
    p_value: float

    @property
    def total(self) -> int:
        return self.both + self.only_a + self.only_b + self.none


@dataclass(frozen=True)
class Comparison:
    """Everything the report says about samples."""

    num_problems: int
    left_out: dict[str, int]  # problems of a run that another one lacks
    rates: list[RateRow]
    rates_by_source: dict[str, list[RateRow]]  # empty for a single data source
    coverage: dict[str, Coverage]  # "all problems", and with a base "solved by base" and "not solved by base"
    summaries: dict[str, Summary]  # "base", "a", "b", on the shared problems
    margins: dict[str, np.ndarray]  # (P,) of each run that logged log-probabilities
    length_gain: Gain | None
    only_a: "pd.DataFrame"  # one correct sample of each problem that only A solves
    only_b: "pd.DataFrame"


def correct_minus_wrong_margin(samples: "pd.DataFrame") -> np.ndarray:
    """Length-normalised log-probability of a problem's correct samples minus that of its wrong ones.

    Returns:
        One figure for each problem that has both kinds; empty where the rows hold no log-probabilities.
    """
    known = samples[samples["logprob_mean"].notna()]
    if known.empty:
        return np.empty(0)
    means = known.groupby(["prompt_id", "correct"])["logprob_mean"].mean().unstack("correct")
    if not {0, 1} <= set(means.columns):
        return np.empty(0)
    return (means[1] - means[0]).dropna().to_numpy(dtype=float)


def _coverage(solved_a_Q: np.ndarray, solved_b_Q: np.ndarray) -> Coverage:
    from scipy.stats import binomtest

    only_a, only_b = int((solved_a_Q & ~solved_b_Q).sum()), int((~solved_a_Q & solved_b_Q).sum())
    return Coverage(
        both=int((solved_a_Q & solved_b_Q).sum()),
        only_a=only_a,
        only_b=only_b,
        none=int((~solved_a_Q & ~solved_b_Q).sum()),
        p_value=float(binomtest(only_b, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    )


def _gain(before: "pd.Series", after: "pd.Series", seed: int) -> Gain | None:
    known_Q = before.notna() & after.notna()
    return paired_gain(before[known_Q], after[known_Q], seed=seed) if known_Q.any() else None


def _rate_rows(tables: "dict[str, pd.DataFrame]", seed: int) -> list[RateRow]:
    """Rows of the pass@k table from problem tables of every run with the same index."""
    names = [n for n in tables["b"].columns if "@" in n and all(n in t.columns for t in tables.values())]
    rows = []
    for name in names:
        known_Q = np.logical_and.reduce([table[name].notna() for table in tables.values()])
        if not known_Q.any():
            continue
        column = {run: table[name][known_Q] for run, table in tables.items()}
        base = column.get("base")
        rows.append(
            RateRow(
                name=name,
                base=None if base is None else estimate(base, seed=seed),
                a=estimate(column["a"], seed=seed),
                b=estimate(column["b"], seed=seed),
                a_over_base=None if base is None else paired_gain(base, column["a"], seed=seed),
                b_over_base=None if base is None else paired_gain(base, column["b"], seed=seed),
                b_over_a=paired_gain(column["a"], column["b"], seed=seed),
            )
        )
    return rows


def compare(
    a: "pd.DataFrame",
    b: "pd.DataFrame",
    base: "pd.DataFrame | None" = None,
    *,
    ks: Sequence[int] = KS,
    seed: int = 0,
) -> Comparison:
    """Compare samples of B with those of A (and both with a base), problem by problem.

    Args:
        a, b, base: tables of samples; problems are matched by `prompt_id`, others are counted and left out.
        ks: of pass@k; a k counts the problems that have that many samples in every table.
        seed: of the bootstrap and of maj@k.

    Raises:
        ValueError: the tables share no problem.
    """
    frames = {"base": base, "a": a, "b": b}
    frames = {name: frame for name, frame in frames.items() if frame is not None}
    ids = [frame["prompt_id"].drop_duplicates() for frame in frames.values()]
    shared = ids[0][np.logical_and.reduce([ids[0].isin(other) for other in ids])].tolist()
    if not shared:
        raise ValueError(
            f"the runs share no problem: {', '.join(str(len(i)) for i in ids)} problems, none in common"
        )
    left_out = {name: len(i) - len(shared) for name, i in zip(frames, ids, strict=True)}
    frames = {name: frame[frame["prompt_id"].isin(shared)] for name, frame in frames.items()}
    tables = {name: problem_rates(frame, ks=ks, seed=seed).loc[shared] for name, frame in frames.items()}
    source_Q = frames["b"].drop_duplicates("prompt_id").set_index("prompt_id")["data_source"].loc[shared]
    by_source = {
        str(source): _rate_rows(
            {run: table[(source_Q == source).to_numpy()] for run, table in tables.items()}, seed
        )
        for source in source_Q.unique()
    }
    solved = {name: (table["c"] > 0).to_numpy() for name, table in tables.items()}
    coverage = {"all problems": _coverage(solved["a"], solved["b"])}
    if "base" in solved:
        for name, part_Q in (("solved by base", solved["base"]), ("not solved by base", ~solved["base"])):
            coverage[name] = _coverage(solved["a"][part_Q], solved["b"][part_Q])
    lengths = {
        name: frame.groupby("prompt_id")["length"].mean().loc[shared] for name, frame in frames.items()
    }
    same_unit = set(frames["a"]["length_unit"]) == set(frames["b"]["length_unit"])
    index = np.array(shared)
    return Comparison(
        num_problems=len(shared),
        left_out=left_out,
        rates=_rate_rows(tables, seed),
        rates_by_source=by_source if len(by_source) > 1 else {},
        coverage=coverage,
        summaries={name: summarise(frame, ks=ks, seed=seed) for name, frame in frames.items()},
        margins={name: correct_minus_wrong_margin(frame) for name, frame in frames.items()},
        length_gain=_gain(lengths["a"], lengths["b"], seed) if same_unit else None,
        only_a=_first_correct(frames["a"], index[solved["a"] & ~solved["b"]]),
        only_b=_first_correct(frames["b"], index[solved["b"] & ~solved["a"]]),
    )


def _first_correct(samples: "pd.DataFrame", prompt_ids: np.ndarray) -> "pd.DataFrame":
    chosen = samples[samples["prompt_id"].isin(prompt_ids) & (samples["correct"] == 1)]
    return chosen.drop_duplicates("prompt_id")
