"""Symbolic equality with a deadline that holds in any thread of any process.

math-verify and sympy can run for minutes on twenty characters, and their signal-based timeouts work in the
main thread alone, where verl never calls a reward. So they run in worker processes that we can kill. Workers
start when first needed, stay for later answers, and are replaced after a kill. Waiting for a free worker or
for one to start is not the answer's time: a busy machine must not turn a right answer into a wrong one.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

_WORKER_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "symbolic_worker.py")
# A cold start on a busy machine; a worker takes about half a second on an idle one.
START_SECONDS = 120.0
# Workers of one process; verl runs several reward processes.
MAX_WORKERS = 2
# sympy's caches and the allocator grow slowly; a fresh process now and then keeps a long run flat.
REQUESTS_PER_WORKER = 5000


@dataclass
class EngineTime:
    """The engine time one response has left, in seconds, and what became of it."""

    seconds: float = 1.0
    asked: bool = field(default=False, init=False)
    gave_up: bool = field(default=False, init=False)


class _Worker:
    """One worker process and the two pipes to it."""

    def __init__(self) -> None:
        environment = dict(os.environ)
        # What this process can import, the worker can: Ray adds paths that the environment does not show.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.requests = 0
        self.process = subprocess.Popen(
            [sys.executable, "-B", _WORKER_FILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        reply = self._read_line(START_SECONDS)
        if reply != "ready":
            self.stop()
            reason = reply["error"] if isinstance(reply, dict) else "no sign of life"
            raise RuntimeError(f"reward_fns: the math-verify worker did not start: {reason}")

    def _read_line(self, seconds: float) -> object:
        """One JSON reply; None when the worker died or the time is over."""
        end = time.monotonic() + seconds
        data = b""
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN | select.POLLHUP)
        while not data.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                return None
            chunk = os.read(self.process.stdout.fileno(), 4096)
            if not chunk:
                return None
            data += chunk
        return json.loads(data)

    def ask(self, gold: str, answer: str, seconds: float) -> bool | None:
        """The verdict, or None when there is none within `seconds`; then the worker must be stopped."""
        self.requests += 1
        request = json.dumps([gold, answer, seconds]).encode() + b"\n"
        try:
            self.process.stdin.write(request)
        except OSError:
            return None
        return self._read_line(seconds)

    def close_pipes(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close_pipes()


class SymbolicEngine:
    """A few workers, shared by all threads of this process."""

    def __init__(self, max_workers: int = MAX_WORKERS) -> None:
        self._free: list[_Worker] = []
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(max_workers)

    def equal(self, gold: str, answer: str, engine_time: EngineTime) -> bool:
        """Whether the engine finds `answer` equal to `gold` within the time that is left.

        What the question took is subtracted from `engine_time`; when none is left, or the worker ran out of
        memory or died, the answer is wrong and `engine_time.gave_up` is set.

        Raises:
            RuntimeError: no worker can be started, with the reason.
        """
        if engine_time.gave_up:
            return False
        engine_time.asked = True
        with self._slots:
            worker = self._take()
            start = time.monotonic()
            verdict = worker.ask(gold, answer, engine_time.seconds)
            engine_time.seconds -= time.monotonic() - start
            engine_time.gave_up = verdict is None or engine_time.seconds <= 0
            if verdict is None or worker.requests >= REQUESTS_PER_WORKER:
                worker.stop()
            else:
                with self._lock:
                    self._free.append(worker)
        return verdict is True

    def _take(self) -> _Worker:
        with self._lock:
            while self._free:
                worker = self._free.pop()
                if worker.process.poll() is None:
                    return worker
                worker.close_pipes()  # it died while it was idle, for instance by the kernel's OOM killer
        return _Worker()

    def close(self) -> None:
        """Stop the workers; the next question starts a new one."""
        with self._lock:
            workers, self._free = self._free, []
        for worker in workers:
            worker.stop()

    def forget_workers(self) -> None:
        """After a fork: the workers belong to the parent, and so may the state of our locks."""
        workers = self._free
        self.__init__()
        for worker in workers:
            worker.close_pipes()
            worker.process.returncode = 0  # not our child: nothing to wait for


ENGINE = SymbolicEngine()
os.register_at_fork(after_in_child=ENGINE.forget_workers)
atexit.register(ENGINE.close)
