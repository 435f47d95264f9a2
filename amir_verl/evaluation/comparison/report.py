"""One self-contained HTML page that compares two runs, and its pictures as PNG files."""

import base64
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from amir_verl.evaluation.comparison import charts
from amir_verl.evaluation.comparison.compare import Comparison, RateRow, compare
from amir_verl.evaluation.comparison.pass_curves import PassCurve, drawable, shared_ks
from amir_verl.evaluation.comparison.run_files import Run
from amir_verl.evaluation.metrics.bootstrap import MIN_PROBLEMS, Gain
from amir_verl.evaluation.metrics.summary import Estimate, Summary

MINUS = "\u2212"
EXAMPLES, EXAMPLE_LENGTH = 3, 1500
#: Title of a panel -> names of the metric, the first one a run has is drawn.
TRAINING_PANELS = {
    "training reward": ("critic/score/mean", "critic/rewards/mean"),
    "entropy": ("actor/entropy", "actor/entropy_loss"),
    "response length (tokens)": ("response_length/mean",),
    "cut off at the length limit (share)": ("response_length/clip_ratio",),
    "gradient norm": ("actor/grad_norm",),
    "preference loss": ("amir/loss",),
    "pairs ranked right (share)": ("amir/pair_accuracy",),
    "preference margin": ("amir/margin",),
    "preference over policy gradient": ("amir/grad_ratio",),
    "distinct right answers a group": ("amir/distinct_right",),
    "right, yet below a wrong one (share)": ("amir/unlikely_right",),
}
VALIDATION_PANELS = 3


def _signed(value: float, digits: int = 1) -> str:
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", MINUS)


def _points(gain: Gain | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    interval = "" if math.isnan(gain.low) else f"{_signed(100 * gain.low)} to {_signed(100 * gain.high)}"
    return {"mean": _signed(100 * gain.mean), "interval": interval, "verdict": gain.verdict}


def _rate(estimate: Estimate | None) -> dict[str, str] | None:
    if estimate is None:
        return None
    interval = "" if math.isnan(estimate.low) else f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
    return {"mean": f"{100 * estimate.mean:.1f}", "interval": interval}


def _rate_row(row: RateRow, names: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row.name,
        "values": {key: _rate(getattr(row, key)) for key in names},
        "problems": row.b_over_a.num_problems,
        "a_over_base": _points(row.a_over_base),
        "b_over_base": _points(row.b_over_base),
        "b_over_a": _points(row.b_over_a),
    }


def _first_and_last(rows: list[RateRow]) -> list[RateRow]:
    """pass@1 and the largest pass@k."""
    rates = [row for row in rows if row.name.startswith("pass@")]
    return rates[:1] + rates[1:][-1:]


def _number(value: float, digits: int = 1, *, scale: float = 1.0, unit: str = "") -> str:
    return "\u2013" if math.isnan(value) else f"{scale * value:.{digits}f}{unit}"


def training_panels(runs: dict[str, Run]) -> dict[str, dict[str, charts.Curve]]:
    """Panels that at least one run has: validation accuracy first, then `TRAINING_PANELS`."""
    validation = dict.fromkeys(
        name
        for run in runs.values()
        for name in run.metrics
        if name.startswith("val-core/") and "/mean@" in name
    )
    wanted = {
        f"validation {name.removeprefix('val-core/')}": (name,)
        for name in list(validation)[:VALIDATION_PANELS]
    }
    panels = {}
    for title, names in (wanted | TRAINING_PANELS).items():
        curves = {
            key: run.metrics[found]
            for key, run in runs.items()
            if (found := next((name for name in names if name in run.metrics), None))
        }
        if curves:
            panels[title] = curves
    return panels


def headline(comparison: Comparison, names: dict[str, str]) -> list[str]:
    """What the numbers allow one to say of pass@1 and of the largest pass@k, a sentence each."""
    sentences = []
    for row in _first_and_last(comparison.rates):
        gain, points = row.b_over_a, _points(row.b_over_a)
        figures = (
            f"{row.name}: {names['b']} {100 * row.b.mean:.1f} %, {names['a']} {100 * row.a.mean:.1f} %, "
            f"difference {points['mean']} points"
        )
        if gain.verdict == "too few problems":
            ending = f", but {gain.num_problems} problems are too few to tell (at least {MIN_PROBLEMS})."
        elif gain.verdict == "not distinguishable":
            ending = f" (95 % interval {points['interval']}): not distinguishable."
        else:
            ending = f" (95 % interval {points['interval']}): {names['b']} is {gain.verdict}."
        sentences.append(figures + ending)
    return sentences


def _length_rows(comparison: Comparison, names: dict[str, str]) -> list[dict[str, str]]:
    def row(key: str, summary: Summary) -> dict[str, str]:
        calibration = summary.calibration
        return {
            "run": key,
            "name": names[key],
            "unit": summary.length_unit,
            "mean": _number(summary.mean_length),
            "correct": _number(summary.mean_length_correct),
            "wrong": _number(summary.mean_length_wrong),
            "truncated": _number(summary.truncation_share, scale=100, unit=" %"),
            "stated": _number(summary.confidence_share, scale=100, unit=" %"),
            "ece": f"{calibration.ece:.3f}" if calibration else "\u2013",
            "brier": f"{calibration.brier:.3f}" if calibration else "\u2013",
        }

    return [row(key, summary) for key, summary in comparison.summaries.items()]


def _examples(comparison: Comparison, names: dict[str, str]) -> list[dict[str, Any]]:
    def clip(text: str) -> str:
        return text if len(text) <= EXAMPLE_LENGTH else text[:EXAMPLE_LENGTH] + " [...]"

    groups = []
    for key, frame in (("a", comparison.only_a), ("b", comparison.only_b)):
        shown = [
            {"prompt": clip(row.prompt) or row.prompt_id, "response": clip(row.response)}
            for row in frame.head(EXAMPLES).itertuples()
        ]
        groups.append({"run": key, "name": names[key], "total": len(frame), "shown": shown})
    return groups


def _margin_panels(runs: dict[str, Run], comparison: Comparison | None) -> dict[str, dict[str, np.ndarray]]:
    panels = {}
    trained = {key: run.metrics for key, run in runs.items() if key != "base"}
    logged = {key: metrics["amir/margin"][1] for key, metrics in trained.items() if "amir/margin" in metrics}
    if logged:
        panels["chosen minus rejected, one value a step"] = logged
    if comparison and (found := {key: v for key, v in comparison.margins.items() if v.size}):
        panels["correct minus wrong, one value a problem"] = found
    return panels


def _figures(
    runs: dict[str, Run],
    comparison: Comparison | None,
    names: dict[str, str],
    curves: Sequence[PassCurve],
) -> dict[str, Callable[[], Figure]]:
    """File name -> how to draw it; only what the files allow."""
    trained = {key: names[key] for key in runs if key != "base"}
    found: dict[str, Callable[[], Figure]] = {}
    if ks := shared_ks(curves):
        found["pass_at_k"] = lambda: charts.pass_at_k_courses(curves, ks)
    if panels := training_panels({key: runs[key] for key in trained}):
        found["training_curves"] = lambda: charts.training_curves(panels, trained)
    if margins := _margin_panels(runs, comparison):
        found["preference_margin"] = lambda: charts.margin_violins(margins, names)
    if comparison is None:
        return found
    found["solve_rates"] = lambda: charts.solve_rates(comparison.rates, names)
    found["coverage"] = lambda: charts.coverage_bars(comparison.coverage, names)
    units = {summary.length_unit for summary in comparison.summaries.values()}
    lengths = {
        key: tuple(
            run.samples.loc[run.samples["correct"] == kind, "length"].dropna().to_numpy() for kind in (1, 0)
        )
        for key, run in runs.items()
    }
    if len(units) == 1 and any(part.size for pair in lengths.values() for part in pair):
        found["length"] = lambda: charts.length_histograms(lengths, names, units.pop())
    calibrations = {key: s.calibration for key, s in comparison.summaries.items() if s.calibration}
    if calibrations:
        found["calibration"] = lambda: charts.reliability_diagram(calibrations, names)
    return found


def write_report(
    a: Run, b: Run, base: Run | None, *, out: Path, curves: Sequence[PassCurve] = (), seed: int = 0
) -> Path:
    """Write `index.html` and its PNG files into `out`, which is made when it is not there.

    A section whose data a run lacks says so in one line. Text from runs is escaped; the page loads nothing.

    Args:
        a, b, base: runs to compare problem by problem.
        out: directory of the page.
        curves: pass@k over training, of A and B first and then of any other run.
        seed: of the bootstrap.

    Returns:
        The path of the page.

    Raises:
        ValueError: the runs share no problem.
    """
    runs = {"base": base, "a": a, "b": b} if base else {"a": a, "b": b}
    names = {key: run.name[:60] for key, run in runs.items()}
    have_rows = all(run.samples is not None for run in runs.values())
    comparison = (
        compare(a.samples, b.samples, base.samples if base else None, seed=seed) if have_rows else None
    )
    out.mkdir(parents=True, exist_ok=True)
    pictures = {}
    with charts.chart_style():
        for name, draw in _figures(runs, comparison, names, drawable(curves)).items():
            path = out / f"{name}.png"
            figure = draw()
            figure.savefig(path, dpi=2 * charts.PIXELS_PER_INCH, facecolor="white")
            pictures[name] = {
                "data": base64.b64encode(path.read_bytes()).decode("ascii"),
                "width": round(figure.get_figwidth() * charts.PIXELS_PER_INCH),
            }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        names=names,
        runs=runs,
        colors=charts.COLORS,
        comparison=comparison,
        headline=headline(comparison, names) if comparison else [],
        rates=[_rate_row(row, names) for row in comparison.rates] if comparison else [],
        # Per data set the first and the last pass@k: more would bury them.
        sources={
            source: [_rate_row(row, names) for row in _first_and_last(rows)]
            for source, rows in (comparison.rates_by_source.items() if comparison else ())
        },
        lengths=_length_rows(comparison, names) if comparison else [],
        examples=_examples(comparison, names) if comparison else [],
        pictures=pictures,
        missing=[names[key] for key, run in runs.items() if run.samples is None],
        minus=MINUS,
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path
