"""The watchdog: the death of an engine or an actor ends the block that it watches, nothing else does."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import ray

from amir_verl.recovery import watchdog
from amir_verl.recovery.watchdog import Watchdog, engine_has_died

LONG = 60.0


@pytest.fixture
def server():
    """An HTTP server whose answer to /health is `server.status`; None answers nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/health" and self.server.status is not None:
                self.send_response(self.server.status)
                self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status = 200
    server.address = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Actor:
    """As much of a Ray actor's handle as is asked; the answers come from `answers`."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.__ray_ready__ = SimpleNamespace(remote=lambda: self)


@pytest.fixture(autouse=True)
def answers_of_actors(monkeypatch):
    """ray.wait and ray.get on `Actor`: None is not answered yet."""

    def wait(asked, timeout):
        assert timeout == 0
        (actor,) = asked
        if actor.answers[0] is None:
            actor.answers.pop(0)
            return [], asked
        return asked, []

    def get(actor):
        answer = actor.answers.pop(0) if len(actor.answers) > 1 else actor.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(watchdog.ray, "wait", wait)
    monkeypatch.setattr(watchdog.ray, "get", get)


@pytest.mark.parametrize(
    ("status", "dead"), [(200, False), (503, True), (404, False), (500, False), (None, False)]
)
def test_only_vllms_own_word_is_the_death_of_an_engine(server, status, dead):
    server.status = status
    assert engine_has_died(server.address, timeout=0.5) is dead


def test_a_server_that_is_gone_or_behind_a_proxy_says_nothing(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.status = 503
    assert engine_has_died(server.address)  # asked directly
    assert not engine_has_died("127.0.0.1:9")


def test_the_death_of_an_engine_ends_a_wait_with_one_line(server):
    server.status = 503
    with pytest.raises(RuntimeError) as death, Watchdog(lambda: ({}, [server.address]), seconds=0.01):
        time.sleep(LONG)
    assert str(death.value) == (
        f"amir-verl: the vLLM engine at {server.address} died, so the run ends; "
        "trainer.resume_mode=auto resumes from the last complete checkpoint"
    )


def test_the_death_of_an_actor_ends_a_wait_a_late_answer_does_not():
    actors = {
        "worker 0": Actor(None, None, None, True),
        "worker 1": Actor(ray.exceptions.ActorUnavailableError("no network", None), True),
        "agent loop 0": Actor(None, True, True, None, ray.exceptions.ActorDiedError()),
    }
    with pytest.raises(RuntimeError, match="agent loop 0 died"), Watchdog(lambda: (actors, []), seconds=0.01):
        time.sleep(LONG)
    assert actors["worker 0"].answers == actors["worker 1"].answers == [True]


def test_a_block_that_ends_is_left_alone(server):
    looks = threading.Semaphore(0)

    def parts():
        looks.release()
        return {"worker 0": Actor(True)}, [server.address]

    guard = Watchdog(parts, seconds=0.01)
    for _ in range(2):  # before and in the training
        with guard:
            for _ in range(3):
                assert looks.acquire(timeout=LONG)
    server.status = 503
    time.sleep(0.1)  # an interrupt would come here


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_other_errors_pass(error):
    with pytest.raises(error), Watchdog(lambda: ({}, []), seconds=0.01):
        raise error
