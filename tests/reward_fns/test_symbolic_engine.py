"""The engine's clock, memory and life: in any thread, after a fork, and when the parent is killed."""

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
from reward_fns.symbolic_engine import EngineTime, SymbolicEngine

ENDLESS = "9^{9^{9^{9}}}"
ROOT = Path(symbolic_engine.__file__).resolve().parents[1]


@pytest.fixture
def engine():
    engine = SymbolicEngine()
    yield engine
    engine.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_ended(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


def test_equal_and_unequal_expressions(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    assert not engine.equal("x+1", "x-1", EngineTime(30.0))


def test_what_cannot_be_parsed_is_unequal_even_to_itself_in_part(engine):
    assert not engine.equal("\\frac{1}{3}@@\\frac{2}{3}", "\\frac{2}{3}", EngineTime(30.0))


def test_an_endless_question_is_given_up_and_the_next_one_answered(engine):
    endless = EngineTime(0.3)
    assert not engine.equal(ENDLESS, "3", endless)
    assert endless.gave_up and endless.asked and endless.seconds <= 0
    assert not engine.equal("x", "x", endless)  # no time is left for this response
    assert engine.equal("x+1", "1+x", EngineTime(30.0))


def test_starting_a_worker_is_not_the_answers_time(engine):
    engine_time = EngineTime(30.0)
    start = time.monotonic()
    assert engine.equal("x+1", "1+x", engine_time)
    assert 30.0 - engine_time.seconds < time.monotonic() - start


def test_many_threads_share_few_workers():
    engine = SymbolicEngine(max_workers=2)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(engine.equal, "x+1", f"{k}+x", EngineTime(30.0)) for k in (0, 1, 2, 1) * 4]
        verdicts = [job.result() for job in jobs]
    assert verdicts == [False, True, False, True] * 4
    assert 1 <= len(engine._free) <= 2
    engine.close()


def test_a_worker_that_was_killed_is_replaced(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    pid = engine._free[0].process.pid
    os.kill(pid, signal.SIGKILL)
    assert wait_until_ended(pid, 30.0)
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    assert engine._free[0].process.pid != pid


def test_a_worker_that_is_killed_while_it_works_makes_the_answer_wrong_and_is_reported(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    worker = engine._free[0]
    timer = threading.Timer(0.3, worker.process.kill)
    timer.start()
    engine_time = EngineTime(30.0)
    assert not engine.equal(ENDLESS, "3", engine_time)
    assert engine_time.gave_up


def test_an_old_worker_is_retired(engine, monkeypatch):
    monkeypatch.setattr(symbolic_engine, "REQUESTS_PER_WORKER", 2)
    pids = []
    for _ in range(3):
        assert engine.equal("x+1", "1+x", EngineTime(30.0))
        pids += [worker.process.pid for worker in engine._free]
    assert len(pids) == 2 and pids[0] != pids[1]


def test_memory_is_limited(engine):
    engine_time = EngineTime(30.0)
    assert not engine.equal("(x+y+z+w+v)^{300}", "\\prod_{k=1}^{90000} (x+k)", EngineTime(0.5))
    assert not engine.equal("10^{10^{9}}", "10^{10^{9}}+1", engine_time)
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    limits = Path(f"/proc/{engine._free[0].process.pid}/limits").read_text()
    address_space = next(line.split() for line in limits.splitlines() if line.startswith("Max address space"))
    assert int(address_space[3]) < 10**9


def test_the_worker_does_not_import_torch_or_verl(engine):
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    maps = Path(f"/proc/{engine._free[0].process.pid}/maps").read_text()
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
from reward_fns.symbolic_engine import ENGINE, EngineTime
assert ENGINE.equal("x+1", "1+x", EngineTime(30.0))
print(ENGINE._free[0].process.pid, flush=True)
if sys.argv[1] == "busy":
    ENGINE.equal("9^{9^{9^{9}}}", "3", EngineTime(4.0))
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_the_worker_ends_with_a_parent_that_is_killed(state):
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD, state], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    time.sleep(0.3)  # let it become busy
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_ended(worker, 30.0)


def test_a_forked_child_starts_its_own_worker():
    engine = symbolic_engine.ENGINE
    assert engine.equal("x+1", "1+x", EngineTime(30.0))
    ours = {worker.process.pid for worker in engine._free}
    child = os.fork()
    if child == 0:
        same = engine.equal("x+1", "1+x", EngineTime(30.0))
        own = {worker.process.pid for worker in engine._free}
        engine.close()
        os._exit(0 if same and own and not own & ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.equal("x+2", "2+x", EngineTime(30.0))
    assert {worker.process.pid for worker in engine._free} == ours
