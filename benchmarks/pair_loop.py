"""The same preferences by a loop over pairs, the way they are usually written: what mining is compared with.

The loop visits a group's pairs one by one and does all that `step_preferences` does with the settings it is
given here: pairs beyond the margin, weights by difference of rank, each response's anchors and signed
weights, the gradient. Given lists it works on plain numbers; given tensors it reads them element by element,
as training code with tensors at hand does.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.objective.anchors import Preferences
from amir_verl.objective.pairs import Pairs


class LoopPreferences(NamedTuple):
    """pairs: (chosen, rejected, weight); entries: per response its (anchor, signed weight); gradient: per
    response.
    """

    pairs: list[tuple[int, int, float]]
    entries: list[list[tuple[float, float]]]
    gradient: list[float]


def loop_preferences(
    mean: Tensor | Sequence[float],
    rewards: Tensor | Sequence[float],
    groups: Sequence[int],
    *,
    margin: float,
    beta: float,
) -> LoopPreferences:
    """All pairs with linear rank weights, reference-free, and what the workers need of them.

    Args:
        mean: mean log-probability of each response at the old policy, (N,), numbers or a tensor.
        rewards: raw rewards, (N,), numbers or a tensor.
        groups: the prompt of each response, (N,).
        margin: a pair needs a gap above this.
        beta: slope per nat.
    """
    pairs = loop_pairs(rewards, groups, margin=margin)
    scale = len(rewards) / max(len(pairs), 1)
    entries: list[list[tuple[float, float]]] = [[] for _ in groups]
    gradient = [0.0] * len(rewards)
    for i, j, weight in pairs:
        gap = mean[i] - mean[j]
        pull = beta * weight * scale / (1.0 + math.exp(beta * gap)) / len(rewards)
        entries[i].append((float(mean[j]), weight * scale))
        entries[j].append((float(mean[i]), -weight * scale))
        gradient[i] -= pull
        gradient[j] += pull
    return LoopPreferences(pairs, entries, gradient)


def loop_pairs(
    rewards: Tensor | Sequence[float], groups: Sequence[int], *, margin: float
) -> list[tuple[int, int, float]]:
    """Mining and weights alone: (chosen, rejected, weight) of every pair beyond the margin, average 1."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)

    found = []
    for rows in members.values():
        levels = sorted({float(rewards[row]) for row in rows}, reverse=True)
        level = {reward: place for place, reward in enumerate(levels)}
        for i in rows:
            for j in rows:
                if rewards[i] - rewards[j] > margin:
                    found.append((i, j, float(level[float(rewards[j])] - level[float(rewards[i])])))

    average = sum(weight for _, _, weight in found) / max(len(found), 1)
    return [(i, j, weight / average) for i, j, weight in found]


def assert_same(loop: LoopPreferences, *, pairs: Pairs, preferences: Preferences) -> None:
    """The loop and the vectorised way found the same pairs, weights, entries and gradient."""
    order = sorted(loop.pairs)
    rows = torch.stack([pairs.chosen_P, pairs.rejected_P], dim=1)
    rank = torch.argsort(rows[:, 0] * len(loop.gradient) + rows[:, 1])
    assert rows[rank].tolist() == [[i, j] for i, j, _ in order]
    torch.testing.assert_close(
        pairs.weight_P[rank], torch.tensor([weight for *_, weight in order], dtype=torch.float64)
    )
    found = [sorted(entries) or [(0.0, 0.0)] for entries in loop.entries]
    assert preferences.count_N.tolist() == [len(entries) for entries in found]
    got = zip(preferences.anchor_M.tolist(), preferences.signed_weight_M.tolist(), strict=True)
    # Inside a response the entries may stand in any order.
    rows_of = torch.repeat_interleave(torch.arange(len(found)), preferences.count_N).tolist()
    got = [entry for _, entry in sorted(zip(rows_of, got, strict=True))]
    torch.testing.assert_close(
        torch.tensor(got), torch.tensor([entry for entries in found for entry in entries])
    )
    torch.testing.assert_close(
        preferences.gradient_N, torch.tensor(loop.gradient, dtype=torch.float64), rtol=1e-6, atol=1e-12
    )
