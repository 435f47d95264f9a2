"""What the study reads off a policy, on held-out problems.

Shape suffixes: _Q problems, _K samples of each, _N responses, _T tokens of a response.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amir_verl.evaluation import pass_at_k
from amir_verl.objective.loss import mean_log_prob
from benchmarks.study.policy import Policy, Responses

KS = (1, 2, 4, 8, 16, 32, 64)
SAMPLES = 64
# Entropy and margin are averages that a few samples a problem settle.
LOOKED_AT = 4
PROBLEMS_AT_ONCE = 32


class Grader:
    """Verdicts on responses, each made once.

    Args:
        policy: knows the words.
        reward: `right_wrong`; `graded`; `noisy`: right/wrong, one verdict in ten turned round.
        seed: of the noise.

    Raises:
        ValueError: unknown reward.
    """

    NOISE = 0.1

    def __init__(self, policy: Policy, reward: str, seed: int) -> None:
        if reward not in ("right_wrong", "graded", "noisy"):
            raise ValueError(f"reward must be right_wrong, graded or noisy, got {reward!r}")
        self.reward, self._noise = reward, torch.Generator().manual_seed(seed)
        self.is_right = cache(lambda problem, tokens: problem.is_right(policy.decode(tokens)))
        self._grade = cache(lambda problem, tokens: problem.grade(policy.decode(tokens)))

    def right(self, problems: Sequence[Any], responses: Responses) -> list[bool]:
        """Whether each response is right, (N,)."""
        return [self.is_right(problem, tokens) for problem, tokens in _beside(problems, responses)]

    def __call__(self, problems: Sequence[Any], responses: Responses) -> Tensor:
        """The rewards that training sees, (N,)."""
        if self.reward == "graded":
            return torch.tensor([self._grade(*pair) for pair in _beside(problems, responses)])
        right_N = torch.tensor(self.right(problems, responses))
        if self.reward == "noisy":
            right_N ^= torch.rand(len(right_N), generator=self._noise) < self.NOISE
        return right_N.float()

    def state_dict(self) -> Tensor:
        return self._noise.get_state()

    def load_state_dict(self, state: Tensor) -> None:
        self._noise.set_state(state)


def _beside(problems: Sequence[Any], responses: Responses) -> list[tuple[Any, tuple[int, ...]]]:
    rows = [tuple(row) for row in responses.token_NT.tolist()]
    count = len(rows) // len(problems)
    return [(problems[index // count], row) for index, row in enumerate(rows)]


def right_counts(
    policy: Policy, problems: Sequence[Any], grader: Grader, *, tokens: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Right answers of each problem among 64 samples, (Q,), how many of them differ, (Q,), and averages.

    `entropy`: nats a token. `tokens_right`, `tokens_wrong`: lengths, the end included; NaN if there are none.
    `margin`: mean log-probability of the right responses of a problem less that of its wrong ones.
    `unlikely_right`: share of right responses that a wrong one to the same problem outranks.
    `cut_off`: share of responses that reach the limit without an end.
    """
    right_counts_Q, distinct_Q, averages = [], [], []
    for begin in range(0, len(problems), PROBLEMS_AT_ONCE):
        part = problems[begin : begin + PROBLEMS_AT_ONCE]
        prompt_QL = policy.encode([problem.question for problem in part])
        responses = policy.sample(prompt_QL, SAMPLES, tokens=tokens, generator=generator)
        right_QK = np.array(grader.right(part, responses)).reshape(len(part), SAMPLES)
        token_QKT = responses.token_NT.view(len(part), SAMPLES, -1)
        right_counts_Q.append(right_QK.sum(1))
        distinct_Q += [
            len({tuple(row) for row in token_NT[torch.from_numpy(right_N)].tolist()})
            for token_NT, right_N in zip(token_QKT, right_QK, strict=True)
        ]
        some = Responses(*(t.view(len(part), SAMPLES, -1)[:, :LOOKED_AT].flatten(0, 1) for t in responses))
        averages.append(_averages(policy, prompt_QL, some, right_QK[:, :LOOKED_AT]))
    names = averages[0]
    means = {
        name: _mean([average[name] for average in averages if average[name] == average[name]])
        for name in names
    }
    return np.concatenate(right_counts_Q), np.array(distinct_Q), means


@torch.no_grad()
def _averages(
    policy: Policy, prompt_QL: Tensor, responses: Responses, right_QK: np.ndarray
) -> dict[str, float]:
    log_prob_NT, entropy_NT = policy.log_probs(prompt_QL, responses)
    mean_QK = mean_log_prob(log_prob_NT, responses.mask_NT).view(right_QK.shape).cpu().numpy()
    length_QK = responses.mask_NT.sum(-1).view(right_QK.shape).cpu().numpy()
    mixed_Q = right_QK.any(1) & ~right_QK.all(1)
    margins, unlikely = [], []
    for mean_N, right_N in zip(mean_QK[mixed_Q], right_QK[mixed_Q], strict=True):
        margins.append(mean_N[right_N].mean() - mean_N[~right_N].mean())
        unlikely.append((mean_N[right_N] < mean_N[~right_N].max()).mean())
    return {
        "entropy": float(entropy_NT[responses.mask_NT].mean()),
        "tokens_right": _mean(length_QK[right_QK]),
        "tokens_wrong": _mean(length_QK[~right_QK]),
        "margin": _mean(margins),
        "unlikely_right": _mean(unlikely),
        "cut_off": float(_unended(policy, responses).float().mean()),
    }


def _unended(policy: Policy, responses: Responses) -> Tensor:
    last_N = responses.token_NT[:, -1]
    return (last_N != policy.pad) & (last_N != policy.end)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def row_of(
    right_Q: np.ndarray, distinct_Q: np.ndarray, averages: dict[str, float], first_Q: np.ndarray
) -> dict[str, float]:
    """The measures of one evaluation, as a row; `first_Q` are the right counts of the first model.

    `lost`: share of the problems that the first model solved in 64 samples and this one does not; `gained`:
    share of those that it did not solve and this one does.
    """
    before_Q, now_Q = first_Q > 0, right_Q > 0
    return {
        **{f"pass@{k}": float(np.mean(pass_at_k(SAMPLES, right_Q, k))) for k in KS},
        "distinct_right": float(distinct_Q.mean()),
        "lost": _mean(~now_Q[before_Q]),
        "gained": _mean(now_Q[~before_Q]),
        **averages,
    }
