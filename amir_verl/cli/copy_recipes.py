"""Write the training recipes, which are bash scripts around verl's trainer, into a folder.

    amir-verl recipes --to recipes
    MODEL=Qwen/Qwen2.5-3B-Instruct DRY_RUN=1 bash recipes/qwen2.5_3b.sh

Data and outputs are looked for where the recipe is started. See docs/recipes.md.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from amir_verl.cli import complain


def main(arguments: Sequence[str] | None = None, *, prog: str = "recipes") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="folder to write; made if missing"
    )
    parser.add_argument("--force", action="store_true", help="replace recipes that were changed there")
    args = parser.parse_args(arguments)
    # In a checkout a link to its recipes/, in a wheel a folder.
    source = resources.files("amir_verl.cli") / "recipes"
    recipes = {path.name: path.read_bytes() for path in source.iterdir() if path.name.endswith(".sh")}
    try:
        args.to.mkdir(parents=True, exist_ok=True)
        there = {name: args.to / name for name in sorted(recipes)}
        changed = [
            name for name, path in there.items() if path.exists() and path.read_bytes() != recipes[name]
        ]
        if changed and not args.force:
            raise ValueError(f"{args.to} holds other versions of {', '.join(changed)}: --force replaces them")
        for name, path in there.items():
            path.write_bytes(recipes[name])
    except (ValueError, OSError) as error:
        return complain(prog, error)
    print(f"wrote {', '.join(there)} to {args.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
