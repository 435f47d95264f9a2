"""A reward for timed runs: free, and different between a random model's responses."""

from typing import Any


def compute_score(data_source: str, solution_str: str, ground_truth: str, **_: Any) -> float:
    """Share of digits in the response, 0 to 1."""
    return sum(letter.isdigit() for letter in solution_str) / max(1, len(solution_str))
