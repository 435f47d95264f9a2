"""Write the weights that a training on four bits (LOAD_IN_4BIT=1) has as its base, as a plain model.

    amir-verl dequantize MODEL OUT

For what cannot read bitsandbytes, such as vLLM 0.28: with the run's adapters on top it is the policy that was
trained. MODEL is a plain checkpoint, which is quantized first, or one in four bits.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amir_verl.cli import complain


def main(arguments: Sequence[str] | None = None, *, prog: str = "dequantize") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", help="a folder, or a name on the hub")
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="a directory that is not there yet; it appears whole or not at all",
    )
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float32"),
        default="bfloat16",
        help="that the training computes in: bfloat16 on a GPU, float32 with +platform=cpu",
    )
    args = parser.parse_args(arguments)
    try:
        if args.out.exists():
            raise ValueError(f"{args.out} is already there")
        _dequantize(args.model, args.out, args.dtype)
    except ImportError as error:
        return complain(prog, ValueError(f"{error}: pip install 'bitsandbytes>=0.50,<0.51'"))
    except (ValueError, OSError) as error:
        return complain(prog, error)
    print(f"wrote {args.out}")
    return 0


def _dequantize(model: str, out: Path, dtype: str) -> None:
    import torch
    from transformers import AutoTokenizer

    from amir_verl.export.adapters import dequantized_model

    plain = dequantized_model(model, dtype=getattr(torch, dtype))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dequantize.", dir=out.parent) as folder:
        partial = Path(folder) / "model"
        plain.save_pretrained(partial)
        AutoTokenizer.from_pretrained(model).save_pretrained(partial)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors keeps others out
        partial.rename(out)


if __name__ == "__main__":
    sys.exit(main())
