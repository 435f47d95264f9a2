"""LoRA adapters of a verl checkpoint, whole and in float32, and their merge into a base that lies elsewhere.

verl's merger needs the base in the checkpoint, and rounds adapters to bfloat16 (model_merger/
fsdp_model_merger.py:199). A run on 4-bit weights saves adapters alone.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from amir_verl.platform.four_bit import is_four_bit

# As peft names an adapter: base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight
_LORA, _NAME = ".lora_", ".default"


def _shards(actor: Path) -> list[dict[str, Any]]:
    import torch

    world_size = json.loads((actor / "fsdp_config.json").read_text())["world_size"]
    files = [actor / f"model_world_size_{world_size}_rank_{rank}.pt" for rank in range(world_size)]
    return [torch.load(file, map_location="cpu", weights_only=False, mmap=True) for file in files]


def has_adapters_alone(actor: Path) -> bool:
    """Whether a checkpoint holds LoRA adapters without their base (verl's `save_lora_only`)."""
    return all(_LORA in name for name in _shards(actor)[0])


def adapter_weights(actor: Path) -> dict[str, Any]:
    """Name, as in a peft folder, and whole float32 tensor of each adapter weight.

    Raises:
        ValueError: there are none.
    """
    import torch
    from torch.distributed.tensor import DTensor

    shards = _shards(actor)
    weights = {}
    for name, first in shards[0].items():
        if _LORA not in name:
            continue
        parts = [shard[name] for shard in shards]
        whole = first
        if isinstance(first, DTensor):
            dimension = next((place.dim for place in first.placements if place.is_shard()), None)
            local = [part.to_local() for part in parts]
            # Replicas of a shard (HSDP) follow each other: the first of each are the whole.
            needed = local[: first.device_mesh.shape[-1]]
            whole = local[0] if dimension is None else torch.cat(needed, dimension)
            assert whole.shape == first.shape, name
        weights[name.replace(_NAME, "")] = whole.float().contiguous().clone()
    if not weights:
        raise ValueError(f"{actor}: no LoRA adapters in this checkpoint")
    return weights


def write_adapters(actor: Path, out: Path, *, base: str) -> None:
    """Write a peft folder: adapter_model.safetensors, adapter_config.json and the tokenizer.

    Args:
        base: folder or hub name of the weights that they belong to.

    Raises:
        ValueError: no adapters, or their rank is not in the checkpoint.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    weights = adapter_weights(actor)
    try:
        meta = json.loads((actor / "lora_train_meta.json").read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"{actor}: no readable lora_train_meta.json, which has the adapters' alpha"
        ) from None
    maps = {name.partition(_LORA)[0].removeprefix("base_model.model.") for name in weights}
    out.mkdir(parents=True, exist_ok=True)
    # Full names: a vision tower has maps of the same last name.
    config = LoraConfig(
        r=meta["r"],
        lora_alpha=meta["lora_alpha"],
        task_type=meta["task_type"],
        target_modules=sorted(maps),
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(out)
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    AutoTokenizer.from_pretrained(actor / "huggingface").save_pretrained(out)


def merge_adapters(adapters: Path, base: str, out: Path) -> str:
    """Write base and adapters as one model: summed in float32, saved in bfloat16.

    Args:
        adapters: of `write_adapters`.
        base: folder or hub name; one in four bits is dequantized first.

    Returns:
        What the adapters were merged into, in words.

    Raises:
        ValueError: the base is not there, or has other shapes.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        quantized = is_four_bit(AutoConfig.from_pretrained(base))
        model = (
            dequantized_model(base, dtype=torch.float32)
            if quantized
            else AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        )
        merged = PeftModel.from_pretrained(model, adapters).merge_and_unload()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"BASE_WEIGHTS={base}: cannot be merged into ({reason})") from None
    merged.to(torch.bfloat16).save_pretrained(out)
    for file in adapters.iterdir():
        if not file.name.startswith("adapter_"):
            shutil.copy(file, out / file.name)
    return f"the {'dequantized' if quantized else 'unquantized'} weights of {base}"


def dequantized_model(model: str | Path, *, dtype: Any) -> Any:
    """A plain model with the values that four bits keep of a checkpoint's weights.

    Args:
        model: folder or hub name; quantized as a training does it, unless it is in four bits already.
        dtype: that the training computes in: torch.bfloat16 on a GPU, torch.float32 with +platform=cpu.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.integrations.bitsandbytes import Bnb4bitDeserialize

    from amir_verl.platform.four_bit_weights import load_four_bit

    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = load_four_bit(AutoModelForCausalLM, model, dtype=dtype, device=device).dequantize(dtype).cpu()
    # transformers 5 writes what it has read, but cannot turn this reading around: its reverse_op is missing.
    plain._weight_conversions = [
        conversion
        for conversion in plain._weight_conversions
        if not any(isinstance(step, Bnb4bitDeserialize) for step in getattr(conversion, "operations", ()))
    ]
    return plain
