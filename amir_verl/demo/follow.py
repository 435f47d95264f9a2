"""Run a verl training as a child, keep its log in a file, and show a line a step."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.3
LAST_LINES = 25


class MetricsTail:
    """Reads the records that verl's file logger has added since the last look; a torn line waits for its
    end.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._position = path, 0

    def new_records(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)


def progress_line(record: dict[str, Any], steps: int) -> str:
    """One step as a reader wants it: reward, accuracy where it was measured, pairs, lambda, time."""
    data, step = record["data"], record["step"]
    accuracy = next((value for name, value in data.items() if is_accuracy(name)), None)
    parts = [f"step {step:>4}/{steps}"]
    if "critic/score/mean" in data:
        parts.append(f"reward {data['critic/score/mean']:.3f}")
    if "amir/num_pairs" in data:
        parts.append(f"pairs {data['amir/num_pairs']:.0f}  margin {data['amir/margin']:+.4f}")
    if "timing_s/step" in data:
        parts.append(f"{data['timing_s/step']:.1f} s")
    if accuracy is not None:
        parts.append(f"validation accuracy {accuracy:.3f}")
    return "  ".join(parts)


def is_accuracy(name: str) -> bool:
    """Whether a metric of verl's is the validation accuracy, of whatever data source."""
    return name.startswith("val-core/") and "/acc/mean@" in name


def follow(command: list[str], *, metrics: Path, log: Path, steps: int) -> int:
    """Run `command`, its output into `log`, showing each step of `metrics`; returns its exit status.

    Interrupted, it ends the child and whatever the child started.
    """
    metrics.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    tail, started = MetricsTail(metrics), time.monotonic()
    print(f"starting verl (about a minute and a half on two cores); its log: {log}", flush=True)
    with log.open("wb") as sink:
        child = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while True:
                ended = child.poll() is not None
                for record in tail.new_records():
                    print(progress_line(record, steps), flush=True)
                if ended:
                    break
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            return 130
    if child.returncode:
        print("\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:]), file=sys.stderr)
        print(f"training failed with status {child.returncode}; the whole log: {log}", file=sys.stderr)
    else:
        print(f"trained in {time.monotonic() - started:.0f} s", flush=True)
    return child.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="file of verl's file logger")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command to run")
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    sys.exit(follow(command, metrics=args.metrics, log=args.log, steps=args.steps))


if __name__ == "__main__":
    main()
