"""benchmarks/gpu_check: every part runs on a CPU, and what fails, misses or cannot run is told apart."""

import re
import subprocess
import sys

import pytest

from amir_verl.cli.cards import Cards
from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import loss
from benchmarks.gpu_check.__main__ import PARTS, REPOSITORY, judge, run


@pytest.mark.slow
def test_the_quick_form_fills_a_page_on_a_cpu(tmp_path):
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--quick", "--out", str(page)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900)
    found = dict(re.findall(r"^## (.+): (\w+), \d+ s$", page.read_text(), re.MULTILINE))
    assert list(found) == [part.name for part in PARTS], ended.stderr
    # An update of some milliseconds is noise: its ratio may miss, all else may not.
    assert found.pop("update") in ("passed", "missed"), page.read_text()
    assert found.pop("memory 1.5B") == "skipped"
    assert set(found.values()) == {"passed"}, page.read_text()


def test_one_card_takes_at_most_twenty_minutes():
    assert sum(part.limit for part in PARTS) <= 20 * 60


@pytest.mark.parametrize(
    ("status", "output", "errors", "word"),
    [
        (0, "ratio: 1 (target <= 2): reached\n", "a warning", "passed"),
        (0, "ratio: 3 (target <= 2): missed\n", "", "missed"),
        (0, "skipped: no card\n", "", "skipped"),
        (1, "", "Traceback\nModuleNotFoundError: No module named 'verl'\n", "skipped"),
        (1, "", "Traceback\nModuleNotFoundError: No module named 'amir_verl.gone'\n", "failed"),
        (1, "ratio: 1 (target <= 2): reached\n", "AssertionError: no\n", "failed"),
        (-9, "", "", "failed"),
    ],
)
def test_how_a_part_ended(status, output, errors, word):
    outcome = judge(status, output, errors, 1.0)
    assert outcome.word == word
    if word == "skipped":
        assert outcome.lines[0].startswith("skipped: no card") or "'verl'" in outcome.lines[0]


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        (Cards(1, 8, found=True), " GB are reckoned, the card has 8"),
        (Cards(1, 24, found=True), None),
        (Cards(1, 8, found=False), None),
    ],
)
def test_a_card_too_small_for_the_update_is_the_reason_to_skip_it(monkeypatch, cards, reason):
    monkeypatch.setattr(gpu_check, "find_cards", lambda: cards)
    (update,) = (part for part in PARTS if part.name == "update")
    said = gpu_check.too_small(update.needs)
    assert said is None if reason is None else said.endswith(reason)


def test_a_part_that_hangs_is_stopped():
    outcome = run(["timeit", "-n1", "-r1", "import time; time.sleep(600)"], limit=0.5)
    assert outcome.word == "failed" and outcome.lines[-1] == "stopped after 0 s"


def test_the_oracle_tells_a_wrong_loss(monkeypatch):
    """A beta one in a thousand off is far outside the tolerance of float32."""
    import dataclasses

    import torch

    batch = loss.random_batch(torch.float32, "cpu", groups=2, size=8, tokens=32)
    expected, expected_NT = loss.by_oracle(batch)
    value, gradient_NT = loss.by_objective(batch)
    limit = loss.TOLERANCES[torch.float32]
    assert abs(value - expected) <= limit["value"] * expected
    wrong = dataclasses.replace(loss.CONFIG, beta=1.001 * loss.CONFIG.beta)
    monkeypatch.setattr(loss, "CONFIG", wrong)
    value, gradient_NT = loss.by_objective(batch)
    error = (gradient_NT.double() - expected_NT).abs().max() / expected_NT.abs().max()
    assert abs(value - expected) > limit["value"] * expected and error > limit["gradient"]
