"""verl's FSDP engine on a base in four bits: `+quantization=nf4` selects it, by its model type.

verl 0.9.1 has no such path. Its engine loads the model in one type and casts all of it
(workers/engine/fsdp/transformer_impl.py:330), casts adapters to the type of the base (:371), loads every
shard from rank 0 by names that a packed weight does not have (:480), and sends the rollout engine the weights
as they lie (:1013). Each is overridden here; a name of verl's is exchanged only while verl's own method runs.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from verl.utils.device import get_device_id
from verl.utils.fsdp_utils import replace_lora_wrapper
from verl.utils.model import convert_weight_keys
from verl.utils.torch_dtypes import PrecisionType
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.engine.fsdp.utils import unfuse_moe_params

from amir_verl.platform.four_bit import MODEL_TYPE
from amir_verl.platform.four_bit_weights import dequantized, four_bit_layers, load_four_bit

_VERL = "verl.workers.engine.fsdp.transformer_impl"


@contextmanager
def _exchanged(owner: Any, **names: Any) -> Iterator[None]:
    """Other values for names of a module of verl's, for a while."""
    before = {name: getattr(owner, name) for name in names}
    try:
        for name, value in names.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


class _FourBitClass:
    """Stands for transformers' class in verl's `_build_module`."""

    def __init__(self, auto_class: Any, dtype: torch.dtype) -> None:
        self._auto_class, self._dtype = auto_class, dtype

    def from_pretrained(
        self, pretrained_model_name_or_path: str, torch_dtype: torch.dtype, **kwargs: Any
    ) -> nn.Module:
        module = load_four_bit(
            self._auto_class,
            pretrained_model_name_or_path,
            dtype=self._dtype,
            device=get_device_id(),
            **kwargs,
        )
        # verl casts the whole model once more, which transformers refuses.
        module.to = lambda *_: module
        return module


@EngineRegistry.register(model_type=MODEL_TYPE, backend="fsdp2", device=["cuda", "npu"])
class FourBitEngine(FSDPEngineWithLMHead):
    """Every rank loads and quantizes the whole model, then FSDP2 takes its shard; adapters are float32."""

    @property
    def _compute_dtype(self) -> torch.dtype:
        precision = self.engine_config.mixed_precision or {}
        return PrecisionType.to_dtype(precision.get("param_dtype", "bf16"))

    def _build_module(self) -> nn.Module:
        engine, models = importlib.import_module(_VERL), importlib.import_module("verl.utils.model")
        auto_class = models.get_hf_auto_model_class(hf_config=self.model_config.hf_config)
        ours = _FourBitClass(auto_class, self._compute_dtype)
        self.model_config.model_type = "language_model"
        try:
            with (
                _exchanged(models, get_hf_auto_model_class=lambda hf_config: ours),
                # A quantized weight is no weight on the meta device.
                _exchanged(engine, get_init_weight_context_manager=lambda **_: lambda: torch.device("cpu")),
            ):
                module = super()._build_module()
        finally:
            self.model_config.model_type = MODEL_TYPE
        del module.to
        return module

    def _build_lora_module(self, module: nn.Module) -> nn.Module:
        module = super()._build_lora_module(module)
        for parameter in module.parameters():
            if parameter.requires_grad:
                # A learning rate of 5e-6 is rounded away in bfloat16.
                parameter.data = parameter.data.float()
                dist.broadcast(parameter.data, src=0)
        return module

    def _build_fsdp_module(self, module: nn.Module) -> nn.Module:
        def keep_dtypes(param_dtype: torch.dtype, **policy: Any) -> MixedPrecisionPolicy:
            # A cast would destroy packed weights. The others are of the type that is computed in; adapters
            # are cast by verl's autocast.
            return MixedPrecisionPolicy(param_dtype=None, **policy)

        with _exchanged(
            importlib.import_module(_VERL),
            MixedPrecisionPolicy=keep_dtypes,
            fsdp2_load_full_state_dict=lambda *_: None,  # each rank has sharded what it loaded
        ):
            return super()._build_fsdp_module(module)

    def get_per_tensor_param(
        self, layered_summon: bool = False, base_sync_done: bool = False, **kwargs: Any
    ) -> tuple[Any, dict[str, Any] | None]:
        """The adapters, or, where the rollout engine has no base yet, the dequantized base."""
        if base_sync_done:
            return super().get_per_tensor_param(layered_summon, base_sync_done, **kwargs)
        return self._base_weights(), self.module.peft_config["default"].to_dict()

    def _base_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Name, as verl's rollout workers expect it under LoRA, and whole weight, one at a time."""
        adapters, base = self.module.peft_config["default"], self.module.base_model.model
        layers = {f"{name}.weight": layer for name, layer in four_bit_layers(base)}
        weights = {
            replace_lora_wrapper(name.replace(".base_layer", ""), adapters): (weight, layers.get(name))
            for name, weight in base.state_dict().items()
            if "lora_" not in name
        }
        for name, (weight, layer) in convert_weight_keys(weights, self.module).items():
            full = weight.to(get_device_id())
            full = full.full_tensor() if isinstance(full, DTensor) else full
            full = full if layer is None else dequantized(full, layer)
            yield from unfuse_moe_params([(name, full)], self.model_config.hf_config.model_type)
