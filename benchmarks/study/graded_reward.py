"""A graded reward for sums: 1 for the right answer, else half the share of its digits that are right."""

from typing import Any

from reward_fns import math_reward


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, **_: Any
) -> dict[str, float | str]:
    """`score` in [0, 0.5] for a wrong answer and 1 for a right one; the digits count from the right."""
    verdict = math_reward.compute_score(data_source, solution_str, ground_truth, extra_info)
    if verdict["acc"]:
        return verdict
    given = str(verdict["pred"])
    same = sum(a == b for a, b in zip(reversed(given), reversed(ground_truth), strict=False))
    return verdict | {"score": 0.5 * same / max(len(given), len(ground_truth))}
