"""The gold answers of the data sets beside the checkout, and the ways in which a model would write them."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("AMIR_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SETS = ("gsm8k", "aime24", "amc23", "aqua", "minerva_math", "olympiadbench")


def rows(name: str, split: str = "test") -> list[dict]:
    """The rows of a set; the test is skipped where the data is not there."""
    path = ROOT / name / f"{split}.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}: set AMIR_SHARED_DATA to the folder of the data sets")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def last_box(solution: str) -> str:
    """The content of the last box of a MATH-like solution."""
    start = solution.rindex("\\boxed{") + len("\\boxed{")
    depth = 1
    for index in range(start, len(solution)):
        depth += (solution[index] == "{") - (solution[index] == "}")
        if depth == 0:
            return solution[start:index]
    raise AssertionError(f"unbalanced box in {solution[start - 20 : start + 60]!r}")


def gold_answers(name: str) -> list[tuple[str, dict]]:
    """The gold answers of a set as its authors wrote them, with the extra_info that data preparation adds."""
    if name == "gsm8k":
        splits = rows(name) + rows(name, "train")
        return [(row["answer"].rpartition("####")[2].strip(), {}) for row in splits]
    if name == "aqua":
        return [(row["correct"], {"options": row["options"]}) for row in rows(name)]
    if name == "minerva_math":
        return [(last_box(row["solution"]), {}) for row in rows(name)]
    if name == "olympiadbench":
        return [(answer, {}) for row in rows(name) for answer in row["final_answer"]]
    return [(str(row["answer"]), {}) for row in rows(name)]


def bare(gold: str) -> str:
    """A gold answer without the dollars around all of it."""
    inner = gold.strip().rstrip(".")
    return inner[1:-1] if inner[:1] == inner[-1:] == "$" and inner.count("$") == 2 else inner.replace("$", "")


def written_forms(gold: str) -> dict[str, str]:
    """Eight responses that give the same answer."""
    answer = bare(gold)
    return {
        "boxed": f"So we find that the result is $\\boxed{{{answer}}}$.",
        "display box": f"Therefore\n\\[\n\\boxed{{ {answer} }}\n\\]\nas claimed for all 12 cases.",
        "tag": f"<think>\nFirst 3, no: \\boxed{{17}}.\n</think>\n<answer>\n{answer}\n</answer>",
        "tag with dollars": f"<think>2 or 3?</think><answer>${answer}$</answer>",
        "hashes": f"Adding 2 and 3 comes to that.\n#### {answer}",
        "phrase": f"There are 3 of them. The answer is ${answer}$.",
        "final answer": f"We had 4 cases.\n\n**Final Answer:** ${answer}$",
        "box in tag": f"<think>5</think>\n<answer>\\boxed{{{answer}}}</answer>",
    }
