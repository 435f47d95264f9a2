"""Sample rows: one response to one problem, with its verdict.

Read from the parquet of `amir-verl evaluate`, verl's validation dumps (`trainer.validation_data_dir`), and
any JSONL or parquet with a prompt id and a correctness.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amir_verl.data.row_files import PlacedRow, read_rows

if TYPE_CHECKING:
    import pandas as pd

# Columns of a table of samples. Unknown values are None (text, truncated) or NaN (numbers).
COLUMNS = {
    "prompt_id": "the problem; equal in two runs for the same problem",
    "sample_id": "the response",
    "data_source": "the data set",
    "prompt": "text of the prompt",
    "response": "text of the response",
    "pred": "extracted answer",
    "correct": "0 or 1",
    "length": "of the response, in `length_unit`",
    "length_unit": "tokens, or characters where the file does not say tokens",
    "truncated": "whether the response was cut off at the length limit",
    "confidence": "stated by the response, in [0, 1]",
    "logprob_mean": "mean log-probability of the response's tokens under the model that wrote it",
}
PROMPT_KEYS = ("prompt_id", "problem_id", "question_id", "id")
CORRECT_KEYS = ("correct", "acc", "is_correct", "score")
LENGTH_KEYS = ("length", "response_length", "num_tokens")


def text_id(*parts: str) -> str:
    """A short id of a problem that depends only on its text, so that runs match problem by problem."""
    joined = "\x1f".join(parts).encode("utf-8", "backslashreplace")
    return hashlib.sha256(joined).hexdigest()[:16]


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # JSON knows whole numbers of any size
        return math.nan
    return number if math.isfinite(number) else math.nan


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode(
        "utf-8", "backslashreplace"
    ).decode()  # lone surrogates are JSON, but no text file takes them


def _correct(row: Mapping[str, Any], key: str | None, threshold: float | None) -> int:
    if threshold is not None:
        score = _number(row.get(key or "score"))
        if math.isnan(score):
            raise ValueError(f"{key or 'score'} is not a number: {row.get(key or 'score')!r:.60}")
        return int(score >= threshold)
    keys = (key,) if key else CORRECT_KEYS
    name = next((name for name in keys if row.get(name) is not None), None)
    if name is None:
        raise ValueError(f"no correctness: expected one of {', '.join(keys)}")
    value = _number(row[name])
    if value not in (0.0, 1.0):
        raise ValueError(f"{name} is {row[name]!r:.60}, but correctness is 0 or 1 (or give a threshold)")
    return int(value)


def _prompt_id(row: Mapping[str, Any], key: str | None) -> str:
    # verl draws a new uid for every validation, so match its dumps by the text of prompt and answer.
    if key is None and "input" in row and "output" in row:
        return text_id(_text(row["input"]), _text(row.get("gts")))
    keys = (key,) if key else PROMPT_KEYS
    name = next((name for name in keys if row.get(name) is not None), None)
    if name is None:
        raise ValueError(f"no prompt id: expected one of {', '.join(keys)}, or verl's input and output")
    # Other ids may count from 1 in every set; `prompt_id` and a named key are unique already.
    apart = key is None and name != "prompt_id" and row.get("data_source")
    return f"{_text(row['data_source'])}/{_text(row[name])}" if apart else _text(row[name])


def sample_from_row(
    row: Mapping[str, Any],
    *,
    prompt_key: str | None = None,
    correct_key: str | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:
    """One row of any supported file as a row of `COLUMNS` (without `sample_id`, which the file decides).

    Raises:
        ValueError: no prompt id, no correctness, or a correctness that is neither 0 nor 1; says which.
    """
    response = _text(row.get("response", row.get("output")))
    length = next((value for key in LENGTH_KEYS if not math.isnan(value := _number(row.get(key)))), math.nan)
    has_tokens = not math.isnan(length)
    truncated = row.get("truncated")
    if truncated is None and isinstance(row.get("finish_reason"), str):
        truncated = row["finish_reason"] == "length"
    given = (
        _number(row.get("confidence_given", 1)) != 0
    )  # reward functions fill in a number where none was stated
    confidence = _number(row.get("confidence")) if given else math.nan
    pred = row.get("pred")
    return {
        "prompt_id": _prompt_id(row, prompt_key),
        "data_source": _text(row.get("data_source")) or "unknown",
        "prompt": _text(row.get("prompt", row.get("input"))),
        "response": response,
        "pred": None if pred is None or pred == "" else _text(pred),
        "correct": _correct(row, correct_key, threshold),
        "length": length if has_tokens else float(len(response)) if response else math.nan,
        "length_unit": _text(row.get("length_unit")) or ("tokens" if has_tokens else "characters"),
        "truncated": None if truncated is None else bool(truncated),
        # A model may state a confidence of 7: not a confidence, but no reason to refuse the file.
        "confidence": confidence if 0 <= confidence <= 1 else math.nan,
        "logprob_mean": _number(row.get("logprob_mean")),
    }


def _final_rows_of_sessions(rows: list[PlacedRow]) -> list[PlacedRow]:
    """verl writes one row per model output of a session (`{uid}_{session}_{index}`): the last counts."""
    last: dict[str, tuple[int, int]] = {}
    for position, (place, row) in enumerate(rows):
        session, _, index = _text(row.get("uid")).rpartition("_")
        if "output" not in row or not session or not index.isdigit():
            last[place] = (0, position)
        elif session not in last or int(index) > last[session][0]:
            last[session] = (int(index), position)
    return [rows[position] for _, position in sorted(last.values(), key=lambda entry: entry[1])]


def read_samples(
    path: str | Path,
    *,
    prompt_key: str | None = None,
    correct_key: str | None = None,
    threshold: float | None = None,
) -> "pd.DataFrame":
    """Samples of one file, one per row, with `COLUMNS`.

    Args:
        path: .parquet, .jsonl or .json.
        prompt_key: field that names the problem; else the first of `PROMPT_KEYS`, and for verl's dumps the
            text of prompt and reference answer.
        correct_key: field that holds the correctness; else the first of `CORRECT_KEYS`.
        threshold: if given, correct means a score (or `correct_key`) of at least this.

    Raises:
        ValueError: one line naming the file and the row.
    """
    import pandas as pd

    path = Path(path)
    samples = []
    for place, row in _final_rows_of_sessions(list(read_rows(path))):
        try:
            sample = sample_from_row(row, prompt_key=prompt_key, correct_key=correct_key, threshold=threshold)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        samples.append(
            sample | {"sample_id": _text(row.get("sample_id", row.get("uid"))) or place.rpartition(" ")[2]}
        )
    return pd.DataFrame(samples, columns=list(COLUMNS))
