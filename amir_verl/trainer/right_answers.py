"""How many ways of being right a batch still has, and how many of them the policy thinks unlikely.

Shape suffixes: _N responses of the batch, _G groups.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from amir_verl.trainer.rows import Rows


def right_rows(reward_N: Tensor, reward_infos: Sequence[Mapping[str, Any] | None]) -> Tensor:
    """Which responses are right, (N,) bool: what the reward function returned as `acc`, above one half; a
    reward above 0 where it returned none.
    """
    right_N = reward_N > 0
    for row, info in enumerate(reward_infos):
        if info and isinstance(info.get("acc"), bool | int | float):
            right_N[row] = info["acc"] > 0.5
    return right_N


def right_answer_metrics(
    responses: Tensor, right_N: Tensor, mean_N: Tensor, rows: Rows, sound_N: Tensor
) -> dict[str, float]:
    """`amir/distinct_right` and `amir/unlikely_right` of the rows that can be compared."""
    return {
        "amir/distinct_right": distinct_right(responses, right_N & sound_N, rows.group_N, groups=rows.groups),
        "amir/unlikely_right": unlikely_right(mean_N, right_N, rows.group_N, sound_N),
    }


def distinct_right(responses: Tensor, right_N: Tensor, group_N: Tensor, *, groups: int) -> float:
    """Distinct right responses of a group, token by token, mean over `groups` groups: those without count 0.

    Args:
        responses: token ids, jagged (N, tokens).
        right_N: bool, the right responses that count.
        group_N: integers, the prompt of each response.
    """
    offsets = responses.offsets().tolist()
    tokens = responses.values().contiguous().numpy()
    seen = set()
    for row in torch.nonzero(right_N).flatten().tolist():
        written = tokens[offsets[row] : offsets[row + 1]]
        seen.add((int(group_N[row]), blake2b(written, digest_size=16).digest()))
    return len(seen) / max(groups, 1)


def unlikely_right(mean_N: Tensor, right_N: Tensor, group_N: Tensor, real_N: Tensor) -> float:
    """Share of right responses that the policy ranks below a wrong one of their group; 0 without a right one.

    Args:
        mean_N: mean log-probability of each response, nats.
        right_N: bool.
        group_N: integers, the prompt of each response.
        real_N: bool, the responses that count.
    """
    right_N = right_N & real_N
    if not bool(right_N.any()):
        return 0.0
    wrong_N = real_N & ~right_N
    best_G = mean_N.new_full((int(group_N.max()) + 1,), -torch.inf)
    best_G.scatter_reduce_(0, group_N[wrong_N], mean_N[wrong_N], "amax")
    return float((mean_N < best_G[group_N])[right_N].double().mean())
