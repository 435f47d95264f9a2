"""The numbers of a step, and the example of docs/rewards.md."""

import re
from pathlib import Path

import pytest

from reward_fns.math_reward import compute_score
from reward_fns.reward_metrics import reward_metrics

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rewards.md"


def test_means_and_the_count_of_timeouts():
    infos = [
        compute_score("test", text, "x+2", timeout_s=0.3)
        for text in ("x+3", "\\boxed{\\int_0^1 \\sin(x^x) dx}", "#### x+2")
    ]
    metrics = reward_metrics([*infos, {}])
    assert metrics["reward/timeouts"] == 1.0
    assert metrics["reward/timeout"] == pytest.approx(1 / 3)
    assert metrics["reward/acc"] == pytest.approx(1 / 3)
    assert "reward/pred" not in metrics


def test_no_rewards_give_no_metrics():
    assert reward_metrics([]) == {}


def test_the_reward_in_the_document_works():
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL).group(1)
    namespace = {}
    exec(compile(code, str(DOCUMENT), "exec"), namespace)
    short, long = (namespace["compute_score"]("x", text, "18") for text in ("18", "so " * 500 + "18"))
    assert short["score"] > long["score"] > 0.89
    with pytest.raises(ValueError, match="unknown setting 'lenght_weight'"):
        namespace["compute_score"]("x", "18", "18", lenght_weight=1.0)
