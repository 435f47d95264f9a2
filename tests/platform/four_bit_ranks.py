"""verl's FSDP2 on a base in four bits, without Ray: ranks build the engine, train two steps and save; then
they train a third step twice, the second time from what they saved.

Both models go through one process group, since a process takes long to import what it needs.
"""

import torch
import torch.distributed as dist
from four_bit_models import IDS

RANK, ALPHA = 4, 8


def build_engine(model):
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine.base import EngineRegistry

    from amir_verl.platform.four_bit import MODEL_TYPE

    float32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    engine = EngineRegistry.new(
        MODEL_TYPE,
        "fsdp2",
        model_config=HFModelConfig(
            path=model,
            model_type=MODEL_TYPE,
            lora_rank=RANK,
            lora_alpha=ALPHA,
            override_config={"attn_implementation": "sdpa"},
            use_remove_padding=False,
            enable_gradient_checkpointing=True,
        ),
        engine_config=FSDPEngineConfig(strategy="fsdp2", mixed_precision=float32, use_torch_compile=False),
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=10),
        checkpoint_config=CheckpointConfig(save_lora_only=True),
    )
    engine.initialize()
    return engine


def resident_bytes(module):
    """Bytes of this rank's shards, and of the scales beside them."""
    from amir_verl.platform.four_bit_weights import quantization_bytes

    local = [parameter.to_local() for parameter in module.parameters()]
    return sum(tensor.numel() * tensor.element_size() for tensor in local), quantization_bytes(module)


def follow(model, checkpoint):
    """What one engine did, in the process group that is there."""
    torch.manual_seed(dist.get_rank())  # ranks that agree do not owe it to their seeds
    engine = build_engine(model)
    module = engine.module
    seen = {
        "engine": type(engine).__name__,
        "bytes": resident_bytes(module),
        "trained": {p.dtype for p in module.parameters() if p.requires_grad},
        "adapters_before": adapters_of(engine),
        "losses": [],
        "norms": [],
    }
    for _ in range(2):
        loss, norm = train_a_step(engine)
        seen["losses"].append(loss)
        seen["norms"].append(norm)
    module.eval()
    with torch.no_grad():
        seen["logits"] = module(input_ids=IDS, use_cache=False).logits
        with engine.disable_adapter():
            seen["reference"] = module(input_ids=IDS, use_cache=False).logits
    seen["base"] = dict(engine.get_per_tensor_param(base_sync_done=False)[0])
    seen["adapters"] = adapters_of(engine)
    engine.save_checkpoint(checkpoint, global_step=2)
    train_a_step(engine)
    seen["adapters_third_step"] = adapters_of(engine)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    seen["adapters_lost"] = adapters_of(engine)
    engine.load_checkpoint(checkpoint)
    seen["adapters_loaded"] = adapters_of(engine)
    module.eval()
    with torch.no_grad():
        seen["logits_loaded"] = module(input_ids=IDS, use_cache=False).logits
    train_a_step(engine)
    seen["adapters_third_step_resumed"] = adapters_of(engine)
    return seen


def train_a_step(engine):
    """Loss and gradient norm of one step on `IDS`."""
    engine.module.train()
    logits = engine.module(input_ids=IDS, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], IDS[0, 1:])
    loss.backward()
    norm = engine.optimizer_step()
    engine.optimizer_zero_grad()
    return loss.item(), norm


def adapters_of(engine):
    weights, _ = engine.get_per_tensor_param(base_sync_done=True)
    return {name: weight.clone() for name, weight in weights}


def rank_process(rank, ranks, folder, models):
    """One of `ranks` processes; each writes what it saw, by name of the model."""
    from verl.plugin.platform import set_platform

    from amir_verl.platform.cpu import CpuPlatform

    set_platform(CpuPlatform())
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=ranks)
    seen = {name: follow(model, f"{folder}/{name}") for name, model in models.items()}
    torch.save(seen, f"{folder}/rank_{rank}.pt")
    dist.destroy_process_group()
