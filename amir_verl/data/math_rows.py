"""Math problems as rows of verl's parquet: one schema for every set."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from amir_verl.data.author_formats import Problem
from amir_verl.data.verl_parquet import verl_schema

# verl joins the files of data.train_files with `concatenate_datasets`, which refuses columns of different
# types. So all sets have these, and a field that a set lacks is null, not absent.
MATH_SCHEMA = verl_schema(
    id=pa.string(),
    answer_kind=pa.string(),
    options=pa.list_(pa.string()),
    multiple_answers=pa.bool_(),
    unit=pa.string(),
    tolerance=pa.float64(),
    subject=pa.string(),
    level=pa.string(),
)


def question_text(problem: Problem) -> str:
    """The user message: the question, for a choice followed by its lettered options."""
    if not problem.options:
        return problem.question
    options = [f"({chr(ord('A') + index)}) {text}" for index, text in enumerate(problem.options)]
    return "\n".join([problem.question, "", "Options:", *options])


def math_row(
    problem: Problem, *, data_source: str, split: str, index: int, system_prompt: str
) -> dict[str, Any]:
    """`problem` as one row of `MATH_SCHEMA`; `index` counts the rows of the split from 0."""
    return {
        "data_source": data_source,
        "prompt": [
            {"role": "system", "content": system_prompt},
            {"role": "user", "content": question_text(problem)},
        ],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "index": index,
            "split": split,
            "id": problem.id,
            "answer_kind": problem.answer_kind,
            "options": list(problem.options),
            "multiple_answers": problem.multiple_answers,
            "unit": problem.unit,
            "tolerance": problem.tolerance,
            "subject": problem.subject,
            "level": problem.level,
        },
    }
