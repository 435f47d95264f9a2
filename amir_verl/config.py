"""The settings of AMIR, one flat record; every wrong value is a ValueError that names the field."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

PAIR_MINING = ("all", "topk", "adjacent", "best_worst")
RANK_WEIGHTING = ("none", "linear", "quadratic", "log")
LAMBDA_SCHEDULE = ("constant", "loss_ratio", "grad_ratio")
BETA_SCALE = ("raw", "group_std")
REFERENCE = ("auto", "none", "policy")
PULL = ("both", "chosen", "rejected")

# Bounds of lambda where the user sets none. loss_ratio: as published (arXiv 2601.03661). grad_ratio: where
# the preference gradient all but vanishes (every pair ranked right), lambda may not grow without end.
LAMBDA_BOUNDS = {"constant": (0.0, math.inf), "loss_ratio": (0.005, 0.05), "grad_ratio": (0.0, 10.0)}


@dataclass(frozen=True)
class AmirConfig:
    """Settings of the preference term L_pref and of its weight lambda.

    Args:
        beta: slope of the sigmoid, per nat of mean log-probability (see `beta_scale`). Above 0.
        beta_scale: `raw`: beta as given. `group_std`: beta is divided by the spread of the responses' mean
            log-probabilities (not of their rewards) inside a group, measured each step at the old policy.
        reward_margin: a pair needs a reward gap above this, in units of the raw reward. At least 0.
        pair_mining: which pairs of a group are kept. `all`; `topk`: the `top_k` best against the rest;
            `adjacent`: neighbouring reward levels; `best_worst`: the best level against the worst.
        top_k: how many responses count as best when `pair_mining` is `topk`. Ties at the last place all
            count.
        max_pairs_per_group: keep at most this many pairs of a group, those with the largest gaps. None: all.
        rank_weighting: weight of a pair by its difference of rank d (levels of reward in the group): `none`
            1, `linear` d, `quadratic` d^2, `log` log(1 + d); scaled to average 1 over the batch.
        pull: which end of a pair the term moves. `both`, as published; `chosen`: it only pulls the better
            response up; `rejected`: it only pushes the worse one down. The other end stays a fixed point of
            comparison, left to the policy loss.
        lambda_schedule: `constant`; `loss_ratio`: as published; `grad_ratio`: lambda holds the norm of the
            preference gradient at `lambda_target` times that of the policy gradient.
        lambda_value: lambda when `constant`, and where `loss_ratio` starts. At least 0.
        lambda_target: the ratio of gradient norms that `grad_ratio` holds. Above 0.
        lambda_min, lambda_max: bounds of lambda; None: those of the schedule.
        lambda_warmup_steps: lambda grows linearly over this many steps.
        reference: `auto`: log-probabilities are taken relative to verl's reference policy if the run has one;
            `none`: never; `policy`: always, and a run without one is refused.
        policy_weight: factor of verl's own policy loss; 0: preferences alone, with a constant lambda. At
            least 0.
        mask_truncated: responses cut off at the length limit take part in no pair.

    Raises:
        ValueError: a value out of range or of the wrong type.
    """

    beta: float = 5.0
    beta_scale: str = "raw"
    reward_margin: float = 0.0
    pair_mining: str = "all"
    top_k: int = 1
    max_pairs_per_group: int | None = None
    rank_weighting: str = "none"
    pull: str = "both"
    lambda_schedule: str = "grad_ratio"
    lambda_value: float = 0.01
    lambda_target: float = 1.0
    lambda_min: float | None = None
    lambda_max: float | None = None
    lambda_warmup_steps: int = 0
    reference: str = "auto"
    policy_weight: float = 1.0
    mask_truncated: bool = False

    def __post_init__(self) -> None:
        _check_number(self, "beta", above=0.0)
        _check_number(self, "reward_margin", at_least=0.0)
        _check_number(self, "lambda_value", at_least=0.0)
        _check_number(self, "lambda_target", above=0.0)
        _check_number(self, "policy_weight", at_least=0.0)
        for name in ("lambda_min", "lambda_max"):
            if getattr(self, name) is not None:
                _check_number(self, name, at_least=0.0)
        _check_choice(self, "beta_scale", BETA_SCALE)
        _check_choice(self, "pair_mining", PAIR_MINING)
        _check_choice(self, "rank_weighting", RANK_WEIGHTING)
        _check_choice(self, "pull", PULL)
        _check_choice(self, "lambda_schedule", LAMBDA_SCHEDULE)
        _check_choice(self, "reference", REFERENCE)
        _check_count(self, "top_k", at_least=1)
        _check_count(self, "lambda_warmup_steps", at_least=0)
        if self.max_pairs_per_group is not None:
            _check_count(self, "max_pairs_per_group", at_least=1)
        if not isinstance(self.mask_truncated, bool):
            raise ValueError(f"amir.mask_truncated must be true or false, got {self.mask_truncated!r}")
        if self.policy_weight == 0 and self.lambda_schedule != "constant":
            raise ValueError(
                f"amir.policy_weight=0 leaves amir.lambda_schedule={self.lambda_schedule} no policy loss to "
                "measure lambda by: set amir.lambda_schedule=constant"
            )
        low, high = self.lambda_bounds
        if low > high:
            raise ValueError(f"amir.lambda_min ({low}) is above amir.lambda_max ({high})")

    @property
    def lambda_bounds(self) -> tuple[float, float]:
        """Lower and upper bound of lambda, the schedule's own where none is set."""
        low, high = LAMBDA_BOUNDS[self.lambda_schedule]
        return (
            low if self.lambda_min is None else self.lambda_min,
            high if self.lambda_max is None else self.lambda_max,
        )

    @property
    def pulls_chosen(self) -> bool:
        """Whether the term moves the better response of a pair."""
        return self.pull != "rejected"

    @property
    def pulls_rejected(self) -> bool:
        """Whether the term moves the worse response of a pair."""
        return self.pull != "chosen"

    @property
    def moving_ends(self) -> int:
        """How many ends of a pair the term moves."""
        return self.pulls_chosen + self.pulls_rejected

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> "AmirConfig":
        """Build from a mapping such as the `amir` node of a verl run; an unknown key is a ValueError."""
        unknown = sorted(set(settings) - cls.names())
        if unknown:
            raise ValueError(f"amir.{unknown[0]} is no setting of AMIR; {nearest(unknown[0], cls.names())}")
        return cls(**settings)

    @classmethod
    def names(cls) -> set[str]:
        """The names of all settings."""
        return {field.name for field in fields(cls)}


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names most like a wrong one, as words for a message; all of them where none is like it."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"nearest: {', '.join(close)}" if close else f"known: {', '.join(known)}"


def _check_number(
    config: AmirConfig, name: str, *, above: float | None = None, at_least: float | None = None
) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"amir.{name} must be a finite number, got {value!r}")
    if above is not None and not value > above:
        raise ValueError(f"amir.{name} must be above {above:g}, got {value!r}")
    if at_least is not None and not value >= at_least:
        raise ValueError(f"amir.{name} must be at least {at_least:g}, got {value!r}")


def _check_choice(config: AmirConfig, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"amir.{name} must be one of {', '.join(choices)}, got {value!r}")


def _check_count(config: AmirConfig, name: str, *, at_least: int) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"amir.{name} must be a whole number of at least {at_least}, got {value!r}")
