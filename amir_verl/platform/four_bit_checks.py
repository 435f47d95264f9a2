"""What a run with `+quantization=nf4` needs, and what it cannot do: asked before Ray starts."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amir_verl.platform.four_bit import MODEL_TYPE, is_four_bit

_INSTALL = "pip install 'bitsandbytes>=0.50,<0.51'"


def check_four_bit(config: DictConfig) -> None:
    """Refuse a run that would not train, or not sample from, a base in four bits as it is told to.

    Args:
        config: verl's, composed. A run without 4-bit weights passes, unless its model has some.

    Raises:
        ValueError: one line, with what to install or to set.
    """
    if OmegaConf.select(config, "actor_rollout_ref.model") is None:
        return  # verl says what is missing
    worker = config.actor_rollout_ref
    model, rollout = worker.model, worker.rollout
    quantization = _quantization_of(str(model.path))
    if model.get("model_type") != MODEL_TYPE:
        if quantization and is_four_bit({"quantization_config": quantization}):
            raise ValueError(f"{model.path} is in four bits: set LOAD_IN_4BIT=1 (verl: +quantization=nf4)")
        return
    if quantization and not is_four_bit({"quantization_config": quantization}):
        method = quantization.get("quant_method", "another method")
        raise ValueError(f"{model.path} is quantized by {method}: four-bit training needs a plain checkpoint")
    if worker.actor.strategy != "fsdp2":
        raise ValueError(
            "four-bit base weights need FSDP2: set actor_rollout_ref.actor.strategy=fsdp2, "
            f"got {worker.actor.strategy}"
        )
    if not model.lora_rank:
        raise ValueError(
            "+quantization=nf4 freezes the base: set actor_rollout_ref.model.lora_rank (LORA_RANK=16)"
        )
    if model.lora.get("merge"):
        raise ValueError(
            "merged into four-bit weights, adapters would be rounded away: "
            "set actor_rollout_ref.model.lora.merge=False"
        )
    if OmegaConf.select(worker, "actor.fsdp_config.qat.enable"):
        raise ValueError(
            "+quantization=nf4 and verl's qat exclude each other: "
            "set actor_rollout_ref.actor.fsdp_config.qat.enable=False"
        )
    if OmegaConf.select(rollout, "name") != "vllm":
        raise ValueError(
            f"four-bit base weights are sent to vLLM alone: set rollout.name=vllm, got {rollout.name}"
        )
    if rollout.load_format != "dummy":
        raise ValueError(
            f"rollout.load_format={rollout.load_format} would sample from weights that are not the actor's: "
            "set actor_rollout_ref.rollout.load_format=dummy"
        )
    mode = str(OmegaConf.select(config, "trainer.v1.trainer_mode"))
    if rollout.checkpoint_engine.backend != "naive" or mode.endswith("separate_async"):
        # verl/workers/engine_workers.py:764 asks the actor for its base alone.
        raise ValueError(
            "a separate rollout engine gets no LoRA adapters from verl 0.9.1: with +quantization=nf4 take "
            "trainer.v1.trainer_mode=amir_sync and rollout.checkpoint_engine.backend=naive"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"+quantization=nf4 needs bitsandbytes, which is not installed: {_INSTALL}")


def _quantization_of(model: str) -> dict[str, Any] | None:
    """`quantization_config` of a folder, or of a hub name whose config.json is in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    path: Any = Path(model) / "config.json"
    if not path.is_file():
        try:
            path = try_to_load_from_cache(model, "config.json")
        except HFValidationError:  # a folder that is not there: verl says so
            return None
        if not isinstance(path, str):
            return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")).get("quantization_config")
    except (OSError, ValueError, AttributeError):  # what verl itself refuses
        return None
