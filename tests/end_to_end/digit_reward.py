"""A reward that grades an untrained model: the share of digits in the response."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    share = sum(character.isdigit() for character in solution_str) / max(1, len(solution_str))
    return {"score": share, "acc": float(ground_truth in solution_str), "pred": solution_str[:8]}
