"""The engine's clock, memory and life: in any thread, after a fork, and when a process is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reward_fns import symbolic_engine
from reward_fns.engine_limits import fits_engine
from reward_fns.symbolic_engine import EngineTime, SymbolicEngine

ENDLESS = "9^{9^{9^{9}}}"
ROOT = Path(symbolic_engine.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def engine():
    """Of the tests that leave it whole: a start takes two seconds of a processor."""
    engine = SymbolicEngine()
    yield engine
    engine.close()


# The engine's own process without sympy: everything but the mathematics, and it starts at once.
STAND_IN = f"""
import sys, time
sys.path.insert(0, {str(Path(symbolic_engine.__file__).parent)!r})
import symbolic_worker

def verdict(gold, answer):
    while "9^{{9" in gold:
        pass
    return sorted(gold) == sorted(answer)

symbolic_worker.WARM_UP, symbolic_worker.engine_verdict = [], verdict
symbolic_worker.main()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """For the tests of an engine's life, which start and kill many."""
    path = tmp_path / "worker.py"
    path.write_text(STAND_IN)
    monkeypatch.setattr(symbolic_engine, "_WORKER_FILE", str(path))
    return path


@pytest.fixture
def own_engine(stand_in):
    engine = SymbolicEngine()
    yield engine
    engine.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def pids(engine: SymbolicEngine) -> list[int]:
    return [one.process.pid for one in engine._engines]


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("x+1", "1+x", True),
        ("x+1", "x-1", False),
        ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}", True),
        ("\\int_0^1 x^2 dx", "\\frac{1}{3}", True),
        ("f(x)+1", "1+f(x)", True),
        ("f(2x)", "2f(x)", False),
        ("e^{-100}", "0", False),  # math-verify rounds absolutely
        ("0.0000001", "e^{-20}", False),
        ("5", "x+y=5", False),  # and takes the right side for the value
        ("\\frac{1}{3}@@\\frac{2}{3}", "\\frac{2}{3}", False),
        (
            "\\begin{pmatrix}6 & 8\\end{pmatrix}",
            "\\begin{pmatrix}1 & 2\\end{pmatrix}+\\begin{pmatrix}5 & 6\\end{pmatrix}",
            True,
        ),
    ],
)
def test_equal_and_unequal_expressions(gold, answer, equal):
    assert symbolic_engine.ENGINE.equal(gold, answer, EngineTime(30.0)) == equal


def test_an_endless_question_is_given_up_and_the_next_one_answered_by_the_same_engine(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    before = pids(engine)
    for _ in range(3):
        endless = EngineTime(0.3)
        assert not engine.equal(ENDLESS, "3", endless)
        assert endless.gave_up and endless.asked and endless.seconds <= 0.01
        assert not engine.equal("x", "x", endless)  # no time is left for this response
        assert engine.equal("x+1", "1+x", EngineTime(30.0))
    assert pids(engine) == before  # nothing was restarted


def test_the_child_of_an_endless_question_ends_at_its_deadline(engine):
    engine.equal("x+1", "1+x", EngineTime(30.0))
    engine.equal(ENDLESS, "3", EngineTime(0.3))
    assert wait_until(lambda: not any(children_of(pid) for pid in pids(engine)))


def test_two_engines_are_started_before_the_first_question(own_engine):
    own_engine.warm()
    assert len(own_engine._engines) == symbolic_engine.ENGINES == 2
    assert wait_until(lambda: all(one.started.is_set() for one in own_engine._engines), 120.0)
    assert all(one.alive for one in own_engine._engines)


def test_starting_an_engine_is_not_the_answers_time(own_engine):
    engine_time = EngineTime(30.0)
    start = time.monotonic()
    assert own_engine.equal("x+1", "1+x", engine_time)
    assert 30.0 - engine_time.seconds < time.monotonic() - start


def test_many_threads_are_served_at_once_and_get_their_own_verdicts(engine):
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(engine.equal, "x+1", f"{k}+x", EngineTime(60.0)) for k in (0, 1, 2, 1) * 4]
        verdicts = [job.result() for job in jobs]
    assert verdicts == [False, True, False, True] * 4
    assert len(engine._engines) == 2


def test_a_question_that_finds_no_free_child_in_its_time_gives_up(stand_in):
    engine = SymbolicEngine(max_children=1)
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    times = [EngineTime(0.5) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert not any(pool.map(lambda left: engine.equal(ENDLESS, "3", left), times))
    assert all(left.gave_up for left in times)
    engine.close()


def test_an_engine_that_was_killed_is_replaced_by_the_spare_one(own_engine):
    own_engine.warm()
    assert wait_until(lambda: all(one.started.is_set() for one in own_engine._engines), 120.0)
    first, spare = pids(own_engine)
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: not is_running(first))
    assert own_engine.equal("x+1", "1+x", EngineTime(30.0))
    assert pids(own_engine)[0] == spare and len(own_engine._engines) == 2


def test_an_engine_that_is_killed_while_it_works_hands_the_question_to_the_spare_one(own_engine):
    own_engine.warm()
    assert wait_until(lambda: all(one.started.is_set() for one in own_engine._engines), 120.0)
    timer = threading.Timer(0.3, own_engine._engines[0].process.kill)
    timer.start()
    engine_time = EngineTime(1.5)
    assert not own_engine.equal(ENDLESS, "3", engine_time)
    assert engine_time.gave_up
    assert own_engine.equal("x+1", "1+x", EngineTime(30.0))


def test_memory_is_limited(engine):
    assert not engine.equal("(x+y+z+w+v)^{300}", "\\prod_{k=1}^{90000} (x+k)", EngineTime(0.5))
    assert not engine.equal("10^{10^{9}}", "10^{10^{9}}+1", EngineTime(2.0))
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    limits = Path(f"/proc/{pids(engine)[0]}/limits").read_text()
    address_space = next(line.split() for line in limits.splitlines() if line.startswith("Max address space"))
    assert int(address_space[3]) < 10**9


def test_the_engine_does_not_import_torch_or_verl(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    maps = Path(f"/proc/{pids(engine)[0]}/maps").read_text()
    assert "python" in maps and "libtorch" not in maps and "ray" not in maps.replace("array", "")


def test_a_missing_engine_is_one_clear_line(monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os\nos.write(1, json.dumps({'error': 'No module named x'}).encode() + b'\\n')\n"
    )
    monkeypatch.setattr(symbolic_engine, "_WORKER_FILE", str(worker))
    with pytest.raises(RuntimeError, match=r"the math-verify worker did not start: No module named x$"):
        SymbolicEngine().equal("x", "y", EngineTime())


CHILD = """
import os, sys, time
from reward_fns import symbolic_engine
from reward_fns.symbolic_engine import ENGINE, EngineTime
symbolic_engine._WORKER_FILE = sys.argv[2]
assert ENGINE.equal("x+1", "1+x", EngineTime(30.0))
print(*[engine.process.pid for engine in ENGINE._engines], flush=True)
if sys.argv[1] == "busy":
    ENGINE.equal("9^{9^{9^{9}}}", "3", EngineTime(1.5))
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_the_engines_end_with_a_parent_that_is_killed(state, stand_in):
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD, state, stand_in], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    engines = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(engines) == 2 and all(map(is_running, engines))
    time.sleep(0.3)  # let it become busy
    children = {child for pid in engines for child in children_of(pid)}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not any(map(is_running, [*engines, *children])))


def test_a_forked_child_starts_its_own_engines(own_engine):
    assert own_engine.equal("x+1", "1+x", EngineTime(30.0))
    ours = set(pids(own_engine))
    child = os.fork()
    if child == 0:
        same = own_engine.equal("x+1", "1+x", EngineTime(30.0))
        own = set(pids(own_engine))
        own_engine.close()
        os._exit(0 if same and own and not own & ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert own_engine.equal("x+2", "2+x", EngineTime(30.0))
    assert set(pids(own_engine)) == ours


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9^{9}}}",
        "2^{2^{x}}",
        "x^{1000}",
        "((10!)!)!",
        "1000!",
        "\\sum_{n=1}^{10^{10}} n",
        "\\sum_{n=1}^{100000} n",
        "\\prod_{k=1}^{90000} (x+k)",
        "9" * 61,
        "x" * 501,
        "(" * 30 + "x" + ")" * 30,
        "x=5",
        "x<5",
        "204_5",
        "45'",
        "f(x), g(x)",
        "\\text{five}",
        "\\unknown{x}",
        "hello x",
        "(x",
    ],
)
def test_what_is_too_large_or_not_understood_never_reaches_the_engine(text):
    assert not fits_engine(text)


@pytest.mark.parametrize(
    "text", ["\\sum_{k=1}^{n} k^2", "\\int_0^1 f(x) dx", "\\lim_{x\\to 0} \\frac{\\sin x}{x}"]
)
def test_what_the_engine_is_there_for_reaches_it(text):
    assert fits_engine(text)
