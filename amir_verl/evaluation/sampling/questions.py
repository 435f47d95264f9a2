"""Questions in verl's parquet files, ready to ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amir_verl.data.row_files import read_rows
from amir_verl.evaluation.sampling.samples import text_id


@dataclass(frozen=True)
class Question:
    """One row of a verl parquet file."""

    prompt_id: (
        str  # of the user's message and the reference answer: the same for every model and system prompt
    )
    data_source: str
    messages: list[dict[str, str]]
    ground_truth: Any
    extra_info: dict[str, Any]
    place: str  # file and row, for error messages


def find_data(names: Sequence[str], data_dir: Path) -> list[Path]:
    """Files of the named sets.

    A path stands for itself. A name is NAME.parquet or NAME_test.parquet in `data_dir`, or the only
    NAME_*.parquet there that is not a training split.

    Raises:
        ValueError: no file or several for a name; lists what is there.
    """
    found = []
    for name in names:
        exact = [Path(name), data_dir / f"{name}.parquet", data_dir / f"{name}_test.parquet"]
        known = sorted(data_dir.glob("*.parquet"))
        splits = [p for p in known if p.stem.startswith(f"{name}_") and not p.stem.endswith("_train")]
        chosen = next(([path] for path in exact if path.is_file()), splits)
        if len(chosen) != 1:
            there = ", ".join(path.name for path in chosen or known) or "no parquet file"
            problem = "several files" if chosen else "no file"
            raise ValueError(f"{name}: {problem} of that name in {data_dir} (there: {there})")
        found.append(chosen[0])
    return found


def read_questions(path: Path, *, limit: int | None = None) -> list[Question]:
    """The questions of one file.

    Raises:
        ValueError: a row without chat messages or without `reward_model.ground_truth`; names file and row.
    """
    questions = []
    for place, row in read_rows(path):
        if limit is not None and len(questions) == limit:
            break
        messages, reward_model = row.get("prompt"), row.get("reward_model")
        if not isinstance(messages, list) or not messages or not all(_is_message(m) for m in messages):
            raise ValueError(f"{place}: field 'prompt' is not a list of chat messages (role, content)")
        if not isinstance(reward_model, dict) or reward_model.get("ground_truth") is None:
            raise ValueError(f"{place}: no reward_model.ground_truth")
        truth = reward_model["ground_truth"]
        asked = [message["content"] for message in messages if message["role"] == "user"]
        questions.append(
            Question(
                prompt_id=text_id(*asked, str(truth)),
                data_source=str(row.get("data_source") or path.stem),
                messages=[{"role": m["role"], "content": m["content"]} for m in messages],
                ground_truth=truth,
                extra_info=row.get("extra_info") or {},
                place=place,
            )
        )
    return questions


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
