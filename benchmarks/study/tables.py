"""The study's tables, as Markdown, from the rows of its runs."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.study.differences import PairedDifference, paired_difference
from benchmarks.study.grid import ARMS

# What claims may rest on: column of `figures`, title.
OUTCOMES = {
    "accuracy": "accuracy",
    "accuracy_over_run": "accuracy over the run",
    "greedy": "greedy accuracy",
    "pass@4": "pass@4",
    "pass@8": "pass@8",
}
LAST_STEPS = 20


def figures(rows: pd.DataFrame) -> pd.DataFrame:
    """One figure a run instead of curves: at the end, or over the last 20 steps, or over all validations."""

    def last(column: str) -> list[float]:
        return [values[-1] for values in rows[column]]

    def late(column: str) -> list[float]:
        return [float(np.nanmean(values[-LAST_STEPS:])) for values in rows[column]]

    base, end = rows["solved_first_P"], rows["solved_last_P"]
    pairs = [(a > 0, b > 0) for a, b in zip(base, end, strict=True)]
    table = rows[
        ["trainer", "cell", "arm", "seed", "greedy_accuracy", "held_out_margin", "seconds_a_step"]
    ].rename(columns={"greedy_accuracy": "greedy"})
    return table.assign(
        start=[values[0] for values in rows["pass@1"]],
        accuracy=last("pass@1"),
        # At equal steps: the mean over the validations after the first; who learns sooner scores more.
        accuracy_over_run=_over_run(rows),
        **{f"pass@{k}": last(f"pass@{k}") for k in (2, 4, 8)},
        majority=last("maj@8"),
        entropy_first=[float(np.mean(values[:5])) for values in rows["entropy"]],
        entropy=late("entropy"),
        margin=late("margin"),
        grad_ratio=late("grad_ratio"),
        cos_policy=late("cos_policy"),
        beta_spread=late("beta_spread"),
        length_right=last("length_right"),
        length_wrong=last("length_wrong"),
        length_right_first=[values[0] for values in rows["length_right"]],
        length_wrong_first=[values[0] for values in rows["length_wrong"]],
        base_solved=[float(a.mean()) for a, _ in pairs],
        kept=[float((a & b).sum() / max(a.sum(), 1)) for a, b in pairs],
        lost=[float((a & ~b).mean()) for a, b in pairs],
        gained=[float((~a & b).mean()) for a, b in pairs],
    )


def _over_run(rows: pd.DataFrame) -> list[float]:
    """Mean accuracy of the validations after the first; NaN where the cell's other runs differ in when."""
    schedule = rows["steps"].map(lambda steps: " ".join(map(str, steps)))
    usual = schedule.groupby([rows["trainer"], rows["cell"]]).transform(lambda steps: steps.mode()[0])
    return [
        float(np.mean(values[1:])) if steps == others else float("nan")
        for values, steps, others in zip(rows["pass@1"], schedule, usual, strict=True)
    ]


def _markdown(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def _by_arm(
    table: pd.DataFrame, columns: dict[str, tuple[str, Callable[[float], str]]], *, title: str = "arm"
) -> str:
    """One line an arm and cell: the mean over seeds of each column."""
    lines = []
    for (cell, arm), part in _groups(table):
        values = [show(float(np.nanmean(part[name]))) for name, (_, show) in columns.items()]
        lines.append([cell, ARMS[arm].title, str(len(part)), *values])
    return _markdown(["cell", title, "seeds", *(head for head, _ in columns.values())], lines)


def _groups(table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Cells in alphabetical order, arms in that of the grid."""
    order = list(ARMS)
    groups = [((str(cell), str(arm)), part) for (cell, arm), part in table.groupby(["cell", "arm"])]
    return sorted(groups, key=lambda group: (group[0][0], order.index(group[0][1])))


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _decimal(digits: int) -> Callable[[float], str]:
    return lambda value: "-" if np.isnan(value) else f"{value:.{digits}f}"


def _difference(found: PairedDifference | None) -> str:
    if found is None:
        return "-"
    interval = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    shown = f"{100 * found.mean:+.1f} {interval} {found.above}/{found.seeds}"
    return f"**{shown}**" if found.verdict in ("higher", "lower") else shown


def outcome_table(table: pd.DataFrame) -> str:
    """Where each arm ended, in percent."""
    names = ["start", "accuracy", "accuracy_over_run", "greedy", "majority", "pass@2", "pass@4", "pass@8"]
    heads = {"majority": "maj@8", "greedy": "greedy", "accuracy_over_run": "over the run"}
    return _by_arm(table, {name: (heads.get(name, name), _percent) for name in names})


def difference_table(table: pd.DataFrame) -> str:
    """Points against the baseline on the same seeds, bootstrap interval, seeds above; bold where claimed."""
    return _differences_with(table, {})


def scan_table(table: pd.DataFrame) -> str:
    """The differences, and beside them what the term did in the last 20 steps."""
    return _differences_with(table, {"cos_policy": "cosine", "beta_spread": "beta x spread"})


def _differences_with(table: pd.DataFrame, means: dict[str, str]) -> str:
    lines = []
    for (cell, arm), part in _groups(table):
        baseline = ARMS[arm].against
        if arm == baseline:
            continue
        rows = table[table["cell"] == cell]
        found = [paired_difference(rows, arm, baseline, name) for name in OUTCOMES]
        if any(found):
            cells = [cell, ARMS[arm].title, ARMS[baseline].title, *map(_difference, found)]
            lines.append([*cells, *(_decimal(2)(float(part[name].mean())) for name in means)])
    return _markdown(["cell", "arm", "against", *OUTCOMES.values(), *means.values()], lines)


def behaviour_table(table: pd.DataFrame) -> str:
    """What the training did to the model, and what the term did in the training."""
    columns = {
        "entropy_first": ("entropy, first 5 steps", _decimal(3)),
        "entropy": ("entropy, last 20", _decimal(3)),
        "margin": ("margin in training, last 20", _decimal(3)),
        "held_out_margin": ("margin held out", _decimal(3)),
        "length_right": ("tokens, right", _decimal(2)),
        "length_wrong": ("tokens, wrong", _decimal(2)),
        "grad_ratio": ("gradient ratio", _decimal(3)),
        "cos_policy": ("cosine", _decimal(2)),
        "beta_spread": ("beta x spread", _decimal(2)),
        "seconds_a_step": ("s a step", _decimal(2)),
    }
    return _by_arm(table, columns)


def coverage_table(table: pd.DataFrame) -> str:
    """Held-out problems solved at least once in 8 samples, against the model before training, in percent."""
    columns = {
        "base_solved": ("solved before", _percent),
        "pass@8": ("solved after", _percent),
        "kept": ("of those before, kept", _percent),
        "lost": ("lost", _percent),
        "gained": ("gained", _percent),
    }
    return _by_arm(table, columns)


def _shared_runs(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run that both trainers have made: its figures in verl's trainer and in the loop."""
    key = ["cell", "arm", "seed"]
    verl, loop = (table[table["trainer"] == trainer] for trainer in ("verl", "loop"))
    return verl.merge(loop, on=key, suffixes=("", "_loop"))


def agreement_table(table: pd.DataFrame) -> str:
    """What both trainers have run, in percent."""
    columns = {
        f"{name}{suffix}": (f"{title}, {trainer}", _percent)
        for name, title in (("accuracy", "accuracy"), ("accuracy_over_run", "over the run"))
        for suffix, trainer in (("", "verl"), ("_loop", "loop"))
    }
    return _by_arm(_shared_runs(table), columns)


TABLES = {
    "outcomes": outcome_table,
    "differences": difference_table,
    "behaviour": behaviour_table,
    "coverage": coverage_table,
    "agreement": agreement_table,
    "scan": scan_table,
}
# The trainers whose runs a table shows, where not those of verl's.
TRAINERS = {"agreement": ("verl", "loop"), "scan": ("loop",)}
