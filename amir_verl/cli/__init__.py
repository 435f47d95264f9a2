"""`amir-verl`: everything that is no bash script."""

import sys


def complain(prog: str, error: Exception, *, status: int = 1) -> int:
    """Say a user's mistake in one line on standard error; the exit status."""
    lines = str(error).splitlines() or [type(error).__name__]
    print(f"{prog}: {lines[0]}", file=sys.stderr)
    return status
