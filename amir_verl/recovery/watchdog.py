"""A run whose engine or actor has died ends, with one line that names it.

verl 0.9.1 waits forever when the vLLM engine below a rollout server dies: the sender of the weights waits for
its receiver, and the trainer for the sender. Nor does verl notice a dead agent loop. So a thread beside the
training loop checks every few seconds that all of them are alive, and interrupts it if not.
"""

import contextlib
import http.client
import os
import signal
import sys
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import ray

SECONDS = 5.0
GRACE_SECONDS = 30.0
SIGNAL = signal.SIGUSR2  # Ray blocks SIGINT in its workers
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Watchdog:
    """Watches the parts of a run inside a `with` block, and turns the death of one into a RuntimeError there.

    An error during a check is printed once, and the checks go on.

    Args:
        parts: the Ray actors of the run by name, and the addresses (host:port) of its vLLM servers; asked
            before each look, since both may change.
        seconds: between two looks.
    """

    def __init__(
        self, parts: Callable[[], tuple[Mapping[str, Any], list[str]]], *, seconds: float = SECONDS
    ) -> None:
        self._parts = parts
        self._seconds = seconds
        self._asked: dict[str, Any] = {}
        self._printed: set[str] = set()
        self._death: str | None = None

    def __enter__(self) -> None:
        self._death, self._stop = None, threading.Event()
        self._handler = signal.signal(SIGNAL, _interrupt)
        watch = threading.Thread(target=self._watch, args=(self._stop,), name="amir-watchdog", daemon=True)
        try:
            watch.start()
        except KeyboardInterrupt as error:
            # On a busy machine the first look may end before start() has come back.
            self.__exit__(type(error), error, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        signal.signal(SIGNAL, self._handler)
        if kind is KeyboardInterrupt and self._death is not None:
            raise RuntimeError(self._death) from None
        # What fails for want of a dead part may fail before the next look finds it dead.
        if isinstance(error, Exception) and (dead := self._look()):
            raise RuntimeError(_last_words(dead)) from error

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(self._seconds):
            dead = self._look()
            if dead and not stop.is_set():
                self._end(dead, stop)
                return

    def _look(self) -> list[str]:
        """The parts that have died."""
        dead: list[str] = []
        with self._errors_printed():
            actors, servers = self._parts()
            for name, actor in actors.items():
                with self._errors_printed():
                    dead += [name] if self._has_died(name, actor) else []
            dead += [f"the vLLM engine at {address}" for address in dead_engines(servers)]
        return dead

    @contextlib.contextmanager
    def _errors_printed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if repr(error) not in self._printed:
                self._printed.add(repr(error))
                print("amir-verl: the watchdog failed in a look at the run, and goes on:", file=sys.stderr)
                traceback.print_exc()

    def _has_died(self, name: str, actor: Any) -> bool:
        """Whether Ray has given up an actor. A busy one answers late, one behind a broken network not now."""
        if name not in self._asked:
            self._asked[name] = actor.__ray_ready__.remote()
        answered, _ = ray.wait([self._asked[name]], timeout=0)
        if not answered:
            return False
        try:
            ray.get(self._asked.pop(name))
        except ray.exceptions.ActorUnavailableError:
            return False
        except ray.exceptions.ActorDiedError:
            return True
        return False

    def _end(self, dead: Sequence[str], stop: threading.Event) -> None:
        self._death = _last_words(dead)
        signal.pthread_kill(threading.main_thread().ident, SIGNAL)
        if not stop.wait(GRACE_SECONDS):
            # The loop hangs where no signal reaches it.
            print(self._death, file=sys.stderr, flush=True)
            os._exit(1)


def _last_words(dead: Sequence[str]) -> str:
    return (
        f"amir-verl: {', '.join(dead)} died, so the run ends; "
        "trainer.resume_mode=auto resumes from the last complete checkpoint"
    )


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt  # the one exception that Ray's waits let through


def dead_engines(addresses: Sequence[str], *, timeout: float = 10.0) -> list[str]:
    """Those of the vLLM servers (host:port) whose engine is dead, asked side by side."""
    dead = dict.fromkeys(range(len(addresses)), False)

    def ask(place: int) -> None:
        dead[place] = engine_has_died(addresses[place], timeout=timeout)

    # No pool: the interpreter would wait for its threads at the end.
    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in dead]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [address for place, address in enumerate(addresses) if dead[place]]


def engine_has_died(address: str, *, timeout: float = 10.0) -> bool:
    """Whether a vLLM server says that the engine below it is dead: 503 at /health.

    A server that is busy or gone says nothing; its actor shows that.
    """
    with contextlib.suppress(OSError, http.client.HTTPException):
        try:
            _WITHOUT_PROXY.open(f"http://{address}/health", timeout=timeout).close()
        except urllib.error.HTTPError as error:
            return error.code == 503
    return False
