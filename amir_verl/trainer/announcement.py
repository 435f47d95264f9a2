"""What a run says of AMIR at its start: that it is on, and which of its settings do nothing."""

from omegaconf import DictConfig, OmegaConf

from amir_verl.config import AmirConfig
from amir_verl.trainer.preset import LOSS, MODE, TRAINER_MODES


def what_is_on(config: DictConfig, settings: AmirConfig) -> str:
    """One line: `AMIR on: amir_grpo over sync, beta 5, ratio 1, pairs all`."""
    mode, loss = str(OmegaConf.select(config, MODE)), OmegaConf.select(config, LOSS) or "vanilla"
    where = f"{loss} over {TRAINER_MODES.get(mode, mode)}"
    if config.algorithm.adv_estimator == "amir_grpo":
        where = f"advantage amir_grpo, loss {loss} over {mode}"
    elif mode == "amir_ranked":
        where = f"{loss} over ranked responses"
    pairs = f"topk {settings.top_k}" if settings.pair_mining == "topk" else settings.pair_mining
    parts = [where, f"beta {settings.beta:g}", _weight(settings), f"pairs {pairs}"]
    if settings.reward_margin:
        parts.append(f"margin {settings.reward_margin:g}")
    if settings.pull != "both":
        parts.append(f"pull {settings.pull}")
    return f"AMIR on: {', '.join(parts)}"


def _weight(settings: AmirConfig) -> str:
    if settings.lambda_schedule == "grad_ratio":
        return f"ratio {settings.lambda_target:g}"
    word = "from" if settings.lambda_schedule == "loss_ratio" else "constant"
    return f"lambda {word} {settings.lambda_value:g}"


def idle_settings(config: DictConfig, settings: AmirConfig) -> list[str]:
    """Settings that were changed and do nothing in this run, each with the reason."""
    from verl.trainer.ppo.utils import need_reference_policy

    default, schedule, mining = AmirConfig(), settings.lambda_schedule, settings.pair_mining
    responses = config.actor_rollout_ref.rollout.n
    low, high = settings.lambda_bounds

    def changed(name: str) -> bool:
        return getattr(settings, name) != getattr(default, name)

    bound = min(max(settings.lambda_value, low), high)
    all_pairs = responses * (responses - 1) // 2
    cases = [
        (changed("lambda_target") and schedule != "grad_ratio", "lambda_target", f"under {schedule}"),
        (changed("lambda_value") and schedule == "grad_ratio", "lambda_value", f"under {schedule}"),
        (
            schedule != "grad_ratio" and settings.lambda_value != bound,
            "lambda_value",
            f"its bounds make it {bound:g}",
        ),
        (changed("top_k") and mining != "topk", "top_k", f"with pair_mining={mining}"),
        (
            changed("pair_mining") and responses == 2,
            "pair_mining",
            "two responses make one pair",
        ),
        (
            settings.max_pairs_per_group is not None and settings.max_pairs_per_group >= all_pairs,
            "max_pairs_per_group",
            f"{responses} responses make at most {all_pairs} pairs",
        ),
        (
            changed("rank_weighting") and (mining == "adjacent" or responses == 2),
            "rank_weighting",
            "every pair is one rank apart",
        ),
        (
            settings.reference == "none" and not need_reference_policy(config),
            "reference",
            "no reference policy is loaded",
        ),
    ]
    said = [f"amir.{name}={getattr(settings, name)} ({why})" for idle, name, why in cases if idle]
    if schedule == "constant":
        said += [
            f"amir.{name}={getattr(settings, name)} (lambda is constant at {settings.lambda_value:g})"
            for name in ("lambda_min", "lambda_max")
            if getattr(settings, name) is not None and bound == settings.lambda_value
        ]
    no_weight = (bound == 0 and schedule == "constant") or high == 0
    if no_weight:
        said.append("AMIR itself: lambda is 0, so preferences are measured and weigh nothing")
    form = OmegaConf.select(config, "algorithm.amir")
    if form is not None and form.get("deviation") == "batch" and not config.algorithm.norm_adv_by_std_in_grpo:
        said.append("algorithm.amir.deviation=batch (with norm_adv_by_std_in_grpo=False)")
    return said
