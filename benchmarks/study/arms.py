"""The arms: GRPO, and what each changes in it. They have names, so that a grid is a list of words.

`grpo`, `both_b5_r1` (AMIR: pull, slope per nat, gradient ratio), `chosen_s1_r3` (slope in spreads of a
group), `published` (the paper's settings), `alone_b5_l1` (preferences alone, lambda 1); with `+` further
changes: `lr_1e-4`, `entropy_0.03`, `kl_0.1`, `rarity_0.5`, `positive_0.3`, `high_0.28`, `updates_4`, `dr_1`,
and verl's losses `gspo_0.001`, `clipcov_0.02`, `klcov_0.02`.
"""

import re
from dataclasses import dataclass, replace

from amir_verl.config import AmirConfig

# Arms are chosen on these seeds and reported on others. They share a first model; every other has its own.
TUNING_SEEDS = (0, 1)


@dataclass(frozen=True)
class Arm:
    """What is compared: GRPO as it stands here, and what an arm changes in it.

    Args:
        amir: the preference term; None: none.
        learning_rate: Adam's.
        clip_low, clip_high: how far the ratio to the sampling policy may go, below and above 1.
        norm_by_std: whether advantages are divided by the group's deviation; Dr. GRPO does not.
        entropy: weight of an entropy bonus.
        kl: weight of a KL penalty to the first policy (the k3 estimate).
        rarity: right answers lose up to this share of their reward, the likelier the more (2506.02355).
        positive: factor of advantages above 0.
        updates: gradient steps on a batch, each on its own groups.
        loss, loss_value: one of verl's losses in the place of the clipped one, and its setting.
    """

    amir: AmirConfig | None = None
    learning_rate: float = 1e-4
    clip_low: float = 0.2
    clip_high: float = 0.2
    norm_by_std: bool = True
    entropy: float = 0.0
    kl: float = 0.0
    rarity: float = 0.0
    positive: float = 1.0
    updates: int = 1
    loss: str | None = None
    loss_value: float = 0.0


_PREFERENCES = re.compile(r"(both|chosen|rejected)_([bs])([\d.]+)_r([\d.]+)")
_ALONE = re.compile(r"alone_b([\d.]+)_l([\d.]+)")
_CHANGES = {
    "lr": "learning_rate",
    "entropy": "entropy",
    "kl": "kl",
    "rarity": "rarity",
    "positive": "positive",
    "high": "clip_high",
    "updates": "updates",
    "dr": "norm_by_std",
}
_LOSSES = {"gspo": "gspo", "clipcov": "clip_cov", "klcov": "kl_cov"}
_SLOPES = {"b": "raw", "s": "group_std"}


def arm(name: str) -> Arm:
    """The arm of a name.

    Raises:
        ValueError: unknown.
    """
    first, *changes = name.split("+")
    if (
        first not in ("grpo", "published")
        and not _PREFERENCES.fullmatch(first)
        and not _ALONE.fullmatch(first)
    ):
        raise ValueError(f"{name!r} names no arm: {first!r} is unknown")
    found = Arm(amir=_preferences(first))
    for change in changes:
        key, _, value = change.partition("_")
        if key not in {*_CHANGES, *_LOSSES} or not value:
            raise ValueError(f"{name!r} names no arm: {change!r} is unknown")
        if key in _LOSSES:
            found = replace(found, loss=_LOSSES[key], loss_value=float(value))
            continue
        number = {"updates": int, "dr": lambda text: text != "1"}.get(key, float)(value)
        found = replace(found, **{_CHANGES[key]: number})
    return found


def _preferences(first: str) -> AmirConfig | None:
    if first == "published":
        return AmirConfig(beta=0.2, lambda_schedule="loss_ratio")
    if match := _ALONE.fullmatch(first):
        beta, value = map(float, match.groups())
        return AmirConfig(beta=beta, policy_weight=0.0, lambda_schedule="constant", lambda_value=value)
    if match := _PREFERENCES.fullmatch(first):
        pull, scale, beta, ratio = match.groups()
        return AmirConfig(pull=pull, beta_scale=_SLOPES[scale], beta=float(beta), lambda_target=float(ratio))
    return None


def title(name: str) -> str:
    """The name as a reader wants it."""
    first, *changes = name.split("+")
    if match := _PREFERENCES.fullmatch(first):
        pull, scale, beta, ratio = match.groups()
        unit = " spreads" if scale == "s" else ""
        first = f"AMIR {pull}, beta {beta}{unit}, ratio {ratio}"
    elif match := _ALONE.fullmatch(first):
        first = f"preferences alone, beta {match[1]}"
    else:
        first = {"grpo": "GRPO", "published": "AMIR as published"}[first]
    words = {"dr": "advantages not scaled", "updates": "updates", "lr": "learning rate", "high": "clip high"}
    shown = [" ".join([words.get(key, key), value]) for key, _, value in (c.partition("_") for c in changes)]
    return ", ".join([first, *shown])
