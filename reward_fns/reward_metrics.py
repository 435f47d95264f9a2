"""The rewards of a step as metrics: `reward/acc`, `reward/timeouts`, and one for each component."""

from collections.abc import Iterable, Mapping


def reward_metrics(reward_infos: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """The mean of each numeric key over the responses that have it, and the count of undecided answers.

    Args:
        reward_infos: one dict a response, as `compute_score` returned it (verl keeps it in
            `extra_fields["reward_extra_info"]`); responses without one are left out.

    Returns:
        `reward/<key>` for each numeric key (the mean) and `reward/timeouts` (the sum of `timeout`); empty for
        none.
    """
    values: dict[str, list[float]] = {}
    for info in reward_infos:
        for key, value in info.items():
            if isinstance(value, int | float):
                values.setdefault(key, []).append(float(value))
    metrics = {f"reward/{key}": sum(column) / len(column) for key, column in values.items()}
    if "timeout" in values:
        metrics["reward/timeouts"] = sum(values["timeout"])
    return metrics
