"""Settings that arrive through `reward.custom_reward_function.reward_kwargs`, checked in one line."""

import math
from collections.abc import Mapping

# What verl 0.9.1 itself hands to a reward function, besides the four main arguments.
VERL_ARGUMENTS = frozenset(
    {
        "reward_router_address",
        "reward_model_tokenizer",
        "reward_model_name",
        "sandbox_fusion_url",
        "concurrent_semaphore",
        "memory_limit_mb",
        "num_turns",
        "rollout_reward_scores",
    }
)


def reject_unknown(reward_name: str, unknown: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raise ValueError for a setting that is neither ours nor verl's, such as a mistyped weight."""
    mistyped = sorted(set(unknown) - VERL_ARGUMENTS)
    if mistyped:
        raise ValueError(
            f"{reward_name}: unknown setting {mistyped[0]!r}; settings are {', '.join(sorted(known))}"
        )


def check_number(name: str, value: object, *, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise ValueError if a setting is no finite number between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


def check_flag(name: str, value: object) -> None:
    """Raise ValueError if a setting is not true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
