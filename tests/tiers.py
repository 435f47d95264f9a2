"""What the fast tier leaves out of long tables: every kind of row stays, three rows of four go."""

import os
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")
# Set by `scripts/test.sh fast`; the whole suite looks at every row.
FAST = os.environ.get("AMIR_TESTS") == "fast"


def rows_of_tier(rows: Sequence[Row]) -> Sequence[Row]:
    """All rows, or every fourth in the fast tier; of a short table all."""
    return rows[::4] if FAST and len(rows) > 60 else rows
