"""A reward that goes wrong in the way its prompt asks for in `extra_info["reward"]`."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    share = sum(character.isdigit() for character in solution_str) / max(1, len(solution_str))
    wanted = extra_info["reward"]
    if wanted == "digits":
        score = share
    elif wanted == "equal":
        score = 0.5
    elif wanted == "nan for some":
        score = share if len(solution_str) % 2 else float("nan")
    elif wanted == "error":
        raise ArithmeticError("this reward fails")
    else:
        score = float(wanted)
    return {"score": score, "acc": float(ground_truth in solution_str)}
