"""The watchdog: the death of an engine or an actor ends the block that it watches, nothing else does."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import ray

from amir_verl.recovery import watchdog
from amir_verl.recovery.watchdog import Watchdog, dead_engines, engine_has_died

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
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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


def test_a_death_before_the_block_has_begun_is_said_all_the_same(monkeypatch):
    """As on a busy machine: the thread's first look ends while the main thread still waits for its start."""
    start = threading.Thread.start

    def late(thread):
        start(thread)
        thread.join(LONG)

    actors = {"worker 0": Actor(ray.exceptions.ActorDiedError())}
    monkeypatch.setattr(threading.Thread, "start", late)
    with pytest.raises(RuntimeError, match="worker 0 died"), Watchdog(lambda: (actors, []), seconds=0.01):
        pass


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


def test_an_error_that_a_death_brought_about_is_told_as_the_death(server):
    """verl's replay buffer may give up rollouts that a dead engine failed before the next look."""
    server.status = 503
    with (
        pytest.raises(
            RuntimeError, match=r"^amir-verl: the vLLM engine at .* died, so the run ends"
        ) as death,
        Watchdog(lambda: ({}, [server.address]), seconds=LONG),
    ):
        raise ValueError("no trajectories")
    assert isinstance(death.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_other_errors_pass(error):
    with pytest.raises(error), Watchdog(lambda: ({}, []), seconds=0.01):
        raise error


def test_many_servers_are_asked_side_by_side():
    """Each of 64 keeps its answer back until all have been asked: asked in turn, none would answer."""
    count = 64
    all_asked = threading.Barrier(count)

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self):
            last = all_asked.wait(LONG) == 0
            self.send_response(503 if last else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = count
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    try:
        assert dead_engines([address] * count, timeout=LONG) == [address]
    finally:
        server.shutdown()
        server.server_close()


def test_an_error_in_a_look_is_printed_once_and_the_watch_goes_on(capsys):
    looks = iter(["no", "no", "yes"])

    def parts():
        if next(looks, "yes") == "no":
            raise OSError("the list of replicas was not there")
        return {"worker 0": Actor(ray.exceptions.ActorDiedError())}, []

    with pytest.raises(RuntimeError, match="worker 0 died"), Watchdog(parts, seconds=0.01):
        time.sleep(LONG)
    said = capsys.readouterr().err
    assert said.count("the watchdog failed in a look at the run, and goes on:") == 1
    assert "OSError: the list of replicas was not there" in said and "Traceback" in said


def test_an_actor_that_cannot_be_asked_hides_no_other(capsys):
    actors = {
        "agent loop 0": Actor(ValueError("not a reply")),
        "worker 0": Actor(ray.exceptions.ActorDiedError()),
    }
    with (
        pytest.raises(RuntimeError, match="verl: worker 0 died"),
        Watchdog(lambda: (actors, []), seconds=0.01),
    ):
        time.sleep(LONG)
    assert "ValueError: not a reply" in capsys.readouterr().err


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 503\xff what\r\n\r\n", b""])
def test_a_server_that_speaks_something_else_says_nothing(nonsense):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(nonsense)

        threading.Thread(target=answer, daemon=True).start()
        assert not engine_has_died(f"127.0.0.1:{listener.getsockname()[1]}", timeout=LONG)
