"""The model card of an exported model: settings, data and metrics from the run's own files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from amir_verl.evaluation.comparison.run_files import run_metrics
from amir_verl.platform.four_bit import MODEL_TYPE

# Line of the card -> key in verl's resolved configuration.
SETTINGS = {
    "advantage estimator": "algorithm.adv_estimator",
    "policy loss": "actor_rollout_ref.actor.policy_loss.loss_mode",
    "loss aggregation": "actor_rollout_ref.actor.loss_agg_mode",
    "trainer mode": "trainer.v1.trainer_mode",
    "responses a prompt": "actor_rollout_ref.rollout.n",
    "rollout temperature": "actor_rollout_ref.rollout.temperature",
    "prompts a step": "data.train_batch_size",
    "prompts a mini-batch": "actor_rollout_ref.actor.ppo_mini_batch_size",
    "prompt length": "data.max_prompt_length",
    "response length": "data.max_response_length",
    "learning rate": "actor_rollout_ref.actor.optim.lr",
    "learning rate schedule": "actor_rollout_ref.actor.optim.lr_scheduler_type",
    "warm-up share": "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio",
    "weight decay": "actor_rollout_ref.actor.optim.weight_decay",
    "clip low": "actor_rollout_ref.actor.clip_ratio_low",
    "clip high": "actor_rollout_ref.actor.clip_ratio_high",
    "KL loss": "actor_rollout_ref.actor.use_kl_loss",
    "LoRA rank": "actor_rollout_ref.model.lora_rank",
    "kind of base": "actor_rollout_ref.model.model_type",
    "reward function": "reward.custom_reward_function.path",
}
TRAINING_METRICS = (
    "critic/score/mean",
    "actor/entropy",
    "response_length/mean",
    "amir/pair_accuracy",
    "amir/margin",
)


def _at(config: Mapping[str, Any], place: str) -> Any:
    value: Any = config
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any) -> str:
    """A setting as a table cell. Others read the card, so a local path becomes its last part."""
    if isinstance(value, list | tuple):
        return ", ".join(_shown(entry) for entry in value)
    text = Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())


def read_config(path: Path) -> dict[str, Any]:
    """verl's resolved configuration (`.hydra/config.yaml` of a run).

    Raises:
        ValueError: missing, or not a YAML mapping.
    """
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not a readable configuration ({str(error).splitlines()[0]})") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a configuration of verl")
    return config


def find_config(run: Path) -> Path | None:
    """The one configuration Hydra left in a run directory, at most two levels down.

    Raises:
        ValueError: several.
    """
    found = [path for depth in ("", "*/", "*/*/") for path in sorted(run.glob(f"{depth}.hydra/config.yaml"))]
    if len(found) > 1:
        raise ValueError(
            f"{run}: several configurations ({', '.join(map(str, found))}); name one with CONFIG"
        )
    return found[0] if found else None


def metrics_at(run: Path, step: int) -> dict[str, tuple[int, float]]:
    """Name -> (step, value): validation and training metrics last logged at or before `step`."""
    found = {}
    for name, (steps, values) in run_metrics(run).items():
        if (name.startswith("val-core/") and not name.endswith("/std")) or name in TRAINING_METRICS:
            before = steps <= step
            if before.any():
                found[name] = int(steps[before][-1]), float(values[before][-1])
    return dict(sorted(found.items(), key=lambda entry: not entry[0].startswith("val-core/")))


def model_card(
    *,
    name: str,
    step: int | None,
    config: Mapping[str, Any] | None,
    base_model: str | None = None,
    metrics: Mapping[str, tuple[int, float]] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    adapters_alone: bool = False,
) -> str:
    """The card as Markdown.

    Args:
        name: of the model.
        step: training step of the checkpoint.
        config: verl's resolved configuration; without it the card says it is unknown.
        base_model: hub name of the model that training started from; else that of `config`.
        metrics: of `metrics_at`.
        evaluation: of `amir-verl evaluate` (evaluation.json).
        adapters_alone: whether the folder holds LoRA adapters, without the weights under them.
    """
    config = config or {}
    given = _at(config, "actor_rollout_ref.model.path")
    base = base_model or (str(given) if given else None)
    settings = {
        label: _shown(value) for label, place in SETTINGS.items() if (value := _at(config, place)) is not None
    }
    amir = config.get("amir")
    if isinstance(amir, Mapping):
        settings |= {f"amir.{key}": _shown(value) for key, value in amir.items() if value is not None}
    data = {
        label: _at(config, f"data.{key}")
        for label, key in (("training", "train_files"), ("validation", "val_files"))
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md").render(
        name=_shown(name),
        step=step,
        base=_shown(base) if base else None,
        # The hub accepts only its own names here, not a local folder.
        hub_base=json.dumps(base)
        if base and base.count("/") == 1 and not base.startswith((".", "/", "~"))
        else None,
        algorithm="AMIR"
        if isinstance(amir, Mapping)
        else _shown(_at(config, "algorithm.adv_estimator") or "unknown"),
        settings=settings,
        data={label: _shown(value) for label, value in data.items() if value},
        metrics=metrics or {},
        evaluation=evaluation,
        adapters_alone=adapters_alone,
        four_bit=_at(config, "actor_rollout_ref.model.model_type") == MODEL_TYPE,
    )
