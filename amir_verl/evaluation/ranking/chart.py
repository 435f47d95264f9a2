"""The picture of `amir-verl evaluate-ranking`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from amir_verl.evaluation.comparison.charts import COLORS, INK, MUTED
from amir_verl.evaluation.ranking.groups import OrderKept


def ranking_figure(
    scores: Sequence[Sequence[float]], rankings: Sequence[Sequence[int | None]], kept: Mapping[str, OrderKept]
) -> Figure:
    """Left: scores by place, less their prompt's mean over ranked responses. Right: pairs in order."""
    by_place: dict[int, list[float]] = {}
    for prompt_scores, ranking in zip(scores, rankings, strict=True):
        ranked = [
            (score, place) for score, place in zip(prompt_scores, ranking, strict=True) if place is not None
        ]
        mean = float(np.mean([score for score, _ in ranked])) if ranked else 0.0
        for score, place in ranked:
            by_place.setdefault(place, []).append(score - mean)
    figure = Figure(figsize=(9.1, 3.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    left, right = figure.subplots(1, 2)
    places = sorted(by_place)
    left.axhline(0, color=MUTED, linewidth=0.8)
    for x, place in enumerate(places):
        values = np.array(by_place[place])
        if values.size >= 10 and np.ptp(values) > 0:
            body = left.violinplot(values, positions=[x], widths=0.75, showextrema=False)["bodies"][0]
            body.set(facecolor=COLORS["a"], alpha=0.3, edgecolor=COLORS["a"], linewidth=1)
        else:
            left.plot(np.full(values.size, x), values, "o", color=COLORS["a"], alpha=0.5, markersize=4)
        left.plot(x, np.median(values), "o", color="white", markeredgecolor=COLORS["a"], markersize=6)
    left.set_xticks(range(len(places)), places)
    left.set(
        xlabel="place in the ranking (0 is best)",
        title="log-probability per token, relative to the prompt's mean",
    )
    left.grid(axis="x", visible=False)
    left.yaxis.set_major_locator(MaxNLocator(5))
    rows = np.arange(len(kept))
    for offset, color, label, values in (
        (-0.12, INK, "all pairs", [row.share for row in kept.values()]),
        (0.12, COLORS["b"], "one place apart", [row.near_share for row in kept.values()]),
    ):
        right.plot(values, rows + offset, "o", color=color, markersize=6, label=label)
    right.axvline(0.5, color=MUTED, linewidth=0.8)
    right.set_yticks(rows, list(kept))
    right.set_ylim(len(kept) - 0.5, -0.5)
    right.set_xlim(-0.02, 1.02)
    right.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    right.set_title("pairs in order (the line is chance)")
    right.grid(axis="y", visible=False)
    figure.legend(loc="outside lower right", ncols=2)
    return figure
