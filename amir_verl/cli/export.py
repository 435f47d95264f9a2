"""Turn a verl checkpoint into a Hugging Face model: merged weights (LoRA too), tokenizer, model card.

    amir-verl export CHECKPOINT OUT

Environment, all optional:
  RUN_DIR     run directory with verl's metrics file, for the card (default: what holds the checkpoints)
  CONFIG      verl's resolved configuration (default: .hydra/config.yaml in the run directory)
  EVALUATION  evaluation.json of `amir-verl evaluate`
  BASE_MODEL  hub name of the base model (default: the model path of the configuration)
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
from amir_verl.export.model_export import check_loads, find_actor, merge_lora, push, write_card

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
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export.", dir=out.parent) as folder:
        partial = Path(folder) / "model"
        merger = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
        ended = subprocess.run([*merger, "--local_dir", str(actor), "--target_dir", str(partial)])
        if ended.returncode:
            raise ValueError(f"verl's model merger ended with status {ended.returncode}")
        settings = {name: os.environ.get(name, "") for name in CARD_SETTINGS}
        write_card(partial, actor, name=out.name, settings=settings)
        print("export: LoRA merged" if merge_lora(partial) else "export: full weights")
        check_loads(partial)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors keeps others out
        partial.rename(out)


if __name__ == "__main__":
    sys.exit(main())
