"""Interleaved timing, and the lines that every benchmark ends with.

Variants take turns, so other load hits all of them alike. A ratio is the median of the ratios of neighbouring
runs: neither one slow run nor a slow minute moves it.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch


class Times(NamedTuple):
    """Seconds of each repeat of one variant: by the clock, and of this process on the CPU."""

    wall: list[float]
    cpu: list[float]


def interleaved(variants: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, Times]:
    """Run every variant once untimed, then all in turn, reversing the order every other turn."""
    for run in variants.values():
        run()
    times = {name: Times([], []) for name in variants}
    for turn in range(repeats):
        names = list(variants)
        for name in names if turn % 2 == 0 else reversed(names):
            wall, cpu = clock()
            variants[name]()
            wall_after, cpu_after = clock()
            times[name].wall.append(wall_after - wall)
            times[name].cpu.append(cpu_after - cpu)
    return times


def clock() -> tuple[float, float]:
    """Seconds by the clock and on the CPU, once the accelerator, if any, has finished its queue."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def ratio(above: list[float], below: list[float]) -> float:
    """Median ratio of runs of the same turn."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spread(above: list[float], below: list[float]) -> float:
    """Half the interquartile range of the ratios: how far to trust their median."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    if len(ratios) < 2:
        return 0.0
    quartiles = statistics.quantiles(ratios, n=4)
    return (quartiles[2] - quartiles[0]) / 2


def verdict(what: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """One line: the figure, the target beside it, and whether it is reached."""
    if at_most is not None:
        reached, target = value <= at_most, f"<= {at_most:g}"
    else:
        assert at_least is not None
        reached, target = value >= at_least, f">= {at_least:g}"
    return f"{what}: {value:.4g} (target {target}): {'reached' if reached else 'missed'}"


def machine() -> str:
    """The machine in words, for the head of a benchmark: accelerator or cores, load, torch."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    return f"{device}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {platform.system()}"
