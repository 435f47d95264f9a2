"""The gold answers of the data sets beside the checkout, and the ways in which a model would write them."""

import json
import os
import re
from fractions import Fraction
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


def right_respellings(gold: str) -> dict[str, str]:
    """Other spellings of a gold answer; the engine is needed for some."""
    answer = bare(gold)
    forms = {"dfrac": answer.replace("\\frac", "\\dfrac"), "no space": _without_spaces(answer)}
    if "(" in answer and "\\left" not in answer and "[" not in answer:
        forms["left right"] = answer.replace("(", "\\left(").replace(")", "\\right)")
    if fraction := re.fullmatch(r"(-?)\\frac\{(-?\d+)\}\{(\d+)\}", answer):
        value = Fraction(int(fraction[2]), int(fraction[3])) * (-1 if fraction[1] else 1)
        forms["slash"] = f"{fraction[1]}{fraction[2]}/{fraction[3]}"
        forms["decimal"] = f"{float(value):.10f}"
        forms["not reduced"] = f"\\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}"
    if re.fullmatch(r"-?\d+", answer):
        number = int(answer)
        forms["thousands"] = f"{number:,}"
        forms["LaTeX thousands"] = f"{number:,}".replace(",", "{,}")
        forms["thin space"] = f"{number:,}".replace(",", "\\,")
        forms["decimal point"] = f"{answer}.0"
        forms["currency"] = f"\\${number}" if number >= 0 else f"-\\${-number}"
        forms["unit"] = f"{answer}\\text{{ apples}}"
        forms["LaTeX unit"] = f"{answer} \\mathrm{{~cm}}^2"
        forms["assignment"] = f"x = {answer}"
        forms["leading zero"] = f"0{answer}" if number >= 0 else answer
    parts = answer.split(",")
    if len(parts) > 1 and not re.search(r"[(\[=]|\{,", answer) and not re.fullmatch(r"[\d,]+", answer):
        forms["other order"] = ", ".join(reversed(parts))
        forms["set"] = f"\\{{{answer}\\}}"
    return forms


def _without_spaces(answer: str) -> str:
    return re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", answer)


def wrong_neighbours(gold: str) -> dict[str, str]:
    """Wrong answers close to a gold answer: off by one, other sign, swapped ends, hedges, lists."""
    answer = bare(gold)
    forms = {}
    if numbers := list(re.finditer(r"\d+", answer)):
        for name, number in (("first number", numbers[0]), ("last number", numbers[-1])):
            forms[name] = f"{answer[: number.start()]}{int(number[0]) + 1}{answer[number.end() :]}"
    if re.fullmatch(r"-?\d+", answer):
        number = int(answer)
        forms |= {
            "one less": f"{number - 1}",
            "and a half": f"{number}.5",
            "hedge": f"{number - 1} or {number}",
        }
        forms |= {
            "list": f"{number}, {number + 1}, {number + 2}",
            "boxed twice": f"{number}}} or \\boxed{{-1",
        }
        if number:
            forms |= {"other sign": f"{-number}", "ten times": f"{number * 10}", "percent": f"{number * 10}%"}
    if "," in answer and "=" not in answer:
        forms["one more"] = f"{answer}, 997"
        if pair := re.fullmatch(r"([(\[])([^,()]*),([^,()]*)([)\]])", answer):
            forms["swapped ends"] = f"{pair[1]}{pair[3]},{pair[2]}{pair[4]}"
            forms["other bracket"] = ("[" if pair[1] == "(" else "(") + answer[1:]
    elif "=" not in answer:
        forms["hedge"] = f"{answer} or 7919"
    return forms
