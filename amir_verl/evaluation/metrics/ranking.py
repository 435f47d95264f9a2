"""How well scores agree with a given ranking of responses.

A ranking gives each response of a prompt its place: 0 is best, equal places are ties, None means unranked.
Shape suffixes: _Q prompts, _K ranked responses of one prompt.
"""

import math
from collections.abc import Sequence

import numpy as np

METRICS = ("accuracy", "pairwise_accuracy", "ndcg", "mrr", "kendall_tau")

Scores = Sequence[Sequence[float]]
Rankings = Sequence[Sequence[int | None]]


def _ranked(
    scores: Sequence[float], ranking: Sequence[int | None], prompt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and places of the ranked responses of one prompt; errors name the prompt."""
    if len(scores) != len(ranking):
        raise ValueError(f"prompt {prompt}: {len(scores)} scores but {len(ranking)} places in the ranking")
    kept = [i for i, place in enumerate(ranking) if place is not None and not _is_nan(place)]
    score_K = np.array([scores[i] for i in kept], dtype=float)
    place_K = np.array([ranking[i] for i in kept], dtype=float)
    if not np.all(np.isfinite(score_K)):
        raise ValueError(f"prompt {prompt}: scores must be finite, got {score_K.tolist()}")
    if np.any(place_K < 0) or np.any(place_K != np.floor(place_K)):
        raise ValueError(f"prompt {prompt}: places must be whole numbers from 0 or null, got {list(ranking)}")
    return score_K, place_K


def _is_nan(place: float) -> bool:
    # Parquet turns a list of whole numbers and nulls into floats and NaN.
    return isinstance(place, float | np.floating) and math.isnan(place)


def _accuracy(score_K: np.ndarray, place_K: np.ndarray) -> float:
    top_K = score_K == score_K.max()
    return float((place_K[top_K] == place_K.min()).mean())


def _pairwise_accuracy(score_K: np.ndarray, place_K: np.ndarray) -> float:
    better_KK = place_K[:, None] < place_K[None, :]
    gap_KK = score_K[:, None] - score_K[None, :]
    return float(((gap_KK > 0) + 0.5 * (gap_KK == 0))[better_KK].mean())


def _reciprocal_rank(score_K: np.ndarray, place_K: np.ndarray) -> float:
    from sklearn.metrics import label_ranking_average_precision_score

    # With one relevant label, label ranking average precision is the reciprocal rank (score ties count
    # against it); among several best-ranked responses the one that the scores put first is the relevant one.
    best = np.flatnonzero(place_K == place_K.min())
    relevant_K = np.zeros(place_K.size, dtype=int)
    relevant_K[best[np.argmax(score_K[best])]] = 1
    return float(label_ranking_average_precision_score([relevant_K], [score_K]))


def prompt_ranking_metrics(
    scores: Scores, rankings: Rankings, *, k: int | None = None
) -> dict[str, np.ndarray]:
    """The figures behind `ranking_metrics`, one a prompt: each name to an array (Q,), NaN where undefined.

    Undefined: everything for a prompt with fewer than two ranked responses; `pairwise_accuracy` and
    `kendall_tau` also where all places are tied. Constant scores have tau 0. Arguments and errors as there.
    """
    from scipy.stats import kendalltau
    from sklearn.metrics import ndcg_score

    if len(scores) != len(rankings):
        raise ValueError(f"{len(scores)} lists of scores but {len(rankings)} rankings")
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    table = {name: np.full(len(scores), np.nan) for name in METRICS}
    for p, (prompt_scores, ranking) in enumerate(zip(scores, rankings, strict=True)):
        score_K, place_K = _ranked(prompt_scores, ranking, p)
        if score_K.size < 2:
            continue
        table["accuracy"][p] = _accuracy(score_K, place_K)
        table["mrr"][p] = _reciprocal_rank(score_K, place_K)
        gain_K = place_K.max() - place_K
        if not gain_K.any():  # all tied: every order is ideal, and scikit-learn would say 0
            table["ndcg"][p] = 1.0
            continue
        table["ndcg"][p] = ndcg_score([gain_K], [score_K], k=k)
        table["pairwise_accuracy"][p] = _pairwise_accuracy(score_K, place_K)
        constant = np.all(score_K == score_K[0])
        table["kendall_tau"][p] = 0.0 if constant else kendalltau(score_K, -place_K, variant="b").statistic
    return table


def ranking_metrics(scores: Scores, rankings: Rankings, *, k: int | None = None) -> dict[str, float]:
    """Agreement of scores with rankings, averaged over prompts.

    - `accuracy`: the highest score belongs to a best-ranked response; where several share the highest score,
      the share of them that is best-ranked.
    - `pairwise_accuracy`: share of pairs with different places that the scores order the same way; equal
      scores count one half.
    - `ndcg`: nDCG (at k), gain = worst place minus place (scikit-learn's `ndcg_score`).
    - `mrr`: 1 / rank of the first best-ranked response (scikit-learn's label ranking average precision).
    - `kendall_tau`: tau-b (scipy).

    Args:
        scores: Q lists of scores, the higher the better.
        rankings: Q lists of places of the same lengths; 0 is best, ties allowed. None (or NaN) takes no part.
        k: cut-off of nDCG; None takes all.

    Returns:
        The five names to floats; NaN where no prompt defines the metric (`prompt_ranking_metrics` says when).

    Raises:
        ValueError: lengths differ, a score is not finite, a place is negative or fractional (prompt named).
    """
    table = prompt_ranking_metrics(scores, rankings, k=k)
    defined = {name: value_Q[~np.isnan(value_Q)] for name, value_Q in table.items()}
    return {
        name: float(value_Q.mean()) if value_Q.size else float("nan") for name, value_Q in defined.items()
    }


def pair_order_kept(
    before: Scores, after: Scores, rankings: Rankings | None = None, *, max_place_gap: int | None = None
) -> tuple[float, int]:
    """Share of response pairs that keep their order when the scores change, over all prompts together.

    A pair takes part when the first scores tell its two responses apart; equal scores afterwards count half.

    Args:
        before: Q lists of scores.
        after: Q lists of the same lengths, such as the scores under a truncated prompt.
        rankings: with it, only pairs of ranked responses with different places take part.
        max_place_gap: with it, only pairs at most this many places apart (1: near-tied responses).

    Returns:
        (share, number of pairs); the share is NaN without a pair.

    Raises:
        ValueError: lengths differ, a score is not finite, or `max_place_gap` without rankings.
    """
    if max_place_gap is not None and rankings is None:
        raise ValueError("max_place_gap needs rankings")
    if len(before) != len(after):
        raise ValueError(f"{len(before)} lists of scores before but {len(after)} after")
    kept, pairs = 0.0, 0
    for p, (old, new) in enumerate(zip(before, after, strict=True)):
        ranking = range(len(old)) if rankings is None else rankings[p]
        old_K, place_K = _ranked(old, ranking, p)
        new_K, _ = _ranked(new, ranking, p)
        old_gap_KK = old_K[:, None] - old_K[None, :]
        new_gap_KK = new_K[:, None] - new_K[None, :]
        place_gap_KK = np.abs(place_K[:, None] - place_K[None, :])
        chosen_KK = (old_gap_KK > 0) & (place_gap_KK > 0)
        if max_place_gap is not None:
            chosen_KK &= place_gap_KK <= max_place_gap
        kept += float(((new_gap_KK > 0) + 0.5 * (new_gap_KK == 0))[chosen_KK].sum())
        pairs += int(chosen_KK.sum())
    return (kept / pairs if pairs else float("nan")), pairs
