"""The cards of this machine, and what a recipe does on them.

    python -m amir_verl.cli.cards qwen2.5-3b GPUS= NNODES=1 LORA_RANK=16 ...

prints `GPUS GPU_MEMORY_GB OFFLOAD TOKENS TP UTILISATION FLASH` for recipes/common.sh, which gives its
variables as they are; an empty one is chosen here. Without arguments: the table of docs/recipes.md.
"""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amir_verl.cli import complain
from amir_verl.cli.memory import GB, OFFLOAD, Estimate, in_gb
from amir_verl.cli.memory_plan import plan
from amir_verl.cli.model_shapes import PUBLISHED, ModelShape

ASSUMED_GB = 80


class Cards(NamedTuple):
    """Cards of one node."""

    count: int
    gigabytes: int  # of the smallest
    found: bool  # False: there is no nvidia-smi, and the rest is assumed


def find_cards() -> Cards:
    """What nvidia-smi says; one card of 80 GB where it says nothing."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        said = []
    mebibytes = [int(word) for word in said if word.isdigit()]
    if not mebibytes:
        return Cards(1, ASSUMED_GB, found=False)
    return Cards(len(mebibytes), -(-min(mebibytes) // 1024), found=True)


def flash_attention_is_there() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def plan_recipe(shape: ModelShape, variables: Mapping[str, str], *, flash_attention: bool) -> Estimate:
    """The plan for a recipe's variables; what is empty or missing is chosen.

    Raises:
        ValueError: a variable that is no number, or nothing fits; one line.
    """

    def whole(name: str, least: int = 1) -> int | None:
        text = variables.get(name, "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError(f"{name} must be a whole number, got '{text}'")
        if int(text) < least:
            raise ValueError(f"{name} must be {least} or more, got {text}")
        return int(text)

    def number(name: str) -> float | None:
        text = variables.get(name, "")
        try:
            return float(text) if text else None
        except ValueError:
            raise ValueError(f"{name} must be a number, got '{text}'") from None

    return plan(
        shape,
        card=(whole("GPU_MEMORY_GB") or ASSUMED_GB) * GB,
        gpus=whole("GPUS") or 1,
        nodes=whole("NNODES") or 1,
        lora_rank=whole("LORA_RANK", 0) or 0,
        four_bit=variables.get("LOAD_IN_4BIT") == "1",
        longest=(whole("PROMPT_LENGTH") or 1024) + (whole("RESPONSE_LENGTH") or 1024),
        offload=variables.get("OFFLOAD") or None,
        tokens=whole("TOKENS"),
        tensor_parallel=whole("TP"),
        utilisation=number("UTILISATION"),
        flash_attention=flash_attention,
        temperature=number("TEMPERATURE") or 1.0,
    )


def memory_line(run: Estimate) -> str:
    """The run's line of the table, in words: GB of each card, and of a node's RAM."""
    cards = f"{run.nodes * run.gpus} x {run.card / GB:.0f} GB"
    parts = [
        f"state {in_gb(run.state)} (offload {run.offload})",
        f"update {in_gb(run.update)} with {run.tokens:,} tokens",
        f"vLLM {in_gb(run.engine)} with a KV cache of {run.kv_cache_tokens:,} tokens",
        f"host {in_gb(run.host)}",
    ]
    if not run.samples:
        del parts[2]
    return f"memory, GB of each of {cards}: {', '.join(parts)} (reckoned, not measured)"


def verdict(run: Estimate) -> str:
    """Whether it fits; if not, what would: in the recipes' variables, and a line more in verl's settings."""
    if not run.problems:
        return "it fits"
    ways = advice(run)
    cure = " or ".join(map(_in_recipes, ways)) or "a smaller model or shorter responses"
    said = f"it does not fit: {'; '.join(run.problems)}. What would: {cure}"
    return said + (f"\nin verl's settings: {' or '.join(map(_in_verl, ways))}" if ways else "")


def advice(run: Estimate) -> list[dict[str, Any]]:
    """Ways to make a run fit that does not, each by variables of the recipes; the cheapest first."""
    deeper = OFFLOAD[OFFLOAD.index(run.offload) :]
    levers: list[dict[str, Any]] = [{"offload": level} for level in deeper]
    levers += [] if run.lora_rank else [{"lora_rank": 16}]
    levers += [] if run.four_bit else [{"lora_rank": run.lora_rank or 16, "four_bit": True}]
    levers += [{"gpus": 2 * run.gpus}, {"gpus": 8 * run.gpus}]
    same = ["card", "gpus", "nodes", "lora_rank", "four_bit", "longest", "flash_attention", "temperature"]
    same += ["samples", "reference"]
    ways = []
    for lever in levers:
        try:
            other = plan(run.shape, **({name: getattr(run, name) for name in same} | lever))
        except ValueError:
            continue
        if not other.problems and (changes := _difference(run, other)) not in ways:
            ways.append(changes)
    return ways


def _difference(run: Estimate, other: Estimate) -> dict[str, Any]:
    changes = {
        "LOAD_IN_4BIT": other.four_bit and not run.four_bit and 1,
        "LORA_RANK": other.lora_rank != run.lora_rank and other.lora_rank,
        "GPUS": other.gpus != run.gpus and other.gpus,
        "OFFLOAD": other.offload != run.offload and other.offload,
        "TOKENS": other.tokens < run.tokens and other.tokens,
        "UTILISATION": other.utilisation < run.utilisation and f"{other.utilisation:g}",
        "TP": other.tensor_parallel > run.tensor_parallel and other.tensor_parallel,
    }
    return {name: value for name, value in changes.items() if value}


def _in_recipes(changes: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in changes.items())


def _in_verl(changes: Mapping[str, Any]) -> str:
    return " ".join(
        _IN_VERL.get(f"{name}={value}") or f"{_IN_VERL[name]}={value}" for name, value in changes.items()
    )


_FSDP = "actor_rollout_ref.actor.fsdp_config"
# The recipes' variables, or one of their values, in overrides of verl.
_IN_VERL = {
    "OFFLOAD=swap": f"{_FSDP}.param_offload=True {_FSDP}.optimizer_offload=True",
    "OFFLOAD=cpu": f"{_FSDP}.offload_policy=True",
    "LOAD_IN_4BIT=1": "+quantization=nf4",
    "LORA_RANK": "actor_rollout_ref.model.lora_rank",
    "GPUS": "trainer.n_gpus_per_node",
    "TOKENS": "actor_rollout_ref.actor.ppo_max_token_len_per_gpu",
    "UTILISATION": "actor_rollout_ref.rollout.gpu_memory_utilization",
    "TP": "actor_rollout_ref.rollout.tensor_model_parallel_size",
}


# Cards, their gigabytes, nodes, recipe, model, LoRA rank: the rows of the table. A rank of "16, 4 bits" is
# one on a base in four bits.
_FOUR_BIT = "16, 4 bits"
_ROWS = (
    *((1, 24, 1, "qwen2.5_3b", rank) for rank in (16, 0, _FOUR_BIT)),
    (1, 48, 1, "qwen2.5_3b", 16),
    (1, 80, 1, "qwen2.5_3b", 0),
    (8, 24, 1, "qwen2.5_3b", 0),
    (8, 80, 1, "qwen2.5_3b", 0),
    *((1, gigabytes, 1, "qwen2.5_7b", 16) for gigabytes in (24, 48, 80)),
    *((1, gigabytes, 1, "qwen2.5_7b", _FOUR_BIT) for gigabytes in (24, 48, 80)),
    (1, 80, 1, "qwen2.5_7b", 0),
    *((8, gigabytes, 1, "qwen2.5_7b", 0) for gigabytes in (48, 80)),
    (8, 80, 2, "qwen2.5_7b", 0),
    *((1, gigabytes, 1, "gemma3_4b", 16) for gigabytes in (24, 48, 80)),
    *((1, gigabytes, 1, "gemma3_4b", _FOUR_BIT) for gigabytes in (24, 48)),
    (1, 80, 1, "gemma3_4b", 0),
    *((8, gigabytes, 1, "gemma3_4b", 0) for gigabytes in (48, 80)),
)


def table() -> str:
    """The table of docs/recipes.md, in Markdown."""
    titles = ("cards", "command", "offload", "state", "tokens", "update", "vLLM", "KV cache", "host")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for gpus, gigabytes, nodes, recipe, rank in _ROWS:
        shape, four_bit = PUBLISHED[recipe.replace("_", "-")], rank == _FOUR_BIT
        rank = 16 if four_bit else rank
        run = plan(
            shape,
            card=gigabytes * GB,
            gpus=gpus,
            nodes=nodes,
            lora_rank=rank,
            four_bit=four_bit,
            longest=2048,
        )
        cards = f"{nodes} nodes, {gpus} x {gigabytes} GB each" if nodes > 1 else f"{gpus} x {gigabytes} GB"
        variables = (
            f"NNODES={nodes} RAY_ADDRESS=auto" if nodes > 1 else "",
            "LOAD_IN_4BIT=1" if four_bit else "",
            f"LORA_RANK={rank}" if rank else "",
        )
        before = "".join(f"{variable} " for variable in variables if variable)
        cells = (
            cards,
            f"`{before}bash recipes/{recipe}.sh`",
            run.offload,
            in_gb(run.state),
            f"{run.tokens:,}",
            in_gb(run.update),
            in_gb(run.engine),
            f"{run.kv_cache_tokens / 1000:,.0f}",
            in_gb(run.host),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prog", default="cards", help="who asks, for messages")
    parser.add_argument("model", nargs="?", choices=PUBLISHED)
    parser.add_argument("variables", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args(arguments)
    if args.model is None:
        print(table())
        return 0
    flash_attention = flash_attention_is_there()
    given = {name: value for name, _, value in (word.partition("=") for word in args.variables) if value}
    assumed = False
    if not {"GPUS", "GPU_MEMORY_GB"} <= given.keys():
        cards = find_cards()
        assumed = not cards.found and "GPU_MEMORY_GB" not in given
        given = {"GPUS": str(cards.count), "GPU_MEMORY_GB": str(cards.gigabytes)} | given
    try:
        run = plan_recipe(PUBLISHED[args.model], given, flash_attention=flash_attention)
    except ValueError as error:
        return complain(args.prog, error, status=2)
    if assumed:
        print(f"{args.prog}: no nvidia-smi here: GPU_MEMORY_GB={ASSUMED_GB} is assumed", file=sys.stderr)
    card, flash = round(run.card / GB), int(flash_attention)
    print(run.gpus, card, run.offload, run.tokens, run.tensor_parallel, f"{run.utilisation:g}", flash)
    return 0


if __name__ == "__main__":
    sys.exit(main())
