"""A reward that goes wrong in the way its prompt asks for in `extra_info["reward"]`."""

import itertools
from collections import defaultdict

_calls = defaultdict(itertools.count)  # by prompt; every reward of a run is computed in one process


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    share = sum(character.isdigit() for character in solution_str) / max(1, len(solution_str))
    wanted, responses = extra_info["reward"], extra_info["n"]
    if wanted == "digits":
        score = share
    elif wanted == "equal":
        score = 0.5
    elif wanted == "one nan":
        score = share if next(_calls[extra_info["index"]]) % responses else float("nan")
    elif wanted == "error":
        raise ArithmeticError("this reward fails")
    else:
        score = float(wanted)
    return {"score": score, "acc": float(ground_truth in solution_str)}
