"""Reward 1 for a right answer and 0 for any other, for `reward.custom_reward_function`.

    reward.custom_reward_function.path=reward_fns/math_reward.py      (or path=pkg://reward_fns.math_reward)
    reward.custom_reward_function.name=compute_score

verl loads this file by its path and calls `compute_score` from a thread pool. docs/rewards.md tells what
counts.
"""

from reward_fns.answer_grade import grade_response
from reward_fns.settings import check_flag, check_number, reject_unknown
from reward_fns.symbolic_engine import ENGINE

ENGINE.warm()  # verl imports this file long before the first answer


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: dict | None = None,
    *,
    last_number: bool = True,
    think_in_prompt: bool = False,
    require_value: bool = False,
    rel_tol: float = 0.0,
    timeout_s: float = 1.0,
    **verl_arguments: object,
) -> dict[str, float | str]:
    r"""Whether the response's one answer is right.

    Args:
        data_source: the data set's name; not used.
        solution_str: the response. Hostile: it is read, never evaluated.
        ground_truth: the accepted answer, or a list of accepted answers.
        extra_info: `options` (list, or dict from letter to text) lets a multiple-choice answer quote its
            option.
        last_number: whether the last formula or number counts when no answer is marked.
        think_in_prompt: the chat template has already written `<think>`, so the response begins behind it and
            has no answer before `</think>`.
        require_value: whether a number must be written as one: `17 \times 23` or `\frac{782}{2}` is then
        wrong. rel_tol: relative tolerance between numbers, as measured quantities need; 0 compares exactly.
        timeout_s: seconds the symbolic engine may take for this response; then it is wrong and `timeout` is
            1.

    Returns:
        score and acc (0 or 1), pred (the answer in a common spelling, "" for none), answer_found, symbolic
        (whether the engine was asked) and timeout (0 or 1). The same keys for every response.

    Raises:
        ValueError: an unknown or impossible setting, or a ground truth that cannot be read.
    """
    flags = {"last_number": last_number, "think_in_prompt": think_in_prompt, "require_value": require_value}
    reject_unknown("math_reward", verl_arguments, flags | {"rel_tol": rel_tol, "timeout_s": timeout_s})
    for name, flag in flags.items():
        check_flag(f"math_reward: {name}", flag)
    check_number("math_reward: rel_tol", rel_tol, low=0.0, high=1.0)
    check_number("math_reward: timeout_s", timeout_s, low=0.01, high=60.0)
    grade = grade_response(
        "<think>" + solution_str if think_in_prompt else solution_str,
        ground_truth,
        extra_info,
        last_number=last_number,
        rel_tol=rel_tol,
        require_value=require_value,
        engine_seconds=timeout_s,
    )
    correct = float(grade.correct)
    return {
        "score": correct,
        "acc": correct,
        "pred": grade.pred,
        "answer_found": float(grade.source != "none"),
        "symbolic": float(grade.engine_asked),
        "timeout": float(grade.timed_out),
    }
