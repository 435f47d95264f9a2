"""Peak memory of an update of verl's actor against the arithmetic that the recipes go by.

python -m benchmarks.gpu_check.memory [--model qwen2-0.5b] [--micro-batch 8] [--quick]

One rank, no offload, micro-batches of equal length. On a CPU the resident memory of the process is all that
can be read, in float32 and with the allocator's leftovers: there the figures stand without a target.
"""

import argparse
import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from amir_verl.cli.memory import Estimate, estimate
from amir_verl.cli.model_shapes import ModelShape
from benchmarks.actor_update import MODELS, Size, build_actor, rollout, update, with_groups
from benchmarks.gpu_check import SKIPPED
from benchmarks.measure import machine, verdict
from benchmarks.peak_memory import peak_increase

PROMPT, RESPONSE = 64, 448


def reckon(size: Size, *, card: float) -> Estimate:
    """What the recipes' arithmetic says of an update of one micro-batch."""
    sizes = {"num_hidden_layers": size.layers} | MODELS[size.model]
    shape = ModelShape(
        model_type="qwen2", head_dim=sizes["hidden_size"] // sizes["num_attention_heads"], **sizes
    )
    longest = size.prompt + size.response
    return estimate(
        shape, card=card, tokens=size.micro_batch * longest, longest=longest, flash_attention=False
    )


def needed(run: Estimate) -> float:
    """Bytes of the update alone: the pass of old log-probabilities before it is not made here."""
    return run.resident + max(run.working + run.activations + run.logits, run.adam)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="qwen2-0.5b")
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="the small model, one layer")
    args = parser.parse_args()
    model = "small" if args.quick else args.model
    size = Size(args.micro_batch, PROMPT, RESPONSE, layers=1, micro_batch=args.micro_batch, model=model)
    on_card = torch.cuda.is_available()
    if not on_card and not args.quick:
        print(f"{SKIPPED}no card (--quick runs on a CPU)")
        return
    card = torch.cuda.mem_get_info()[0] if on_card else 0
    run = reckon(size, card=card)
    print(f"{machine()}; {model}, a micro-batch of {run.tokens} tokens")
    if on_card and needed(run) > 0.9 * card:
        print(f"{SKIPPED}{needed(run) / 1e9:.1f} GB are reckoned, {card / 1e9:.1f} GB are free")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            actor = build_actor(Path(folder), size)
        batch = with_groups(rollout(actor, size, seed=0), group_size=args.micro_batch, seed=1)
        peak = peak_of(lambda: update(actor, batch, amir=True))
    if peak is None:
        print(f"{SKIPPED}the peak of resident memory cannot be read here")
        return
    parts = {"state": run.resident, "gathered": run.working, "activations": run.activations}
    parts |= {"logits": run.logits, "adam": run.adam}
    print("reckoned, MB: " + ", ".join(f"{name} {value / 1e6:.0f}" for name, value in parts.items()))
    print(f"reckoned {needed(run) / 1e6:.0f} MB, measured {peak / 1e6:.0f} MB")
    share = peak / needed(run)
    if on_card:
        # What is reckoned too low ends a run; too high wastes the card.
        print(verdict("measured over reckoned", share, at_most=1.05))
        print(verdict("measured over reckoned", share, at_least=0.7))
    else:
        print(f"measured over reckoned: {share:.3g}")


def peak_of(run: Callable[[], object]) -> float | None:
    """Bytes in use at the peak of `run`: on a card all of torch's, else what the process has grown by."""
    run()  # Adam's moments come with the first step
    if not torch.cuda.is_available():
        rise = peak_increase(run)
        return None if rise is None else rise * 2**20
    torch.cuda.reset_peak_memory_stats()
    run()
    return float(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    main()
