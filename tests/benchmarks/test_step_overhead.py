"""benchmarks/step_overhead: AMIR on and off step by step inside one run, and the ratio of neighbours."""

import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.step_overhead import PHASES, over_pairs, report
from benchmarks.switched_trainer import ON, _take_the_mode, is_on, switched_loss


def steps(pairs, *, longer, noise=0.0, drift=0.0):
    """Metrics of a run in which a step takes 2 s, and `longer` with AMIR, all of it in the actor's update."""
    draw = random.Random(0)
    made = []
    for step in range(1, 2 * pairs + 1):
        rollout = 1.5 * (1 + drift * step) * (1 + noise * draw.random())
        update = 0.5 + longer * is_on(step)
        seconds = dict.fromkeys(PHASES, 0.0) | {"gen": rollout, "update_actor": update}
        seconds["step"] = rollout + update
        made.append({f"timing_s/{name}": value for name, value in seconds.items()} | {ON: float(is_on(step))})
    return made


def test_each_pair_of_neighbours_has_both_kinds_and_either_comes_first_equally_often():
    pairs = [(is_on(step), is_on(step + 1)) for step in range(1, 81, 2)]
    assert pairs.count((True, False)) == pairs.count((False, True)) == 20


def test_the_ratio_is_found_under_noise_and_drift_of_the_rollout():
    found = over_pairs(steps(40, longer=0.1), ["step"])
    assert found.median == pytest.approx(1.05, rel=1e-9)
    assert found.pairs == 40
    # The machine slows down threefold over the run; a rollout varies by up to a tenth.
    found = over_pairs(steps(40, longer=0.1, noise=0.1, drift=0.025), ["step"])
    assert 1.0 < found.low < found.median < found.high < 1.1


def test_the_phases_where_amir_works_are_rid_of_the_rollouts_noise():
    found = over_pairs(steps(40, longer=0.1, noise=0.5), ["adv", "update_actor"])
    assert 1.0 + 0.1 / 2.75 <= found.low <= found.high <= 1.05


@pytest.mark.parametrize(("longer", "word"), [(0.02, "reached"), (0.2, "missed")])
def test_the_report_ends_with_the_figure_beside_its_target(longer, word):
    lines = report(steps(8, longer=longer))
    assert lines[-2].startswith("step with AMIR / without: 1.")
    assert lines[-2].endswith(f"(target <= 1.02): {word}")
    assert any(line.startswith("whole step: ") and line.endswith(", 8 pairs") for line in lines)


def test_the_worker_tells_the_kinds_of_step_by_the_batch():
    def named(name):
        return lambda **arguments: (name, arguments)

    losses = {"with_amir": named("amir"), "without": named("verl"), "model_output": 1}
    for data, name in (({"amir_anchors": 0}, "amir"), ({"advantages": 0}, "verl")):
        found, arguments = switched_loss(data=data, **losses)
        assert found == name
        assert arguments == {"model_output": 1, "data": data, "dp_group": None}


def test_a_step_is_either_classs_own(monkeypatch):
    """The class that takes the mode calls verl's methods on one kind of step and AMIR's on the other."""
    from verl.trainer.ppo.v1 import PPOTrainerSync
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    from amir_verl.trainer import driver

    monkeypatch.setitem(TRAINER_REGISTRY, "amir_sync", driver.AmirTrainerSync)
    _take_the_mode(driver)
    trainer = object.__new__(TRAINER_REGISTRY["amir_sync"])
    for name in ("_compute_advantage", "_update_actor"):
        for kind in (PPOTrainerSync, driver.AmirTrainerSync):
            monkeypatch.setattr(kind, name, lambda self, batch, metrics, kind=kind: kind)
        for step in range(1, 9):
            trainer.global_steps, metrics = step, {}
            expected = driver.AmirTrainerSync if is_on(step) else PPOTrainerSync
            assert getattr(trainer, name)(SimpleNamespace(), metrics) is expected
            assert name == "_update_actor" or metrics == {ON: float(is_on(step))}


def test_a_benchmark_that_is_ended_leaves_no_training_behind():
    """`timeout` ends a process by SIGTERM; the training is in a session of its own."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom benchmarks.trainer_run import run_to_end\n"
        "run_to_end(['sleep', '600'], dict(os.environ), Path('.'), sys.stderr, seconds=600)"
    )
    root = Path(__file__).resolve().parents[2]
    benchmark = subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.DEVNULL)
    training = None
    while training is None and benchmark.poll() is None:
        training = next(iter(psutil.Process(benchmark.pid).children()), None)
    assert training is not None
    while training.name() != "sleep":  # until then SIGTERM might meet the fork
        assert benchmark.poll() is None
    benchmark.terminate()
    assert benchmark.wait(60) == 143
    assert not training.is_running()
