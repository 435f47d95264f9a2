"""The command `amir-verl`."""

import argparse
from collections.abc import Sequence

from amir_verl import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="amir-verl", description="AMIR for verl")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="check the installation; status 0 if all is well")
    doctor.add_argument("--no-ray", action="store_true", help="do not start a local Ray to look at a worker")
    options = parser.parse_args(arguments)

    from amir_verl.cli.doctor import examine, report

    text, status = report(examine(ray=not options.no_ray))
    print(text)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
