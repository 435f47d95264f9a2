"""Figures of a comparison. Each function takes data and returns a matplotlib Figure; no file is touched.

Shape suffixes: _I steps or validations, _Q problems.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from amir_verl.evaluation.comparison.compare import Coverage, RateRow
from amir_verl.evaluation.comparison.pass_curves import PassCurve
from amir_verl.evaluation.metrics.calibration import Calibration

COLORS = {"base": "#8b9099", "a": "#2f6690", "b": "#c4512d"}
FURTHER_COLORS = ("#5b8c5a", "#8c6bb1", "#c79a2b", "#4aa3a2", "#a8577e", "#7a6a58")  # runs beside a and b
INK, MUTED, RULE = "#22262b", "#6a7078", "#d9dce0"
COVERAGE_COLORS = {"both": "#b9c0c9", "only_a": COLORS["a"], "only_b": COLORS["b"], "none": "#e9ebee"}
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a run may be called anything
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceef0",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}
PIXELS_PER_INCH = 100  # on the page; the files hold twice as many
PANEL_WIDTH, PANEL_HEIGHT = 3.0, 2.15

Curve = tuple[np.ndarray, np.ndarray]  # steps (T,), values (T,)


@contextmanager
def chart_style() -> Iterator[None]:
    """The common look; every chart must be made and saved inside it."""
    with matplotlib.rc_context(STYLE):
        yield


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over `window` entries, over fewer at the ends. (T,) -> (T,)."""
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _legend(figure: Figure, names: Mapping[str, str]) -> None:
    handles = [matplotlib.lines.Line2D([], [], color=COLORS[run], linewidth=2.5) for run in names]
    figure.legend(handles, list(names.values()), loc="outside upper left", ncols=len(names), handlelength=1.4)


def training_curves(panels: Mapping[str, Mapping[str, Curve]], names: Mapping[str, str]) -> Figure:
    """Small multiples: title -> run ("a", "b") -> curve. Long curves get their moving average on top."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL_WIDTH * columns, PANEL_HEIGHT * rows + 0.35), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.06)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, (title, curves) in zip(axes, panels.items(), strict=False):
        for run, (steps_I, values_I) in curves.items():
            smooth = len(values_I) >= 40
            axis.plot(
                steps_I,
                values_I,
                color=COLORS[run],
                linewidth=0.8 if smooth else 1.7,
                alpha=0.3 if smooth else 1.0,
                marker="o" if len(values_I) <= 12 else None,
                markersize=3.5,
            )
            if smooth:
                window = max(3, len(values_I) // 20)
                axis.plot(steps_I, moving_average(values_I, window), color=COLORS[run], linewidth=1.8)
        axis.set_title(title)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(4))
    for axis in figure.axes[len(panels) :]:
        axis.set_visible(False)
    for axis in figure.axes[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel("step")
    _legend(figure, names)
    return figure


def pass_at_k_courses(curves: Sequence[PassCurve], ks: Sequence[int]) -> Figure:
    """What a run gains in one try and loses in k: pass@1 and pass@k over steps, then one against the other.

    Args:
        curves: two validations or more each; equal names share a colour. The first two are A and B.
        ks: above 1, in every curve.
    """
    rows = -(-(1 + 2 * len(ks)) // 3)
    figure = Figure(figsize=(PANEL_WIDTH * 3, 2.6 * rows + 0.35), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.06)
    axes = figure.subplots(rows, 3, squeeze=False).flat
    palette = (COLORS["a"], COLORS["b"], *FURTHER_COLORS)
    names = list(dict.fromkeys(curve.name for curve in curves))
    color_of = {name: palette[i % len(palette)] for i, name in enumerate(names)}
    for axis, k in zip(axes, (1, *ks), strict=False):
        for curve in curves:
            axis.plot(curve.step_I, curve.rates[k], "o-", color=color_of[curve.name], markersize=3.5)
        axis.set_title(f"pass@{k} over steps")
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _percent_axis(axis.yaxis)
    for axis, k in zip(figure.axes[1 + len(ks) :], ks, strict=False):
        for curve in curves:
            one_I, k_I, color = curve.rates[1], curve.rates[k], color_of[curve.name]
            axis.plot(one_I, k_I, "o-", color=color, markersize=3.5)
            axis.plot(one_I[:1], k_I[:1], "o", color="white", markeredgecolor=color, markersize=7)
            axis.plot(one_I[-1:], k_I[-1:], "o", color=color, markersize=7)
        axis.set_title(f"pass@{k} against pass@1")
        axis.set_xlabel("pass@1")
        _percent_axis(axis.xaxis)
        _percent_axis(axis.yaxis)
    for axis in figure.axes[1 + 2 * len(ks) :]:
        axis.set_visible(False)
    handles = [matplotlib.lines.Line2D([], [], color=color_of[name], linewidth=2.5) for name in names]
    figure.legend(handles, names, loc="outside upper left", ncols=min(4, len(names)), handlelength=1.4)
    return figure


def _percent_axis(axis: Axis) -> None:
    """Percent, over ten points at least: a narrower range would make noise look like a result."""
    low, high = axis.get_view_interval()
    if high - low < 0.1:
        axis.set_view_interval((low + high) / 2 - 0.05, (low + high) / 2 + 0.05, ignore=True)
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.set_major_locator(MaxNLocator(5))


def solve_rates(rows: Sequence[RateRow], names: Mapping[str, str]) -> Figure:
    """Dots with 95 % intervals for every row of the pass@k table."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    axis = figure.subplots()
    for offset, run in zip(np.linspace(-0.14, 0.14, len(names)), names, strict=True):
        estimates = [getattr(row, run) for row in rows]
        mean = np.array([e.mean for e in estimates])
        low = np.array([e.low if np.isfinite(e.low) else e.mean for e in estimates])
        high = np.array([e.high if np.isfinite(e.high) else e.mean for e in estimates])
        axis.errorbar(
            np.arange(len(rows)) + offset,
            mean,
            yerr=[mean - low, high - mean],
            fmt="o",
            markersize=5.5,
            linewidth=1.6,
            color=COLORS[run],
        )
    axis.set_xticks(range(len(rows)), [row.name for row in rows])
    axis.set_xlim(-0.5, len(rows) - 0.5)
    axis.grid(axis="x", visible=False)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.set_ylim(bottom=0)
    _legend(figure, names)
    return figure


def coverage_bars(coverage: Mapping[str, Coverage], names: Mapping[str, str]) -> Figure:
    """One bar for all problems and, with a base, one for those it solved and one for those it did not."""
    figure = Figure(figsize=(7.2, 0.75 + 0.5 * len(coverage)), layout="constrained")
    axis = figure.subplots()
    labels = {
        "both": "both",
        "only_a": f"only {names['a']}",
        "only_b": f"only {names['b']}",
        "none": "neither",
    }
    for y, part in enumerate(coverage.values()):
        left = 0
        for kind, color in COVERAGE_COLORS.items():
            count = getattr(part, kind)
            axis.barh(y, count, left=left, height=0.62, color=color, edgecolor="white", linewidth=1)
            if count >= 0.035 * max(c.total for c in coverage.values()):
                ink = "white" if kind.startswith("only") else INK
                axis.text(left + count / 2, y, str(count), ha="center", va="center", color=ink, fontsize=9)
            left += count
    axis.set_yticks(range(len(coverage)), [f"{name} ({part.total})" for name, part in coverage.items()])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.spines[["left", "bottom"]].set_visible(False)
    handles = [
        matplotlib.patches.Patch(facecolor=color, edgecolor=RULE, linewidth=0.6)
        for color in COVERAGE_COLORS.values()
    ]
    figure.legend(
        handles, labels.values(), loc="outside upper left", ncols=4, handlelength=1.0, handleheight=1.0
    )
    return figure


def margin_violins(panels: Mapping[str, Mapping[str, np.ndarray]], names: Mapping[str, str]) -> Figure:
    """Title -> run -> values: the distribution of the margin with its median (dots below ten values)."""
    figure = Figure(figsize=(3.6 * len(panels), 2.9), layout="constrained")
    for axis, (title, values) in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True
    ):
        axis.axhline(0, color=MUTED, linewidth=0.8)
        for x, (run, values_Q) in enumerate(values.items()):
            if len(values_Q) >= 10 and np.ptp(values_Q) > 0:
                body = axis.violinplot(values_Q, positions=[x], widths=0.75, showextrema=False)["bodies"][0]
                body.set(facecolor=COLORS[run], alpha=0.35, edgecolor=COLORS[run], linewidth=1)
                low, high = np.quantile(values_Q, [0.25, 0.75])
                axis.vlines(x, low, high, color=COLORS[run], linewidth=4)
            else:
                axis.plot(
                    np.full(len(values_Q), x), values_Q, "o", color=COLORS[run], alpha=0.6, markersize=4
                )
            axis.plot(x, np.median(values_Q), "o", color="white", markeredgecolor=COLORS[run], markersize=6)
        axis.set_title(title)
        axis.set_xticks(range(len(values)), [f"{names[run]}\n(n = {len(v)})" for run, v in values.items()])
        axis.set_xlim(-0.6, len(values) - 0.4)
        axis.grid(axis="x", visible=False)
        axis.yaxis.set_major_locator(MaxNLocator(5))
    return figure


def length_histograms(
    lengths: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Mapping[str, str], unit: str
) -> Figure:
    """Run -> (lengths of correct (S,), of wrong (S,)): a panel a kind, common bins, shares of the kind."""
    figure = Figure(figsize=(7.2, 2.5), layout="constrained")
    everything = np.concatenate([part for pair in lengths.values() for part in pair])
    edges = np.histogram_bin_edges(everything, bins=min(24, max(5, int(np.sqrt(everything.size)))))
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for kind, (axis, title) in enumerate(zip(axes, ("correct responses", "wrong responses"), strict=True)):
        for run, pair in lengths.items():
            if pair[kind].size:
                share = np.histogram(pair[kind], edges)[0] / pair[kind].size
                axis.stairs(share, edges, color=COLORS[run], linewidth=1.6)
                axis.stairs(share, edges, color=COLORS[run], alpha=0.08, fill=True)
        axis.set_title(title)
        axis.set_xlabel(f"length ({unit})")
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    _legend(figure, names)
    return figure


def reliability_diagram(calibrations: Mapping[str, Calibration], names: Mapping[str, str]) -> Figure:
    """Share of correct answers against stated confidence; dots grow with the samples of their bin."""
    figure = Figure(figsize=(3.9, 3.7), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    for run, result in calibrations.items():
        filled = result.count > 0
        axis.plot(
            result.confidence[filled], result.accuracy[filled], color=COLORS[run], linewidth=1.2, alpha=0.7
        )
        area = 12 + 160 * result.count[filled] / result.count.max()
        axis.scatter(
            result.confidence[filled], result.accuracy[filled], s=area, color=COLORS[run], linewidth=0
        )
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="stated confidence", ylabel="share correct")
    axis.set_aspect("equal")
    for direction in (axis.xaxis, axis.yaxis):
        direction.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    _legend(figure, {run: names[run] for run in calibrations})
    return figure
