"""What the rows of a verl batch are: their group, whether they pad, whether they close their session.

Shape suffixes: _N rows of the batch.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.objective.pairs import group_ids


class Rows(NamedTuple):
    """group_N: integers, a prompt each; padding_N: synthetic rows; final_N: last output of their session."""

    group_N: Tensor
    padding_N: Tensor
    final_N: Tensor


def describe_rows(keys: Sequence[str], tags: Sequence[Mapping]) -> Rows:
    """Read the rows from verl's keys `{uid}_{session}_{index}` and tags.

    A session may leave several rows (an agent that answers in parts). Its reward belongs to the last, which
    is the one verl computes the group's advantages from, so that row alone stands for the session.
    """
    uids, sessions, indices = zip(*(key.rsplit("_", 2) for key in keys), strict=True)
    session_N = group_ids([f"{uid}_{session}" for uid, session in zip(uids, sessions, strict=True)])
    index_N = torch.tensor([int(index) for index in indices])
    last = torch.zeros(int(session_N.max()) + 1, dtype=torch.long).scatter_reduce(
        0, session_N, index_N, "amax"
    )
    return Rows(
        group_N=group_ids(uids),
        padding_N=torch.tensor([bool(tag.get("is_padding", False)) for tag in tags]),
        final_N=index_N == last[session_N],
    )


def degenerate_counts(rows: Rows, *, spoken_N: Tensor, dropped_N: Tensor) -> dict[str, float]:
    """How much of a batch can join no pair, by reason, as metrics; a row that pads counts as that alone.

    Args:
        spoken_N: bool, responses with a token of the policy's own.
        dropped_N: bool, responses whose reward is broken.
    """
    real_N = ~rows.padding_N
    sessions_G = torch.bincount(rows.group_N[real_N & rows.final_N])
    return {
        "amir/dropped_rewards": float((real_N & dropped_N).sum()),
        "amir/empty_responses": float((real_N & ~spoken_N).sum()),
        "amir/groups_of_one": float((sessions_G == 1).sum()),
        "amir/padding_rows": float(rows.padding_N.sum()),
    }
