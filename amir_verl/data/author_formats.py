"""One parser per author's row format: a published row in, a `Problem` out.

A parser raises `ValueError` with what is wrong with the row, or `LeftOutError` for a row that is as its
authors published it but cannot be asked or scored. The caller adds the file's name and the row number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amir_verl.data.gold_answers import hash_line_answer, integer_text, last_box, number_text

Row = Mapping[str, Any]


class LeftOutError(ValueError):
    """The row is as its authors published it, but cannot be asked or scored."""


@dataclass(frozen=True)
class Problem:
    """One question with its gold answer, from any set.

    `answer` is the gold text, for a choice the letter; `options` are the option texts without their letters.
    `multiple_answers`: the question asks for all answers listed in `answer` (one of them is not enough).
    `tolerance` is the absolute error the authors allow, in the unit of the answer.
    """

    question: str
    answer: str
    answer_kind: str
    options: tuple[str, ...] = ()
    multiple_answers: bool = False
    unit: str | None = None
    tolerance: float | None = None
    id: str | None = None
    subject: str | None = None
    level: str | None = None


def checked_text(value: Any, field: str) -> str:
    """`value` stripped; a `ValueError` that names the field unless it is text that can be stored as UTF-8."""
    if not isinstance(value, str):
        raise ValueError(f"field '{field}' is {type(value).__name__}, expected text")
    if not value.strip():
        raise ValueError(f"field '{field}' is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"field '{field}' holds half a surrogate pair, which is no text") from None
    return value.strip()


def _text(row: Row, *fields: str) -> str:
    for field in fields:
        if row.get(field) is not None:
            return checked_text(row[field], field)
    wanted = " or ".join(f"'{field}'" for field in fields)
    raise ValueError(f"no field {wanted}, found {', '.join(row) or 'none'}")


def _optional(row: Row, field: str) -> str | None:
    value = row.get(field)
    return None if value is None or value == "" else checked_text(str(value), field)


def _answer(row: Row, field: str, read: Callable[[Any], str] = number_text) -> str:
    if row.get(field) is None:
        raise ValueError(f"no field '{field}'")
    return checked_text(read(row[field]), field)


def _boxed_answer(row: Row) -> str:
    answer = last_box(_text(row, "solution"))
    if answer is None:
        raise ValueError("field 'solution' holds no closed \\boxed{...}")
    if not answer:
        raise LeftOutError("the authors' \\boxed{} is empty")
    return answer


def _lettered_options(row: Row) -> tuple[str, ...]:
    """The texts of options written 'A)text', '(A) text' or 'A. text', which must run A, B, C, ..."""
    options = row.get("options")
    if not isinstance(options, list) or len(options) < 2:
        raise ValueError("field 'options' is not a list of two or more options")
    texts = []
    for index, option in enumerate(options):
        letter = chr(ord("A") + index)
        match = re.fullmatch(rf"\(?{letter}[).:]\s*(.+)", checked_text(option, "options"), re.DOTALL)
        if match is None:
            raise ValueError(f"field 'options': option {index + 1} is {option!r}, expected '{letter})...'")
        texts.append(match[1])
    return tuple(texts)


def _choice_letter(row: Row, field: str, options: tuple[str, ...]) -> str:
    letter = _text(row, field)
    if len(letter) != 1 or not 0 <= ord(letter) - ord("A") < len(options):
        last = chr(ord("A") + len(options) - 1)
        raise ValueError(f"field '{field}' is {letter!r}, expected a letter from A to {last}")
    return letter


def parse_gsm8k(row: Row) -> Problem:
    """openai/grade-school-math: `question`, `answer` that ends in '#### number'."""
    return Problem(_text(row, "question"), hash_line_answer(_text(row, "answer")), "number")


def parse_math(row: Row) -> Problem:
    """hendrycks/math, one JSON a problem, and its hub copies: `problem`, `level`, `type`, `solution`."""
    question, answer = _text(row, "problem"), _boxed_answer(row)
    return Problem(
        question, answer, "expression", subject=_optional(row, "type"), level=_optional(row, "level")
    )


def parse_math500(row: Row) -> Problem:
    """HuggingFaceH4/MATH-500: `problem`, `solution`, `answer`, `subject`, `level`, `unique_id` (card)."""
    return Problem(
        _text(row, "problem"),
        _text(row, "answer"),
        "expression",
        id=_optional(row, "unique_id"),
        subject=_optional(row, "subject"),
        level=_optional(row, "level"),
    )


# The sentences DAPO's authors wrap around each problem. Our system prompt asks for another format.
DAPO_OPENING = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem."
)
DAPO_CLOSING = 'Remember to put your answer on its own line after "Answer:".'


def parse_dapo(row: Row) -> Problem:
    """BytedTsinghua-SIA/DAPO-Math-17k, which is verl parquet already.

    `prompt` (one user message: opening, problem, closing), `reward_model.ground_truth`, `extra_info.index`
    (an id): the layout verl's DAPO recipe reads. A problem without the known wrapping is left out: any other
    wrapping would stay in the question and ask for two formats at once.
    """
    messages = row.get("prompt")
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], Mapping):
        raise ValueError("field 'prompt' is not a list of one message")
    content = checked_text(messages[0].get("content"), "prompt.content")
    if not (content.startswith(DAPO_OPENING) and content.endswith(DAPO_CLOSING)):
        raise LeftOutError("field 'prompt.content' lacks DAPO's opening or closing sentence")
    question = checked_text(content[len(DAPO_OPENING) : -len(DAPO_CLOSING)], "prompt.content")
    reward_model, extra_info = row.get("reward_model"), row.get("extra_info") or {}
    if not isinstance(reward_model, Mapping) or not isinstance(extra_info, Mapping):
        raise ValueError("field 'reward_model' or 'extra_info' is not an object")
    answer = _answer(reward_model, "ground_truth")
    return Problem(question, answer, "number", id=_optional(extra_info, "index"))


def parse_contest(row: Row) -> Problem:
    """AIME and AMC: `problem` (in math-ai/amc23 `question`), an integer `answer`, and `id` if there is one.

    Fields as on the cards of HuggingFaceH4/aime_2024, math-ai/aime25 and math-ai/amc23; amc23 stores floats.
    """
    question, answer = _text(row, "problem", "question"), _answer(row, "answer", integer_text)
    return Problem(question, answer, "integer", id=_optional(row, "id"))


def parse_olympiadbench(row: Row) -> Problem:
    """OpenBMB/OlympiadBench, open-ended questions.

    `context`, `question`, `final_answer` (a list of one text), `is_multiple_answer` (that one text holds
    all answers), `unit`, `error` (allowed absolute error), `subfield`.
    """
    if any(row.get(field) is not None for field in row if field.startswith("image")):
        raise ValueError("the problem needs an image; take the text-only part (OE_TO)")
    question = _text(row, "question")
    context = _optional(row, "context")
    final = row.get("final_answer")
    if not isinstance(final, list) or len(final) != 1:
        raise ValueError("field 'final_answer' is not a list of one text")
    multiple = row.get("is_multiple_answer")
    if not isinstance(multiple, bool):
        raise ValueError("field 'is_multiple_answer' is not true or false")
    return Problem(
        question if context is None else f"{context}\n\n{question}",
        checked_text(final[0], "final_answer"),
        "expression",
        multiple_answers=multiple,
        unit=_optional(row, "unit"),
        tolerance=_tolerance(row),
        id=_optional(row, "id"),
        subject=_optional(row, "subfield"),
    )


def _tolerance(row: Row) -> float | None:
    error = _optional(row, "error")
    if error is None:
        return None
    try:
        tolerance = float(error)
    except ValueError:
        tolerance = math.nan
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"field 'error' is {error!r}, expected a positive number")
    return tolerance


def parse_minerva(row: Row) -> Problem:
    """Minerva's OCWCourses: `problem`, `solution` with a box, `type`, `idx`; on the hub (math-ai/minervamath)
    `question` and `answer`."""
    if row.get("answer") is not None:
        return Problem(_text(row, "question", "problem"), _answer(row, "answer"), "expression")
    return Problem(
        _text(row, "problem"),
        _boxed_answer(row),
        "expression",
        id=_optional(row, "idx"),
        subject=_optional(row, "type"),
    )


def parse_aqua(row: Row) -> Problem:
    """google-deepmind/AQuA: `question`, `options` ('A)text'), `rationale`, `correct` (the letter)."""
    options = _lettered_options(row)
    return Problem(_text(row, "question"), _choice_letter(row, "correct", options), "choice", options=options)


def parse_livemathbench(row: Row) -> Problem:
    """opencompass/LiveMathBench: `question`, `answer`, `question_type`, and `options` for choices, as its
    evaluation reads them (opencompass/datasets/livemathbench/livemathbench.py)."""
    question, subject = _text(row, "question"), _optional(row, "question_type")
    if row.get("options"):
        options = _lettered_options(row)
        answer = _choice_letter(row, "answer", options)
        return Problem(question, answer, "choice", options=options, subject=subject)
    return Problem(question, _answer(row, "answer"), "expression", subject=subject)
