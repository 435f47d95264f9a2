"""What the study claims, written before the reporting seeds ran, and what would refute it."""

from dataclasses import dataclass

from benchmarks.study.frontier import Difference


@dataclass(frozen=True)
class Claim:
    """One figure of one arm, less another arm's or (`against` None) the first model's.

    `wanted`: `higher`, `lower`; the claim holds if Holm's p over all claims is below 0.05 with that sign, is
    refuted if the uncorrected interval lies on the other side, and is open otherwise. `not lower`: refuted
    by an interval below 0, holds if the interval's lower end is above -`slack`.
    """

    key: str
    text: str
    task: str
    arm: str
    against: str | None
    figure: str
    wanted: str
    same_steps: bool = False
    reward: str = "right_wrong"
    slack: float = 0.03

    def verdict(self, found: Difference, p: float) -> str:
        """`holds`, `refuted` or `open`."""
        low, high = (found.low, found.high) if self.wanted != "lower" else (-found.high, -found.low)
        if high < 0:
            return "refuted"
        if self.wanted == "not lower":
            return "holds" if low > -self.slack else "open"
        return "holds" if low > 0 and p < 0.05 else "open"


CLAIMS: tuple[Claim, ...] = ()
