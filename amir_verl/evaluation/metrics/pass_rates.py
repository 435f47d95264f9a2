"""pass@k and maj@k of one problem or of many.

Shape suffixes: _Q problems, _K samples of one problem, _A distinct answers, _D draws.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def _counts(value: ArrayLike, name: str) -> np.ndarray:
    counts = np.asarray(value)
    if counts.dtype.kind not in "iu":
        if counts.dtype.kind != "f" or not np.all(counts == np.floor(counts)):
            raise ValueError(f"{name} must hold whole numbers, got {value!r}")
        counts = counts.astype(np.int64)
    if np.any(counts < 0):
        raise ValueError(f"{name} must not be negative, got {counts.min()}")
    return counts


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> float | np.ndarray:
    """Unbiased probability that at least one of k samples is correct.

    1 - C(n - c, k) / C(n, k), as a product of k ratios, so that no binomial coefficient is ever formed
    (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", eq. 1).

    Args:
        num_samples: n, samples drawn for each problem; scalar or (Q,).
        num_correct: c, how many of them were correct; scalar or (Q,), broadcast against `num_samples`.
        k: samples one may look at; 1 <= k <= n for every problem.

    Returns:
        A float for two scalars, else an array of the broadcast shape, in [0, 1].

    Raises:
        ValueError: k below 1 or above n, c above n, negative or fractional counts.
    """
    n = _counts(num_samples, "num_samples")
    c = _counts(num_correct, "num_correct")
    if isinstance(k, bool) or int(k) != k or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    n, c = np.broadcast_arrays(n.astype(np.int64), c.astype(np.int64))
    if np.any(c > n):
        raise ValueError(f"num_correct exceeds num_samples: {c[c > n][0]} of {n[c > n][0]}")
    if np.any(n < k):
        raise ValueError(f"pass@{k} needs at least {k} samples for every problem, one has {n.min()}")
    all_wrong = np.ones(n.shape)
    for i in range(int(k)):
        all_wrong *= np.maximum(n - c - i, 0) / (n - i)
    rate = 1.0 - all_wrong
    return float(rate) if rate.ndim == 0 else rate


def majority_at_k(
    answers: Sequence[Hashable | None], correct: ArrayLike, k: int, *, draws: int = 400, seed: int = 0
) -> float:
    """Probability that the most frequent answer among k of one problem's samples is correct (maj@k).

    Answers in a tie share the vote. A sample without an answer (None) casts none; k samples without any
    answer are wrong. For k = N the value is exact; for k < N it is the mean over `draws` seeded subsets
    without replacement, so its standard error is at most 0.5 / sqrt(draws).

    Args:
        answers: (N,) extracted answers, compared by equality.
        correct: (N,) 0 or 1. An answer counts with the mean of its samples.
        k: size of the vote, 1 <= k <= N.
        draws: subsets looked at when k < N.
        seed: of the subsets.

    Raises:
        ValueError: lengths differ, or k outside 1..N.
    """
    correct_K = np.asarray(correct, dtype=float)
    num_samples = len(answers)
    if correct_K.shape != (num_samples,):
        raise ValueError(f"{num_samples} answers but correctness of shape {correct_K.shape}")
    if not 1 <= k <= num_samples:
        raise ValueError(f"maj@{k} needs at least {k} samples, there are {num_samples}")
    if k == 1:  # the vote of one sample is that sample, right only if it answered
        answered_K = np.array([answer is not None for answer in answers])
        return float((correct_K * answered_K).mean())
    names = {answer: i for i, answer in enumerate(dict.fromkeys(a for a in answers if a is not None))}
    if not names:
        return 0.0
    vote_KA = np.zeros((num_samples, len(names)))
    for i, answer in enumerate(answers):
        if answer is not None:
            vote_KA[i, names[answer]] = 1.0
    value_A = (correct_K @ vote_KA) / vote_KA.sum(axis=0)
    if k == num_samples:
        count_DA = vote_KA.sum(axis=0, keepdims=True)
    else:
        order_DK = np.random.default_rng(seed).random((draws, num_samples)).argsort(axis=1)
        count_DA = vote_KA[order_DK[:, :k]].sum(axis=1)
    most_D1 = count_DA.max(axis=1, keepdims=True)
    winner_DA = (count_DA == most_D1) & (most_D1 > 0)
    credit_D = (winner_DA @ value_A) / np.maximum(winner_DA.sum(axis=1), 1)
    return float(credit_D.mean())
