"""A frozen model whose linear maps hold four bits a weight: NF4 of bitsandbytes, as QLoRA has it
(arXiv 2305.14314).

Blocks of 64 weights share a scale, blocks of 256 scales share another ("double quantization"): 4.127 bits a
weight. Embeddings, norms and the output layer stay as they are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amir_verl.platform.four_bit import is_four_bit

# FSDP2 copies and gathers packed weights as floats of this type. In bfloat16 a copy on the GPU may write all
# NaNs alike, which changes the weights packed in them (bitsandbytes issue 1945); float32 is copied as it is.
STORAGE = torch.float32


def load_four_bit(
    auto_class: Any, model: str | Path, *, dtype: torch.dtype, device: torch.device | str | int, **kwargs: Any
) -> nn.Module:
    """Load a plain checkpoint, quantizing each weight as it is read, or one that is in four bits already.

    Args:
        auto_class: of transformers, such as AutoModelForCausalLM.
        dtype: that the model computes in; of embeddings, norms and the output layer.
        device: where it is loaded, and quantized.
        kwargs: of `from_pretrained`.
    """
    from accelerate.hooks import remove_hook_from_module
    from transformers import AutoConfig, BitsAndBytesConfig

    config = kwargs.get("config") or AutoConfig.from_pretrained(model)
    if not is_four_bit(config):
        kwargs["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=STORAGE,
        )
    module = auto_class.from_pretrained(model, dtype=dtype, device_map={"": device}, **kwargs)
    remove_hook_from_module(module, recurse=True)  # they move inputs to a device that never changes
    for _, layer in four_bit_layers(module):
        layer.weight.data = layer.weight.data.view(-1).view(STORAGE).view(-1, 1)
        layer.weight.quant_storage = layer.quant_storage = STORAGE
        layer.quant_state = layer.weight.quant_state  # what FSDP leaves of the parameter has none
        layer.quant_state.dtype = layer.compute_dtype = dtype
        # On a CPU with AVX512-BF16 a forward pass in eval mode would repack the weight in place, under FSDP.
        layer.support_avx512bf16_for_cpu = False
    return module


def four_bit_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and layer of every linear map in four bits."""
    from bitsandbytes.nn import Linear4bit

    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, Linear4bit))


def dequantized(packed: Tensor, layer: Any) -> Tensor:
    """The weight (outputs, inputs) that a layer multiplies by, in the type that it computes in.

    Args:
        packed: the layer's whole packed weight, (bytes / 4, 1).
    """
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(packed, layer.quant_state)


def quantization_bytes(module: nn.Module) -> int:
    """Bytes of the scales beside the packed weights; every rank has all of them."""
    total = 0
    for _, layer in four_bit_layers(module):
        state = layer.quant_state
        nested = [state.state2.absmax, state.state2.code, state.offset] if state.nested else []
        total += sum(tensor.numel() * tensor.element_size() for tensor in [state.absmax, state.code, *nested])
    return total
