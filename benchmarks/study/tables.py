"""The tables of docs/study.md, in Markdown, from the rows of the runs. No file is touched."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from benchmarks.study.arms import TUNING_SEEDS, title
from benchmarks.study.claims import CLAIMS, Claim
from benchmarks.study.frontier import (
    Difference,
    against_first,
    at_equal_accuracy,
    at_equal_steps,
    curves,
    holm,
    last_common_step,
    student,
)

SIGNIFICANT = 0.05
# Settings that are written in an arm's name: all their arms end so. Others are kinds of reward.
SUFFIXES = {"four_updates": "+updates_4", "double_rate": "+lr_2e-4", "high_rate": "+lr_4e-4"}


def reporting(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs on seeds that nothing was tuned on."""
    return rows[~rows["seed"].isin(TUNING_SEEDS)]


def tuning(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs on the seeds that arms were chosen by."""
    return rows[rows["seed"].isin(TUNING_SEEDS)]


def arms_of(rows: pd.DataFrame, seeds: int = 2) -> list[str]:
    """Arms with at least that many seeds, GRPO first."""
    count = rows.groupby("arm")["seed"].nunique()
    return sorted(count[count >= seeds].index, key=lambda name: (name != "grpo", name))


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


Columns = dict[str, tuple[str, Callable[[float], str]]]  # column of the rows -> heading, format
ENDS: Columns = {
    "pass@1": ("pass@1", "{:.1%}".format),
    "pass@8": ("pass@8", "{:.1%}".format),
    "pass@64": ("pass@64", "{:.1%}".format),
    "distinct_right": ("distinct right", "{:.1f}".format),
    "lost": ("lost", "{:.1%}".format),
    "gained": ("gained", "{:.1%}".format),
    "entropy": ("entropy", "{:.2f}".format),
    "unlikely_right": ("outranked", "{:.0%}".format),
    "margin": ("margin", "{:.2f}".format),
}


LENGTHS: Columns = {
    "tokens_right": ("tokens of right responses", "{:.1f}".format),
    "tokens_wrong": ("of wrong ones", "{:.1f}".format),
    "cut_off": ("cut off", "{:.1%}".format),
}


def last_rows(rows: pd.DataFrame, arm: str, until: int) -> pd.DataFrame:
    """The last evaluation of each of an arm's runs, none after step `until`."""
    return pd.concat([run.iloc[-1:] for run in curves(rows, arm, until).values()])


def ends(
    rows: pd.DataFrame,
    task: str,
    setting: str = "right_wrong",
    *,
    seeds: Callable = reporting,
    columns: Columns = ENDS,
    apart: Sequence[str] = tuple(SUFFIXES),
) -> str:
    """Where each arm ended, at the last step that all of them have; means over the seeds."""
    part = rows_of(seeds(rows), task, setting, apart=apart)
    arms = arms_of(part)
    until = last_common_step(part, arms)
    first = pd.concat([run.iloc[:1] for run in curves(part, "grpo").values()])
    lines = [
        ["first model", str(len(first)), *(show(first[name].mean()) for name, (_, show) in columns.items())]
    ]
    for arm in arms:
        last = last_rows(part, arm, until)
        lines.append(
            [title(arm), str(len(last)), *(show(last[name].mean()) for name, (_, show) in columns.items())]
        )
    return markdown(
        [f"{name_of(task, setting)}, step {until}", "seeds", *(head for head, _ in columns.values())], lines
    )


FIGURES = ("pass@8", "pass@64")


def frontier(rows: pd.DataFrame, task: str, setting: str = "right_wrong") -> str:
    """Points above GRPO: at the highest pass@1 that both reach on a seed, and at the last common step.

    Bold: Holm's correction over the table leaves p below 0.05.
    """
    part = rows_of(reporting(rows), task, setting)
    arms = [arm for arm in arms_of(part) if arm != "grpo"]
    found: list[list[Difference | None]] = []
    for arm in arms:
        equal = [at_equal_accuracy(part, arm, "grpo", figure) for figure in FIGURES]
        steps = [at_equal_steps(part, arm, "grpo", figure) for figure in ("pass@1", *FIGURES)]
        found.append(equal + steps)
    flat = [one for line in found for one in line if one]
    corrected = dict(zip(map(id, flat), holm([one.p for one in flat]), strict=True))
    lines = []
    for arm, line in zip(arms, found, strict=True):
        accuracy = f"{line[0].accuracy:.1%}" if line[0] else "-"
        cells = [points(one, corrected[id(one)] < SIGNIFICANT) if one else "-" for one in line]
        lines.append([title(arm), accuracy, *cells])
    header = [name_of(task, setting), "at pass@1 of", *FIGURES, "same steps: pass@1", *FIGURES]
    return markdown(header, lines)


RATES = {"1e-4": "right_wrong", "2e-4": "double_rate", "4e-4": "high_rate"}


def rates(rows: pd.DataFrame, task: str, *arms: str) -> str:
    """At each learning rate: GRPO at the last step that all have, and what each arm is above it."""
    parts = {rate: rows_of(reporting(rows), task, setting) for rate, setting in RATES.items()}
    until = min(last_common_step(part, ["grpo", *arms]) for part in parts.values())
    figures = ("pass@1", *FIGURES)
    lines = []
    for rate, part in parts.items():
        part = part[part["step"] <= until]
        last = last_rows(part, "grpo", until)
        lines.append([rate, title("grpo"), *(f"{last[name].mean():.1%}" for name in figures)])
        for arm in arms:
            found = [at_equal_steps(part, arm, "grpo", name) for name in figures]
            lines.append(["", title(arm), *(points(one, False) if one else "-" for one in found)])
    return markdown([f"{task}, step {until}: learning rate", "", *figures], lines)


def points(difference: Difference, claimed: bool, unit: float = 0.01) -> str:
    """Mean and Student's interval, in points, or in another unit."""
    low, mean, high = (f"{value / unit:+.1f}" for value in (difference.low, difference.mean, difference.high))
    text = f"{mean} [{low}, {high}]"
    return f"**{text}**" if claimed else text


def claims(rows: pd.DataFrame, task: str, setting: str = "right_wrong", asked: str = "first") -> str:
    """What was claimed in one round of questions, before the reporting seeds ran, and what they say. Holm's
    correction is over this table.
    """
    part = rows_of(reporting(rows), task, setting)
    listed = [c for c in CLAIMS if (c.task, c.setting, c.round) == (task, setting, asked)]
    measured = [(claim, _measured(part, claim)) for claim in listed]
    done = [(claim, found) for claim, found in measured if found]
    corrected = holm([found.p for _, found in done])
    lines = []
    for (claim, found), p in zip(done, corrected, strict=True):
        accuracy = "" if found.accuracy != found.accuracy else f" at {found.accuracy:.1%}"
        shown = points(found, p < SIGNIFICANT, 1.0 if claim.figure.startswith("tokens") else 0.01)
        lines.append(
            [claim.key, claim.text, claim.figure, shown + accuracy, f"{p:.3f}", claim.verdict(found, p)]
        )
    table = markdown([name_of(task, setting), "claim", "figure", "points", "p, Holm", "verdict"], lines)
    missing = [claim.key for claim, found in measured if not found]
    return f"{table}\n\nNot run: {', '.join(missing)}." if missing else table


def _measured(rows: pd.DataFrame, claim: Claim) -> Difference | None:
    arms = [claim.arm] if claim.against is None else [claim.arm, claim.against]
    if not set(arms) <= set(arms_of(rows)):
        return None
    if claim.against is None:
        return against_first(rows, claim.arm, claim.figure)
    compare = at_equal_steps if claim.same_steps else at_equal_accuracy
    return compare(rows, claim.arm, claim.against, claim.figure)


AGREEMENT = ("pass@1", "pass@8", "pass@64", "distinct_right", "entropy")


def agreement(rows: pd.DataFrame, task: str, through: str, setting: str = "right_wrong") -> str:
    """Figures of `through`'s runs at their last common step, each with what it is above the loop's at that
    step, paired by seed, with Student's interval.
    """
    ones, others = (rows_of(reporting(rows), name, setting) for name in (through, task))
    arms = arms_of(ones)
    until = last_common_step(ones, arms)
    lines = []
    for arm in arms:
        one, other = (
            part[(part["arm"] == arm) & (part["step"] == until)].set_index("seed") for part in (ones, others)
        )
        cells = []
        for name in AGREEMENT:
            found = student((one[name] - other[name].loc[one.index]).tolist())
            share = name.startswith("pass")
            mean = f"{one[name].mean():.1%}" if share else f"{one[name].mean():.2f}"
            gap = (
                points(found, False) if share else f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
            )
            cells.append(f"{mean}, {gap}")
        lines.append([title(arm), str(len(one)), *cells])
    return markdown(
        [f"{name_of(task, setting)}, step {until}", "seeds", *(ENDS[name][0] for name in AGREEMENT)], lines
    )


def name_of(task: str, setting: str) -> str:
    """As a heading has it."""
    return task if setting == "right_wrong" else f"{task}, {setting.replace('_', ' ')}"


def rows_of(
    rows: pd.DataFrame, task: str, setting: str = "right_wrong", *, apart: Sequence[str] = tuple(SUFFIXES)
) -> pd.DataFrame:
    """Rows of a task in a setting: a kind of reward, without the arms of the settings `apart`; or one of
    `SUFFIXES`, right or wrong with four gradient steps on a batch or at two or four times the learning rate,
    whose arms then lose the suffix.
    """
    suffix = SUFFIXES.get(setting)
    if suffix:
        wanted = rows["arm"].str.endswith(suffix)
    else:
        others = tuple(SUFFIXES[name] for name in apart)
        wanted = ~rows["arm"].str.endswith(others) & (rows["reward"] == setting)
    part = rows[(rows["task"] == task) & wanted]
    return part.assign(arm=part["arm"].str.removesuffix(suffix or ""))


TABLES: dict[str, Callable[..., str]] = {
    "ends": ends,
    "lengths": partial(ends, columns=LENGTHS),
    "frontier": frontier,
    # A learning rate is one of the things that were tuned.
    "tuning": partial(ends, seeds=tuning, apart=("four_updates",)),
    "rates": rates,
    "claims": claims,
    "agreement": agreement,
}
