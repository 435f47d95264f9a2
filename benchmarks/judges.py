"""The cases by which a grader of mathematics is judged: gold answer, response, and whether it must be paid.

Four sets: other graders' tests (`grader_cases.json` beside the data sets, not part of this repository),
Math-Verify's own tests, our adversary's wrong answers, and honest right answers near them. The last three lie
in tests/reward_fns/, each row with its source or its kind.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CASES = REPOSITORY / "tests" / "reward_fns"
# The sources whose cases are whole responses; those of the others are bare answers.
_WHOLE_RESPONSES = {"SkyThought resp", "slime", "open-r1/trl", "ultra"}


@dataclass(frozen=True)
class Case:
    """One case. `origin` is its source or kind; `settings` are those that the reward runs under."""

    origin: str
    gold: str
    response: str
    right: bool
    settings: dict = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.gold, self.response


@dataclass(frozen=True)
class Tally:
    """How a grader judged the cases of a set."""

    cases: int
    paid_wrong: tuple[Case, ...]
    refused_right: tuple[Case, ...]

    @property
    def agree(self) -> int:
        return self.cases - len(self.paid_wrong) - len(self.refused_right)


def shared_data() -> Path:
    """The folder of the data sets beside the checkout, or `AMIR_SHARED_DATA`."""
    return Path(os.environ.get("AMIR_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))


def public_cases(folder: Path | None = None) -> list[Case]:
    """Cases from eight graders' tests; a bare answer is boxed.

    Raises:
        FileNotFoundError: `grader_cases.json` is not in `folder` (default: `shared_data()`).
    """
    text = ((folder or shared_data()) / "grader_cases.json").read_text(encoding="utf-8")
    return [
        Case(row["source"], row["gold"], _boxed(row["source"], row["response"]), row["right"])
        for row in json.loads(text)["cases"]
    ]


def _boxed(source: str, response: str) -> str:
    whole = source in _WHOLE_RESPONSES or "\\boxed" in response
    return response if whole else f"\\boxed{{{response}}}"


def math_verify_cases() -> list[Case]:
    """The parametrized cases of Math-Verify's tests; the file names version and licence."""
    rows = json.loads((CASES / "math_verify_cases.json").read_text(encoding="utf-8"))["cases"]
    return [Case(row["test"], row["gold"], row["response"], row["right"]) for row in rows]


def adversarial_cases() -> list[Case]:
    """Wrong answers of the kinds that a policy finds."""
    return [_own_case(row, right=False) for row in _rows("adversarial_answers.jsonl")]


def honest_cases() -> list[Case]:
    """Right answers that look like the adversary's."""
    return [_own_case(row, right=True) for row in _rows("honest_answers.jsonl")]


def _rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


def _own_case(row: dict, *, right: bool) -> Case:
    return Case(row["kind"], row["gold"], row["response"], right, row.get("settings", {}))


def tally(cases: Iterable[Case], pays: Callable[[Case], bool]) -> Tally:
    """Ask `pays` for every case."""
    cases = list(cases)
    verdicts = [bool(pays(case)) for case in cases]
    judged = list(zip(cases, verdicts, strict=True))
    return Tally(
        cases=len(cases),
        paid_wrong=tuple(case for case, paid in judged if paid and not case.right),
        refused_right=tuple(case for case, paid in judged if case.right and not paid),
    )
