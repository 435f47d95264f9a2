"""What says that a base is in four bits; needs no torch."""

from typing import Any

# actor_rollout_ref.model.model_type, set by conf/quantization/nf4.yaml: verl takes the engine of that name.
MODEL_TYPE = "four_bit_language_model"


def is_four_bit(config: Any) -> bool:
    """Whether a model's configuration, an object or the mapping of config.json, is of 4-bit weights of
    bitsandbytes.
    """
    found = config.get("quantization_config") if isinstance(config, dict) else None
    found = found or getattr(config, "quantization_config", None)
    settings = found if isinstance(found, dict) or found is None else found.to_dict()
    return bool(settings and (settings.get("load_in_4bit") or settings.get("_load_in_4bit")))
