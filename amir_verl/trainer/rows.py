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

    @property
    def groups(self) -> int:
        """How many prompts the batch has; one of rows that pad is none."""
        return int(self.group_N[~self.padding_N].unique().numel())


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


def as_jagged(values: Tensor) -> Tensor:
    """Per-response values as a jagged tensor: rows of one length come back stacked from some queues."""
    if values.is_nested:
        return values
    rows, length = values.shape
    offsets = torch.arange(0, rows * length + 1, length) if length else torch.zeros(rows + 1).long()
    return torch.nested.nested_tensor_from_jagged(values.flatten(), offsets=offsets)


def cut_off(responses: Tensor, *, limit: int, end_token: int) -> Tensor:
    """Responses that reached the length limit without an end token, (N,) bool.

    Args:
        responses: token ids, jagged (N, tokens): all that was written, a tool's tokens too.
        limit: verl's `data.max_response_length`.
        end_token: the tokenizer's.
    """
    end_N = responses.offsets()[1:]
    length_N = responses.offsets().diff()
    last_N = responses.values()[(end_N - 1).clamp(min=0)]
    return (length_N >= limit) & (last_N != end_token)


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
