"""The sets `amir-verl prepare` knows: where each lives and how to read its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amir_verl.data import author_formats
from amir_verl.data.author_formats import Problem, Row


@dataclass(frozen=True)
class MathSet:
    """One published set.

    `splits` maps our split names to the hub's, `sizes` gives the published number of rows of each split;
    `configs` are hub configurations whose rows are joined in order. `local_names` are other names of its
    folder on disk, and `local_pattern` picks files there that are not named after a split.
    """

    name: str
    hub_id: str
    configs: tuple[str, ...]
    splits: dict[str, str]
    sizes: dict[str, int]
    parse: Callable[[Row], Problem]
    answer_kind: str
    license: str
    source: str
    local_names: tuple[str, ...] = ()
    local_pattern: str = "*"

    @property
    def purpose(self) -> str:
        return "training" if "train" in self.splits else "evaluation"


_MATH_SETS = (
    MathSet(
        name="gsm8k",
        hub_id="openai/gsm8k",
        configs=("main",),
        splits={"train": "train", "test": "test"},
        sizes={"train": 7473, "test": 1319},
        parse=author_formats.parse_gsm8k,
        answer_kind="number",
        license="MIT",
        source="arXiv 2110.14168",
    ),
    MathSet(
        name="math",
        hub_id="EleutherAI/hendrycks_math",
        configs=(
            "algebra",
            "counting_and_probability",
            "geometry",
            "intermediate_algebra",
            "number_theory",
            "prealgebra",
            "precalculus",
        ),
        splits={"train": "train", "test": "test"},
        sizes={"train": 7500, "test": 5000},
        parse=author_formats.parse_math,
        answer_kind="expression",
        license="MIT",
        source="arXiv 2103.03874",
        local_names=("MATH", "hendrycks_math"),
    ),
    MathSet(
        name="dapo_math_17k",
        hub_id="BytedTsinghua-SIA/DAPO-Math-17k",
        configs=("default",),
        splits={"train": "train"},
        # The published file repeats a block of 17,917 rows a hundred times, by accident (DAPO issue 36).
        sizes={"train": 1_791_700},
        parse=author_formats.parse_dapo,
        answer_kind="number",
        license="Apache-2.0",
        source="arXiv 2503.14476",
        local_names=("DAPO-Math-17k",),
    ),
    MathSet(
        name="aime24",
        hub_id="HuggingFaceH4/aime_2024",
        configs=("default",),
        splits={"test": "train"},
        sizes={"test": 30},
        parse=author_formats.parse_contest,
        answer_kind="integer",
        license="none stated; problems by the MAA",
        source="AIME 2024 I and II, solutions from Art of Problem Solving",
        local_names=("aime_2024",),
    ),
    MathSet(
        name="aime25",
        hub_id="math-ai/aime25",
        configs=("default",),
        splits={"test": "test"},
        sizes={"test": 30},
        parse=author_formats.parse_contest,
        answer_kind="integer",
        license="none stated; problems by the MAA",
        source="AIME 2025 I and II",
        local_names=("aime_2025",),
    ),
    MathSet(
        name="math500",
        hub_id="HuggingFaceH4/MATH-500",
        configs=("default",),
        splits={"test": "test"},
        sizes={"test": 500},
        parse=author_formats.parse_math500,
        answer_kind="expression",
        license="MIT (MATH, PRM800K)",
        source="arXiv 2305.20050, a part of MATH's test split",
        local_names=("MATH-500",),
    ),
    MathSet(
        name="olympiadbench",
        hub_id="Hothan/OlympiadBench",
        configs=("OE_TO_maths_en_COMP",),
        splits={"test": "train"},
        sizes={"test": 674},
        parse=author_formats.parse_olympiadbench,
        answer_kind="expression",
        license="Apache-2.0",
        source="arXiv 2402.14008, open-ended text-only English mathematics",
        local_names=("OlympiadBench", "OE_TO_maths_en_COMP"),
    ),
    MathSet(
        name="amc23",
        hub_id="math-ai/amc23",
        configs=("default",),
        splits={"test": "test"},
        sizes={"test": 40},
        parse=author_formats.parse_contest,
        answer_kind="integer",
        license="none stated; problems by the MAA",
        source="AMC 12 of 2023, choices rewritten to numbers",
    ),
    MathSet(
        name="minervamath",
        hub_id="math-ai/minervamath",
        configs=("default",),
        splits={"test": "test"},
        sizes={"test": 272},
        parse=author_formats.parse_minerva,
        answer_kind="expression",
        license="none stated; MIT OpenCourseWare",
        source="arXiv 2206.14858, OCWCourses",
        local_names=("minerva_math", "minerva"),
    ),
    MathSet(
        name="aquarat",
        hub_id="deepmind/aqua_rat",
        configs=("raw",),
        splits={"test": "test"},
        sizes={"test": 254},
        parse=author_formats.parse_aqua,
        answer_kind="choice",
        license="Apache-2.0",
        source="arXiv 1705.04146",
        local_names=("aqua", "AQuA", "aqua_rat"),
    ),
    MathSet(
        name="livemathbench",
        hub_id="opencompass/LiveMathBench",
        # The English half of release 202412; gated on the hub.
        configs=("v202412_AMC_en", "v202412_CCEE_en", "v202412_CNMO_en", "v202412_WLPMC_en"),
        splits={"test": "test"},
        sizes={"test": 119},
        parse=author_formats.parse_livemathbench,
        answer_kind="expression",
        license="CC-BY-4.0",
        source="arXiv 2412.13147, release 202412, English",
        local_names=("LiveMathBench",),
        local_pattern="*_en*",
    ),
)

MATH_SETS: dict[str, MathSet] = {math_set.name: math_set for math_set in _MATH_SETS}
