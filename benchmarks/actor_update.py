"""verl's actor worker in this process, a batch such as its trainer sends it, and three ways to update on it.

The worker is verl's own `TrainingWorker`: FSDP2 on one rank, verl's mini- and micro-batches, its `ppo_loss`,
gradient clipping and optimizer. The learning rate is 0, so that every repeat meets the same policy.

Shape suffixes: _N responses, _T tokens, _P pairs.
"""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.loss import mean_log_prob
from amir_verl.objective.pairs import Pairs, mine_pairs
from amir_verl.trainer.worker_loss import (
    ANCHORS,
    BETA,
    ENDS,
    LAMBDA,
    POLICY_WEIGHT,
    WEIGHTS,
    preference_loss_fn,
)

CONFIG = AmirConfig()
# Shapes of models, under the names of Qwen2's configuration: one for a CPU, and two that are published.
MODELS = {
    "small": {
        "vocab_size": 2048,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    },
    "qwen2-0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "qwen2-1.5b": {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}


class Size(NamedTuple):
    """Responses of the batch, tokens of a prompt, most tokens of a response, layers (of the small model),
    rows of a micro-batch, and the model. Large ones recompute their activations, as in a training.
    """

    responses: int
    prompt: int
    response: int
    layers: int
    micro_batch: int
    model: str = "small"


class Actor(NamedTuple):
    """verl's worker, and its loss without AMIR (`plain`) and with (`amir`)."""

    worker: Any
    plain: partial
    amir: partial


class Batch(NamedTuple):
    """One batch as the worker gets it without AMIR and with, its pairs, and the driver's part of a step."""

    plain: TensorDict
    amir: TensorDict
    pairs: Pairs
    beta: float
    driver: Callable[[], Preferences]


def build_actor(folder: Path, size: Size) -> Actor:
    """Write a random Qwen2-shaped model into `folder` and start verl's actor worker on it, on one rank."""
    on_host = not torch.cuda.is_available()
    if on_host:
        os.environ.setdefault("VERL_PLATFORM", "cpu")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(
        RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    # After VERL_PLATFORM is set: verl picks its platform while it is imported.
    from hydra import compose, initialize_config_module
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.config import TrainingWorkerConfig
    from verl.workers.engine_workers import TrainingWorker
    from verl.workers.utils.losses import ppo_loss

    logging.disable_progress_bar()
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": size.layers} | MODELS[size.model]
    shape = Qwen2Config(**sizes, max_position_embeddings=size.prompt + size.response)
    Qwen2ForCausalLM(shape).save_pretrained(folder)
    overrides = [
        *(["+platform=cpu"] if on_host else []),
        "+amir@_global_=grpo",
        f"actor_rollout_ref.model.path={folder}",
        "+actor_rollout_ref.model.load_tokenizer=false",
        f"actor_rollout_ref.model.enable_gradient_checkpointing={size.model != 'small'}",
        "actor_rollout_ref.model.use_remove_padding=false",
        "++actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.actor.strategy=fsdp2",
        "actor_rollout_ref.actor.use_torch_compile=false",
        "actor_rollout_ref.actor.optim.lr=0",
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=overrides).actor_rollout_ref
    amir = omega_conf_to_dataclass(config.actor)
    config.actor.policy_loss.loss_mode = "vanilla"
    plain = omega_conf_to_dataclass(config.actor)

    plain.engine.use_dynamic_bsz = False
    plain.engine.micro_batch_size_per_gpu = size.micro_batch
    plain.engine.infer_micro_batch_size_per_gpu = size.micro_batch
    worker = TrainingWorker(
        config=TrainingWorkerConfig(
            model_type="language_model",
            model_config=omega_conf_to_dataclass(config.model),
            engine_config=plain.engine,
            optimizer_config=plain.optim,
            checkpoint_config=plain.checkpoint,
        )
    )
    worker.reset()
    return Actor(
        worker,
        plain=partial(ppo_loss, config=plain),
        amir=partial(preference_loss_fn, loss_fn=partial(ppo_loss, config=amir)),
    )


def rollout(actor: Actor, size: Size, *, seed: int) -> TensorDict:
    """Random prompts and responses of ragged length, with the policy's own log-probabilities."""
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import response_from_nested

    generator = torch.Generator().manual_seed(seed)
    length_N = torch.randint(size.response // 2, size.response + 1, (size.responses,), generator=generator)
    vocabulary = MODELS[size.model]["vocab_size"]
    rows = [torch.randint(vocabulary, (size.prompt + int(n),), generator=generator) for n in length_N]
    mask = _jagged([torch.ones(int(n), dtype=torch.long) for n in length_N])
    data = TensorDict(
        {
            "input_ids": _jagged(rows),
            "position_ids": _jagged([torch.arange(len(row)) for row in rows]),
            "prompts": _jagged([row[: size.prompt] for row in rows]),
            "responses": _jagged([row[size.prompt :] for row in rows]),
            "response_mask": mask,
            "loss_mask": mask.clone(),
        },
        batch_size=size.responses,
    )
    tu.assign_non_tensor(
        data,
        temperature=1.0,
        calculate_entropy=False,
        compute_loss=False,
        global_batch_size=size.responses,
        mini_batch_size=size.responses,
        epochs=1,
        seed=0,
    )
    log_prob = actor.worker.infer_batch(data.clone())["log_probs"]
    data["old_log_probs"] = response_from_nested(log_prob, mask)
    return data


def with_groups(data: TensorDict, *, group_size: int, seed: int) -> Batch:
    """Give the responses groups, rewards that all differ (the most pairs there can be), and preferences."""
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
    from verl.utils import tensordict_utils as tu

    generator = torch.Generator().manual_seed(seed)
    rows = len(data)
    rewards_N = torch.rand(rows, generator=generator)
    group_N = torch.arange(rows).div(group_size, rounding_mode="floor")
    group_N = group_N[torch.randperm(rows, generator=generator)]

    mask_NT = data["response_mask"].to_padded_tensor(0)
    length_N = mask_NT.sum(-1)
    reward_NT = torch.zeros(mask_NT.shape)
    reward_NT[torch.arange(rows), length_N - 1] = rewards_N
    advantage_NT, _ = compute_grpo_outcome_advantage(reward_NT, mask_NT, group_N.numpy())
    plain = data.clone()
    plain["advantages"] = _jagged([row[:n] for row, n in zip(advantage_NT, length_N, strict=True)])

    mean_N = mean_log_prob(data["old_log_probs"].to_padded_tensor(0.0), mask_NT)
    everyone_N = torch.ones(rows, dtype=torch.bool)
    driver = partial(step_preferences, mean_N, rewards_N, group_N, everyone_N, CONFIG)
    preferences = driver()
    amir = plain.clone()
    amir[ANCHORS] = preferences.jagged(preferences.anchor_M)
    amir[WEIGHTS] = preferences.jagged(preferences.signed_weight_M)
    tu.assign_non_tensor(
        amir,
        **{
            LAMBDA: 1.0,
            BETA: preferences.beta,
            POLICY_WEIGHT: CONFIG.policy_weight,
            ENDS: CONFIG.moving_ends,
        },
    )
    return Batch(plain, amir, mine_pairs(rewards_N, group_N, CONFIG), preferences.beta, driver)


def update(actor: Actor, batch: Batch, *, amir: bool) -> float:
    """verl's update of the actor on the batch, with AMIR or without; the norm of the gradient."""
    actor.worker.set_loss_fn(actor.amir if amir else actor.plain)
    # A flat copy: verl takes some settings out of what it is given.
    output = actor.worker.train_mini_batch((batch.amir if amir else batch.plain).clone(recurse=False))
    return float(output["metrics"]["grad_norm"][0])


def pair_rows(batch: Batch) -> TensorDict:
    """Every pair's two responses, chosen and rejected in turn, as rows of a batch of their own."""
    from verl.utils import tensordict_utils as tu

    row_2P = torch.stack([batch.pairs.chosen_P, batch.pairs.rejected_P], dim=1).flatten()
    return tu.index_select_tensor_dict(batch.plain, row_2P)


def update_pair_by_pair(actor: Actor, batch: Batch, pairs: TensorDict) -> float:
    """The same update, the preference term by a second forward and backward of both ends of every pair."""
    from verl.utils import tensordict_utils as tu

    engine = actor.worker.engine
    settings = {
        "use_dynamic_bsz": False,
        "use_remove_padding": False,
        "micro_batch_size_per_gpu": actor.worker.engine_config.micro_batch_size_per_gpu,
    }
    with engine.train_mode():
        engine.optimizer_zero_grad()
        for data, loss in ((batch.plain, actor.plain), (pairs, partial(_pair_loss, batch=batch))):
            data = data.clone(recurse=False)
            tu.assign_non_tensor(data, **settings)
            engine.forward_backward_batch(data, loss)
        return float(engine.optimizer_step())


def _pair_loss(*, model_output: Any, data: TensorDict, dp_group: Any = None, batch: Batch) -> Any:
    from verl.workers.utils.padding import no_padding_2_padding

    log_prob_NT = no_padding_2_padding(model_output["log_probs"], data)
    mean_N = mean_log_prob(log_prob_NT, data["response_mask"].to_padded_tensor(0))
    margin_P = mean_N[0::2] - mean_N[1::2]
    return F.softplus(-batch.beta * margin_P).sum() / len(batch.pairs), {}


def _jagged(rows: list[Tensor]) -> Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)
