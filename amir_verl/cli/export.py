"""Turn a verl checkpoint into a Hugging Face model: merged weights (LoRA too), tokenizer, model card.

    amir-verl export CHECKPOINT OUT

Environment, all optional:
  RUN_DIR     run directory with verl's metrics file, for the card (default: what holds the checkpoints)
  CONFIG      verl's resolved configuration (default: .hydra/config.yaml in the run directory)
  EVALUATION  evaluation.json of `amir-verl evaluate`
  BASE_MODEL  hub name of the base model (default: the model path of the configuration)
  ADAPTERS    1 writes a LoRA run's adapters alone, in float32, as a peft folder
  BASE_WEIGHTS  folder or hub name of the weights under adapters that were saved alone (default: the model
              path of the configuration)
  PUSH_TO     org/name on the hub, with a token in HF_TOKEN; PRIVATE=0 makes the repository public
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amir_verl.cli import complain
from amir_verl.export.adapters import has_adapters_alone, merge_adapters, write_adapters
from amir_verl.export.model_card import find_config, read_config
from amir_verl.export.model_export import check_loads, find_actor, find_run, merge_lora, push, write_card
from amir_verl.platform.four_bit import MODEL_TYPE

CARD_SETTINGS = ("RUN_DIR", "CONFIG", "EVALUATION", "BASE_MODEL")


def main(arguments: Sequence[str] | None = None, *, prog: str = "export") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="checkpoint directory of a run (its latest step), global_step_N, or the actor in it; one you "
        "trust, since verl's checkpoints are pickles",
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="a directory that is not there yet; it appears whole or not at all",
    )
    args = parser.parse_args(arguments)
    # Only the push sees the token: neither verl's merger nor transformers needs it.
    token, repository = os.environ.pop("HF_TOKEN", None), os.environ.get("PUSH_TO")
    try:
        if os.path.lexists(args.out):
            raise ValueError(f"{args.out} is already there")
        if repository and not token:
            raise ValueError("PUSH_TO needs a token in HF_TOKEN")
        _export(args.checkpoint, args.out)
        print(f"export: wrote {args.out}")
        if repository:
            private = os.environ.get("PRIVATE", "1") != "0"
            print(f"export: pushed to {push(args.out, repository, token=token, private=private)}")
    except (ValueError, OSError) as error:
        return complain(prog, error)
    return 0


def _export(checkpoint: Path, out: Path) -> None:
    actor = find_actor(checkpoint)
    adapters_alone = os.environ.get("ADAPTERS", "0") != "0"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export.", dir=out.parent) as folder:
        partial = Path(folder) / "model"
        if adapters_alone or has_adapters_alone(actor):
            note = _export_adapters(actor, partial, alone=adapters_alone)
        else:
            merger = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
            ended = subprocess.run([*merger, "--local_dir", str(actor), "--target_dir", str(partial)])
            if ended.returncode:
                raise ValueError(f"verl's model merger ended with status {ended.returncode}")
            note = "LoRA merged" if merge_lora(partial) else "full weights"
        settings = {name: os.environ.get(name, "") for name in CARD_SETTINGS}
        write_card(partial, actor, name=out.name, settings=settings, adapters_alone=adapters_alone)
        print(f"export: {note}")
        if not adapters_alone:
            check_loads(partial)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors keeps others out
        partial.rename(out)


def _export_adapters(actor: Path, partial: Path, *, alone: bool) -> str:
    """Adapters as they are, or merged into a base that is not in the checkpoint; what was done, in words."""
    run = find_run(actor)
    found = Path(path) if (path := os.environ.get("CONFIG")) else run and find_config(run)
    model = read_config(found)["actor_rollout_ref"]["model"] if found else {}
    base = os.environ.get("BASE_WEIGHTS") or model.get("path")
    if not base:
        raise ValueError(f"{actor}: only adapters, and no configuration says of what: set BASE_WEIGHTS")
    if alone:
        write_adapters(actor, partial, base=base)
        return f"adapters of {base}"
    adapters = partial.parent / "adapters"
    write_adapters(actor, adapters, base=base)
    into = merge_adapters(adapters, base, partial)
    if model.get("model_type") != MODEL_TYPE or into.startswith("the dequantized"):
        return f"LoRA merged into {into}"
    return (
        f"LoRA merged into {into}. It was trained on their four-bit values, so this is not quite the policy "
        f"that was trained: for that one, BASE_WEIGHTS=FOLDER after amir-verl dequantize {base} FOLDER"
    )


if __name__ == "__main__":
    sys.exit(main())
