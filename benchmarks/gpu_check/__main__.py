"""What works on this machine's card, at most 20 minutes on one; a page of results.

python -m benchmarks.gpu_check [--quick] [--only PART ...] [--out PAGE]

Each part is a process of its own, so that one that fails takes nothing with it, and every part finds the card
empty. A part that cannot run here is skipped with its reason. --quick: small shapes, on a CPU too.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from amir_verl.cli.cards import find_cards
from amir_verl.cli.memory import GB, estimate
from amir_verl.cli.model_shapes import PUBLISHED
from benchmarks.gpu_check import SKIPPED

REPOSITORY = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 20
# Of our own a module that is missing is a failure.
_OURS = ("amir_verl", "benchmarks", "reward_fns")
_QWEN = ["--model", "qwen2-0.5b", "--groups", "8", "64", "--responses", "64", "--prompt", "64"]

_SMALL = ["--groups", "8", "--responses", "16", "--layers", "1", "--micro-batch", "8", "--repeats", "3"]


class Part(NamedTuple):
    """One part: what it shows, its command, its quick form if it has one, the seconds it may take, and the
    bytes of the card that it is reckoned to need (0: it looks for itself).
    """

    name: str
    shows: str
    command: list[str]
    quick: list[str] | None
    limit: float
    needs: float = 0.0


def _module(name: str, *arguments: str) -> list[str]:
    return [f"benchmarks.{name}", *arguments]


PARTS = (
    Part(
        "machine",
        "card, driver, packages",
        _module("gpu_check.machine"),
        _module("gpu_check.machine"),
        60,
    ),
    Part(
        "loss",
        "the preference loss against the oracle",
        _module("gpu_check.loss"),
        _module("gpu_check.loss", "--quick"),
        90,
    ),
    Part(
        "worker loss",
        "verl's loss with the preference term, as a worker runs it, against the oracle",
        _module("gpu_check.loss", "--worker"),
        _module("gpu_check.loss", "--worker", "--quick"),
        90,
    ),
    Part(
        "update",
        "the actor's update with AMIR over the same update without",
        _module("update_overhead", *_QWEN, "--response", "448", "--micro-batch", "4", "--repeats", "7"),
        _module("update_overhead", *_SMALL),
        330,
        estimate(
            PUBLISHED["qwen2.5-0.5b"], card=0, tokens=4 * 512, longest=512, flash_attention=False
        ).update,
    ),
    Part(
        "training",
        "a tiny training: the rewards rise",
        _module("gpu_check.training"),
        _module("gpu_check.training", "--quick"),
        330,
    ),
    Part(
        "memory",
        "peak memory of an update against the arithmetic of the recipes, a 0.5B model",
        _module("gpu_check.memory"),
        _module("gpu_check.memory", "--quick"),
        120,
    ),
    Part(
        "memory 1.5B",
        "the same, a 1.5B model",
        _module("gpu_check.memory", "--model", "qwen2-1.5b"),
        None,
        180,
    ),
)


class Outcome(NamedTuple):
    """How a part ended: a word, the lines that it printed, seconds."""

    word: str
    lines: list[str]
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small shapes, few steps")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], metavar="PART")
    parser.add_argument("--out", type=Path, help="write the page here")
    args = parser.parse_args()
    outcomes = []
    for part in PARTS:
        if args.only and part.name not in args.only:
            continue
        command = part.quick if args.quick else part.command
        if command is None:
            outcome = Outcome("skipped", [f"{SKIPPED}it has no quick form"], 0.0)
        elif not args.quick and (reason := too_small(part.needs)):
            outcome = Outcome("skipped", [f"{SKIPPED}{reason}"], 0.0)
        else:
            outcome = run(command, limit=part.limit)
        outcomes.append((part, outcome))
        print(_section(part, outcome), flush=True)
        if args.out:  # after each part: what is stopped has the page so far
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(page(outcomes, quick=args.quick))
    return int(any(outcome.word in ("failed", "missed") for _, outcome in outcomes))


def too_small(needs: float) -> str | None:
    """Why the smallest card of this machine cannot hold a part; None if it can, or if there is no card."""
    cards = find_cards()
    if not cards.found or needs <= 0.9 * cards.gigabytes * GB:
        return None
    return f"{needs / GB:.0f} GB are reckoned, the card has {cards.gigabytes}"


def run(command: list[str], *, limit: float) -> Outcome:
    """Run a part in a process of its own; stop it and all that it started after `limit` seconds."""
    started = time.monotonic()
    environment = os.environ | {
        # Where the clone is not installed, verl does not find the plugin by itself.
        "VERL_USE_EXTERNAL_MODULES": "amir_verl.plugin",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
    except BaseException as stopped:
        process.terminate()  # a training first ends what it has started in sessions of its own
        try:
            output, errors = process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
        if not isinstance(stopped, subprocess.TimeoutExpired):
            raise
        return Outcome("failed", [*output.splitlines(), f"stopped after {limit:.0f} s"], limit)
    return judge(process.returncode, output, errors, time.monotonic() - started)


def judge(status: int, output: str, errors: str, seconds: float) -> Outcome:
    """passed, missed (a figure), skipped (its reason is the line) or failed (the last lines say why)."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    skips = [line for line in lines if line.startswith(SKIPPED)]
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), f"status {status}")
    if status != 0:
        absent = last.startswith("ModuleNotFoundError: No module named")
        if absent and last.split("'")[1].split(".")[0] not in _OURS:
            return Outcome("skipped", [f"{SKIPPED}{last.removeprefix('ModuleNotFoundError: ')}"], seconds)
        return Outcome("failed", [*lines, *errors.splitlines()[-12:]], seconds)
    if skips:
        return Outcome("skipped", skips, seconds)
    missed = any(line.endswith(": missed") for line in lines)
    return Outcome("missed" if missed else "passed", lines, seconds)


def page(outcomes: list[tuple[Part, Outcome]], *, quick: bool) -> str:
    """The results in Markdown: a table, then what each part printed."""
    rows = [
        f"| {part.name} | {part.shows} | {outcome.word} | {outcome.seconds:.0f} |"
        for part, outcome in outcomes
    ]
    command = f"python -m benchmarks.gpu_check{' --quick' if quick else ''}"
    head = ["# What works on this machine", "", f"`{command}`", "", "| part | shows | outcome | s |"]
    sections = [_section(part, outcome) for part, outcome in outcomes]
    return "\n".join([*head, "|---|---|---|---|", *rows, "", *sections])


def _section(part: Part, outcome: Outcome) -> str:
    return "\n".join(
        [f"## {part.name}: {outcome.word}, {outcome.seconds:.0f} s", "", "```", *outcome.lines, "```", ""]
    )


if __name__ == "__main__":
    sys.exit(main())
