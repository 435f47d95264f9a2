"""The command `amir-verl`: everything that is no bash script.

Each subcommand is a module of its own with a `main(arguments, prog=...)`, imported when it is asked for.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from amir_verl import __version__

# name -> (module, what it does)
COMMANDS = {
    "doctor": ("doctor", "check the installation; status 0 if all is well"),
    "dry-run": ("dry_run", "check a run's verl overrides and its memory without starting it"),
    "recipes": ("copy_recipes", "write the training recipes into a folder"),
    "prepare": ("prepare", "write a published math set as verl parquet"),
    "prepare-ranked": ("prepare_ranked", "write ranked responses as verl parquet"),
    "evaluate": ("evaluate", "sample a model, score it, and print pass@k with intervals"),
    "evaluate-ranking": ("evaluate_ranking", "how well log-probabilities order given responses"),
    "report": ("report", "compare two runs: a page with figures"),
    "export": ("export", "turn a verl checkpoint into a Hugging Face model"),
    "dequantize": ("dequantize", "write the weights that a training on four bits has as its base"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    lines = [f"  {name:<18}{said}" for name, (_, said) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="amir-verl",
        description="AMIR for verl.",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        epilog="\n".join(["commands (amir-verl COMMAND --help says more):", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    module = import_module(f"amir_verl.cli.{COMMANDS[options.command][0]}")
    return module.main(options.arguments, prog=f"amir-verl {options.command}")


if __name__ == "__main__":
    sys.exit(main())
