"""The preference loss on this machine's device against the oracle in plain Python and float64.

python -m benchmarks.gpu_check.loss [--worker] [--quick]

Without --worker torch is enough: `amir_loss` in one process. With it the loss runs as verl's workers run it:
nested tensors, verl's own policy loss at weight 0, anchors and signed weights from the driver's function.
Both get the same numbers as the oracle, rounded to the type beforehand, so the error is the computation's.

Shape suffixes: _N responses, _T tokens.
"""

import argparse
import importlib.util
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from amir_verl.config import AmirConfig
from amir_verl.objective.anchors import step_preferences
from amir_verl.objective.loss import amir_loss, mean_log_prob
from benchmarks.measure import machine, verdict

CONFIG = AmirConfig()
LAMBDA = 0.5
ORACLE = Path(__file__).resolve().parents[2] / "tests" / "objective" / "oracle.py"
# Relative to the largest entry. float32: means of some hundred tokens, each sum off by some 1e-7 of it, times
# beta in the exponent. bfloat16: a gradient is handed back in the type, whose rounding is 2**-9 of an entry;
# sums are taken in float32, so the value is as exact as there.
TOLERANCES = {
    torch.float32: {"value": 1e-5, "gradient": 1e-5},
    torch.bfloat16: {"value": 1e-5, "gradient": 2**-8},
}


class Batch(NamedTuple):
    """Log-probabilities of responses of ragged length, with groups and rewards, on the device."""

    live_NT: Tensor
    old_NT: Tensor
    mask_NT: Tensor
    reward_N: Tensor
    group_N: Tensor


def random_batch(dtype: torch.dtype, device: str, *, groups: int, size: int, tokens: int) -> Batch:
    """Responses as a policy gives them, some two nats a token, after a few updates."""
    draw = torch.Generator().manual_seed(0)
    rows = groups * size
    length_N = torch.randint(tokens // 4, tokens + 1, (rows,), generator=draw)
    mask_NT = torch.arange(tokens) < length_N[:, None]
    level_N = 1 + torch.rand(rows, 1, generator=draw)  # responses differ in likelihood
    old_NT = level_N * torch.rand(rows, tokens, generator=draw).log()
    live_NT = old_NT + 0.1 * torch.randn(rows, tokens, generator=draw)
    reward_N = torch.randint(0, 4, (rows,), generator=draw) / 2
    return Batch(
        *(values_NT.to(dtype).to(device) for values_NT in (live_NT, old_NT)),
        mask_NT.to(device),
        reward_N.to(device),
        torch.arange(groups).repeat_interleave(size).to(device),
    )


def by_objective(batch: Batch) -> tuple[float, Tensor]:
    """Value and gradient (N, T) of `amir_loss`, siblings anchored at the old policy."""
    live_NT = batch.live_NT.clone().requires_grad_()
    loss, metrics = amir_loss(
        live_NT, batch.mask_NT, batch.reward_N, batch.group_N, CONFIG, old_log_prob=batch.old_NT
    )
    (gradient_NT,) = torch.autograd.grad(loss, live_NT)
    return metrics["amir/loss"], gradient_NT


def by_worker(batch: Batch) -> tuple[float, Tensor]:
    """The same by the loss function that verl's workers get."""
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu
    from verl.workers.config import FSDPActorConfig, PolicyLossConfig
    from verl.workers.utils.losses import ppo_loss

    from amir_verl.trainer import worker_loss

    mask_NT, rows = batch.mask_NT, len(batch.mask_NT)
    device, length_N = mask_NT.device, mask_NT.sum(-1)
    # What the driver sends: it has no card.
    mean_N = mean_log_prob(batch.old_NT.cpu(), mask_NT.cpu())
    everyone_N = torch.ones(rows, dtype=torch.bool)
    found = step_preferences(mean_N, batch.reward_N.cpu(), batch.group_N.cpu(), everyone_N, CONFIG)

    def jagged(values_NT: Tensor) -> Tensor:
        return torch.nested.as_nested_tensor(
            [row[:length] for row, length in zip(values_NT, length_N.tolist(), strict=True)],
            layout=torch.jagged,
        )

    token_NT = torch.zeros(mask_NT.shape, dtype=torch.long, device=device)
    prompt_N1 = torch.zeros(rows, 1, dtype=torch.long, device=device)
    data = TensorDict(
        {
            "prompts": torch.nested.as_nested_tensor(list(prompt_N1), layout=torch.jagged),
            "responses": jagged(token_NT),
            # A prompt of one token, so a row has one more.
            "input_ids": torch.nested.as_nested_tensor(
                [torch.zeros(int(n) + 1, dtype=torch.long, device=device) for n in length_N],
                layout=torch.jagged,
            ),
            "response_mask": jagged(mask_NT.long()),
            "loss_mask": jagged(mask_NT.long()),
            "advantages": jagged(torch.ones(mask_NT.shape, device=device)),
            "old_log_probs": jagged(batch.old_NT),
            worker_loss.ANCHORS: found.jagged(found.anchor_M).to(device),
            worker_loss.WEIGHTS: found.jagged(found.signed_weight_M).to(device),
        },
        batch_size=rows,
    )
    settings = {
        worker_loss.LAMBDA: LAMBDA,
        worker_loss.BETA: found.beta,
        worker_loss.POLICY_WEIGHT: 0.0,
        worker_loss.ENDS: CONFIG.moving_ends,
    }
    tu.assign_non_tensor(
        data, **settings, dp_size=1, global_batch_size=rows, batch_num_tokens=int(length_N.sum())
    )
    # verl's engine gives a row's log-probabilities one place early: a token's stands with the token before.
    live = [
        torch.nn.functional.pad(row[: int(n)], (0, 1)) for row, n in zip(batch.live_NT, length_N, strict=True)
    ]
    leaf = torch.cat(live).requires_grad_()
    offsets = torch.nn.functional.pad((length_N + 1).cumsum(0), (1, 0))
    config = FSDPActorConfig(
        rollout_n=8, ppo_micro_batch_size_per_gpu=1, policy_loss=PolicyLossConfig(loss_mode="amir_grpo")
    )
    loss, metrics = worker_loss.preference_loss_fn(
        loss_fn=partial(ppo_loss, config=config),
        model_output={"log_probs": torch.nested.nested_tensor_from_jagged(leaf, offsets=offsets)},
        data=data,
    )
    (gradient,) = torch.autograd.grad(loss, leaf)
    gradient_NT = torch.zeros_like(batch.live_NT)
    gradient_NT[mask_NT] = torch.cat(
        [row[:-1] for row in gradient.split((length_N + 1).tolist())]
    )  # the last place of a row is no token's
    return float(metrics["amir/loss"].aggregate()), gradient_NT / LAMBDA


def by_oracle(batch: Batch) -> tuple[float, Tensor]:
    """The loss as the paper states it, by loops over plain numbers."""
    loss, gradient = _oracle().preference_loss(
        batch.live_NT.double().tolist(),
        batch.mask_NT.tolist(),
        batch.reward_N.tolist(),
        batch.group_N.tolist(),
        CONFIG,
        old_log_prob=batch.old_NT.double().tolist(),
    )
    return loss, torch.tensor(gradient, dtype=torch.float64)


def _oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oracle", ORACLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", action="store_true", help="by verl's loss function")
    parser.add_argument("--quick", action="store_true", help="16 responses of 32 tokens for 128 of 512")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = {"groups": 2, "size": 8, "tokens": 32} if args.quick else {"groups": 8, "size": 16, "tokens": 512}
    print(f"{machine()}; {sizes['groups']} groups of {sizes['size']}, at most {sizes['tokens']} tokens")
    for dtype, tolerances in TOLERANCES.items():
        batch = random_batch(dtype, device, **sizes)
        value, gradient_NT = (by_worker if args.worker else by_objective)(batch)
        expected, expected_NT = by_oracle(batch)
        assert gradient_NT.dtype == dtype and gradient_NT.device.type == device
        error = (gradient_NT.double().cpu() - expected_NT).abs().max() / expected_NT.abs().max()
        name = f"{str(dtype).removeprefix('torch.')} on {device}"
        print(verdict(f"value, {name}", abs(value - expected) / expected, at_most=tolerances["value"]))
        print(verdict(f"gradient, {name}", float(error), at_most=tolerances["gradient"]))


if __name__ == "__main__":
    main()
