"""Ranked responses as evaluation reads them, and how well scores of them hold up.

Shape suffixes: _Q prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amir_verl.data.ranked import RankedGroup, parse_ranked
from amir_verl.data.row_files import read_rows
from amir_verl.evaluation.metrics.bootstrap import bootstrap_interval
from amir_verl.evaluation.metrics.ranking import pair_order_kept, prompt_ranking_metrics
from amir_verl.evaluation.metrics.summary import Estimate

NEAR_TIE = 1  # places apart


@dataclass(frozen=True)
class EvaluatedGroup:
    """A ranked group and other wordings of its prompt, where the row has them."""

    group: RankedGroup
    paraphrases: tuple[Any, ...]  # each a text for the last message, or a whole list of messages

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.group.prompt]


@dataclass(frozen=True)
class OrderKept:
    """Share of pairs that keep their order, of all pairs and of those one place apart."""

    share: float
    pairs: int
    near_share: float
    near_pairs: int


def read_ranked_groups(path: Path, *, limit: int | None = None) -> list[EvaluatedGroup]:
    """Groups of the parquet that `amir-verl prepare-ranked` writes, or of the JSON that it reads.

    `paraphrases` is read from the row or its `extra_info`.

    Raises:
        ValueError: a row does not fit; names file and row.
    """
    groups = []
    for place, row in read_rows(path):
        if limit is not None and len(groups) == limit:
            break
        extra = row.get("extra_info")
        fields = row | extra if isinstance(extra, dict) else row
        paraphrases = fields.get("paraphrases") or ()
        if not isinstance(paraphrases, list | tuple):
            raise ValueError(f"{place}: field 'paraphrases' is not a list")
        try:
            groups.append(EvaluatedGroup(parse_ranked(fields), tuple(paraphrases)))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    return groups


def ranking_estimates(
    scores: Sequence[Sequence[float]],
    rankings: Sequence[Sequence[int | None]],
    *,
    k: int | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """`ranking_metrics` with bootstrap intervals over the prompts that define each metric."""
    estimates = {}
    for name, value_Q in prompt_ranking_metrics(scores, rankings, k=k).items():
        known_Q = value_Q[value_Q == value_Q]
        if known_Q.size:
            low, high = bootstrap_interval(known_Q, seed=seed)
            estimates[name] = Estimate(float(known_Q.mean()), low, high, int(known_Q.size))
    return estimates


def order_kept(
    before: Sequence[Sequence[float]],
    after: Sequence[Sequence[float]],
    rankings: Sequence[Sequence[int | None]],
) -> OrderKept:
    """`pair_order_kept` for all pairs of responses with different ranks, and for those one place apart."""
    share, pairs = pair_order_kept(before, after, rankings)
    near_share, near_pairs = pair_order_kept(before, after, rankings, max_place_gap=NEAR_TIE)
    return OrderKept(share, pairs, near_share, near_pairs)


def ranked_order_kept(
    scores: Sequence[Sequence[float]], rankings: Sequence[Sequence[int | None]]
) -> OrderKept:
    """The share of pairs the scores order as the ranking does."""
    given = [[0.0 if place is None else -float(place) for place in ranking] for ranking in rankings]
    return order_kept(given, scores, rankings)


def format_ranking(
    estimates: Mapping[str, Estimate], kept: Mapping[str, OrderKept], *, k: int | None = None
) -> str:
    """Both tables as plain text."""
    lines = [f"{'metric':<20} {'mean':>7}  {'95 % interval':>17} {'prompts':>8}"]
    for name, e in estimates.items():
        label = f"{name}@{k}" if name == "ndcg" and k else name
        lines.append(f"{label:<20} {e.mean:>7.3f}  {f'{e.low:.3f} to {e.high:.3f}':>17} {e.num_problems:>8}")
    lines += ["", f"{'order kept':<28} {'all pairs':>9} {'pairs':>7}  {'one place apart':>15} {'pairs':>7}"]
    for name, row in kept.items():
        lines.append(
            f"{name:<28} {row.share:>9.3f} {row.pairs:>7}  {row.near_share:>15.3f} {row.near_pairs:>7}"
        )
    return "\n".join(lines)
