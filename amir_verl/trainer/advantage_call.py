"""verl's call of its advantage function: what the driver knows goes in, the batch it works on comes out.

verl's V1 trainer reads a step's batch from the TransferQueue into a local variable and hands it to
`compute_advantage_for_multi_trajectories` (trainer_base.py:1775). Wrapped there, AMIR needs no second copy of
that batch, and rewards can be repaired before advantages are made of them.

Shape suffixes: _N rows of the batch, _T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple

from torch import Tensor


class EstimatorRows(NamedTuple):
    """What verl's V1 trainer knows of a batch and does not tell its estimators."""

    keys: Sequence[str]
    raw_score_NT: Tensor | None


class WatchedCall:
    """One call: `prepare` sees verl's batch before advantages are computed, and what it returned is
    `prepared`; `batch` is the batch afterwards.
    """

    def __init__(self, prepare: Callable[[Any], Any]) -> None:
        self.prepare = prepare
        self.prepared: Any = None
        self.batch: Any = None


_estimator_rows: ContextVar[EstimatorRows | None] = ContextVar("amir_estimator_rows", default=None)
_watched: ContextVar[WatchedCall | None] = ContextVar("amir_watched_call", default=None)


def wrap_advantage_call(v1_utils: Any) -> None:
    """Wrap `compute_advantage_for_multi_trajectories` of verl's V1 trainer; a call that AMIR has no part in
    is verl's own.
    """
    compute = v1_utils.compute_advantage_for_multi_trajectories

    @wraps(compute)
    def compute_with_amir(
        data: Any, batch_keys: Sequence[str], adv_estimator: Any, *args: Any, **kwargs: Any
    ) -> Any:
        watched = _watched.get()
        if watched is not None:
            watched.prepared = watched.prepare(data.batch)
        token = None
        if adv_estimator == "amir_grpo":
            token = _estimator_rows.set(EstimatorRows(batch_keys, data.batch.get("token_level_scores", None)))
        try:
            data = compute(data, batch_keys, adv_estimator, *args, **kwargs)
        finally:
            if token is not None:
                _estimator_rows.reset(token)
        if watched is not None:
            watched.batch = data.batch
        return data

    v1_utils.compute_advantage_for_multi_trajectories = compute_with_amir


@contextmanager
def watch_advantage_call(prepare: Callable[[Any], Any]) -> Iterator[WatchedCall]:
    """Have `prepare` see the batch of the call made inside, a TensorDict of padded tensors that it may
    change.
    """
    watched = WatchedCall(prepare)
    token = _watched.set(watched)
    try:
        yield watched
    finally:
        _watched.reset(token)


def estimator_rows() -> EstimatorRows | None:
    """The rows of the call in which an estimator runs; None in verl's old trainer."""
    return _estimator_rows.get()
