"""The processes of one run, wherever Ray put them, by a marker in their environment or by their session.

Ray starts its workers in process groups of their own and some processes overwrite their environment with a
title, so neither group nor environment alone finds them all.
"""

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import psutil

MARKER = "AMIR_SURVIVAL_RUN"
# What is killed, and how its process is called. Ray and vLLM set these titles.
TITLES = {"task runner": "ray::TaskRunner", "worker": "ray::WorkerDict", "engine": "VLLM::EngineCore"}
SHARED_MEMORY = Path("/dev/shm")


class Run(NamedTuple):
    """A training that was started: its first process, the marker's value, and its log."""

    process: subprocess.Popen
    name: str
    log: Path


def start(command: list[str], *, name: str, cwd: Path, environment: dict[str, str], log: Path) -> Run:
    """Start a training in a session of its own, its output into `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | environment | {MARKER: name},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Run(process, name, log)


def processes(run: Run) -> dict[int, str]:
    """Title by id of every process of the run that lives."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = os.getsid(process.pid) == run.process.pid or process.environ().get(MARKER) == run.name
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())[:60] or process.name()
    return found


def find(run: Run, kind: str) -> list[int]:
    """Ids of the processes of a kind: "driver" (the one that was started) or one of TITLES."""
    if kind == "driver":
        return [run.process.pid]
    return sorted(pid for pid, title in processes(run).items() if title.startswith(TITLES[kind]))


def wait_until_gone(run: Run, *, limit: float) -> tuple[float | None, float | None, dict[int, str]]:
    """Seconds until the run's first process ended and until all its processes had, None past the limit; and
    what is left then.
    """
    start, ended = time.monotonic(), None
    while True:
        left = processes(run)
        passed = time.monotonic() - start
        if ended is None and run.process.poll() is not None:
            ended = passed
        # A process of which only the first thread is gone looks like a zombie, but has not ended.
        if not left and ended is not None:
            return ended, passed, {}
        if passed > limit:
            return ended, None, left
        time.sleep(0.25)


def end(run: Run, *, limit: float = 60.0) -> None:
    """Leave no process of the run: first by asking its first process, then by force."""
    if run.process.poll() is None:
        run.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(limit)
    # A dying process may start none, but one that was starting may appear: look until none is left.
    while left := processes(run):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        run.process.poll()
        time.sleep(0.1)
    run.process.wait()


def shared_memory() -> dict[str, int]:
    """Bytes in use by name of every segment of shared memory."""
    segments = {}
    for path in SHARED_MEMORY.glob("*"):
        with contextlib.suppress(OSError):
            segments[path.name] = path.stat().st_blocks * 512
    return segments
