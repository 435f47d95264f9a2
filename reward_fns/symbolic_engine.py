"""Symbolic equality with a deadline that holds in any thread of any process.

sympy can run for minutes on twenty characters, and math-verify's signal-based timeouts work in the main
thread alone, where verl never calls a reward. So questions go to an engine, a process of its own that forks a
child for each and lets it die at the deadline. Two engines share the questions of all threads of a process,
each the other's spare: what an engine that was killed had to answer goes to the other, and a new one starts.
"""

import atexit
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

_WORKER_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "symbolic_worker.py")
# A cold start on a busy machine; an engine takes about a second on an idle one.
START_SECONDS = 120.0
# Each is warm before the other is missed.
ENGINES = 2
# Children at work at once, for all threads of this process; more questions wait, on their own clock.
MAX_CHILDREN = 8


@dataclass
class EngineTime:
    """The engine time one response has left, in seconds, and what became of it."""

    seconds: float = 1.0
    asked: bool = field(default=False, init=False)
    gave_up: bool = field(default=False, init=False)


class _Engine:
    """One engine process, the pipes to it, and the thread that reads its replies."""

    def __init__(self) -> None:
        environment = dict(os.environ)
        # What this process can import, the engine can: Ray adds paths that the environment does not show.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-B", _WORKER_FILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        self.started = threading.Event()
        self.error: str | None = None
        self._waiting: dict[int, queue.SimpleQueue] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="reward-engine", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with os.fdopen(os.dup(self.process.stdout.fileno()), "rb") as replies:
            for line in replies:
                reply = json.loads(line)
                if reply == "ready":
                    self.started.set()
                elif isinstance(reply, dict):
                    self.error = reply["error"]
                elif waiting := self._waiting.pop(reply[0], None):
                    waiting.put(reply[1])
        with self._lock:
            self.error = self.error or "it ended"
            waiting, self._waiting = list(self._waiting.values()), {}
        self.started.set()
        for answer in waiting:
            answer.put(None)

    @property
    def alive(self) -> bool:
        return self.error is None and self.process.poll() is None

    @property
    def questions(self) -> int:
        return len(self._waiting)

    def ask(self, gold: str, answer: str, seconds: float) -> bool | None:
        """The verdict, or None when there is none within `seconds`."""
        reply: queue.SimpleQueue = queue.SimpleQueue()
        with self._lock:
            if self.error:
                return None
            number = next(self._numbers)
            self._waiting[number] = reply
            try:
                self.process.stdin.write(json.dumps([number, gold, answer, seconds]).encode() + b"\n")
            except OSError:
                self._waiting.pop(number, None)
                return None
        try:
            return reply.get(timeout=seconds)
        except queue.Empty:
            self._waiting.pop(number, None)
            return None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5.0)
        self.process.stdin.close()
        self.process.stdout.close()


class SymbolicEngine:
    """The engines of this process, for all its threads."""

    def __init__(self, max_children: int = MAX_CHILDREN) -> None:
        self._engines: list[_Engine] = []
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(max_children)

    def warm(self) -> None:
        """Start what is missing of the engines, without waiting for it."""
        with self._lock:
            alive = [engine for engine in self._engines if engine.alive]
            self._engines = alive + [_Engine() for _ in range(ENGINES - len(alive))]

    def equal(self, gold: str, answer: str, engine_time: EngineTime) -> bool:
        """Whether the engine finds `answer` equal to `gold` within the time that is left.

        What the question took, waiting for a free child included, is subtracted from `engine_time`; when none
        is left, or the child ran out of memory or died, the answer is wrong and `engine_time.gave_up` is set.
        Waiting for the very first start is not the answer's time.

        Raises:
            RuntimeError: no engine can be started, with the reason.
        """
        if engine_time.gave_up:
            return False
        engine_time.asked = True
        self._ready()
        end = time.monotonic() + engine_time.seconds
        verdict = None
        if self._slots.acquire(timeout=max(engine_time.seconds, 0.0)):
            try:
                for _ in range(ENGINES):
                    engine, left = self._ready(), end - time.monotonic()
                    verdict = engine.ask(gold, answer, left) if left > 0 else None
                    if verdict is not None or engine.alive:
                        break  # else the engine died, not the child: ask the spare one
            finally:
                self._slots.release()
        engine_time.seconds = end - time.monotonic()
        engine_time.gave_up = verdict is None
        return verdict is True

    def _ready(self) -> _Engine:
        """The engine with fewer questions of those that have started; the first one where none has."""
        self.warm()
        with self._lock:
            engines = list(self._engines)
        started = [engine for engine in engines if engine.started.is_set()] or engines[:1]
        engine = min(started, key=lambda engine: engine.questions)
        if not engine.started.wait(START_SECONDS) or engine.error:
            raise RuntimeError(
                f"reward_fns: the math-verify worker did not start: {engine.error or 'no sign of life'}"
            )
        return engine

    def close(self) -> None:
        """Stop the engines; the next question starts new ones."""
        with self._lock:
            engines, self._engines = self._engines, []
        for engine in engines:
            engine.stop()

    def forget_engines(self) -> None:
        """After a fork: the engines belong to the parent, and so may the state of our locks."""
        engines = self._engines
        self.__init__()
        for engine in engines:
            engine.process.stdin.close()
            engine.process.stdout.close()
            engine.process.returncode = 0  # not our child: nothing to wait for


ENGINE = SymbolicEngine()
os.register_at_fork(after_in_child=ENGINE.forget_engines)
atexit.register(ENGINE.close)
