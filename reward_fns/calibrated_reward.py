"""The shaped reward of arXiv 2601.03661 for the tags <think> <answer> [<analysis> <confidence>].

    reward.custom_reward_function.path=reward_fns/calibrated_reward.py
    reward.custom_reward_function.reward_kwargs.calibrated=False       (for the plain format)

The sum of: right answer, a number in the answer, strict format, each tag once less a penalty for text after
the last tag, true arithmetic (off unless asked for), and in calibrated mode the Brier term 1 - (confidence -
correct)^2.
"""

import math

from reward_fns.answer_grade import grade_response
from reward_fns.arithmetic_claims import true_claims
from reward_fns.response_format import (
    format_tags,
    is_strict,
    stated_confidence,
    tag_content,
    tags_once,
    trailing_chars,
)
from reward_fns.settings import check_flag, check_number, reject_unknown
from reward_fns.symbolic_engine import ENGINE

# By how much a wrong answer with arithmetic stays below a right one.
_LEAST_GAP = 1e-6
_DIGITS = frozenset("0123456789")

ENGINE.warm()  # verl imports this file long before the first answer


def paid_claims(claims: int, weight: float, room: float) -> int:
    """How many claims are paid so that their sum stays below `room`, where a right answer begins."""
    claims = int(claims)
    while claims > 0 and weight * claims >= room - _LEAST_GAP:
        claims -= 1
    return claims


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: dict | None = None,
    *,
    calibrated: bool = True,
    think_in_prompt: bool = False,
    correctness_weight: float = 2.0,
    number_weight: float = 0.2,
    format_weight: float = 0.5,
    tag_weight: float = 0.025,
    trailing_penalty: float = 0.001,
    max_trailing_penalty: float = 0.1,
    arithmetic: bool = False,
    arithmetic_weight: float = 0.1,
    max_arithmetic_claims: int = 10,
    brier_weight: float = 1.0,
    missing_confidence: float | None = None,
    last_number: bool = True,
    rel_tol: float = 0.0,
    timeout_s: float = 1.0,
    **verl_arguments: object,
) -> dict[str, float | str]:
    """The shaped reward of one response; the defaults are the published weights.

    Args:
        data_source: the data set's name; not used.
        solution_str: the response. Hostile: it is read, never evaluated.
        ground_truth: the accepted answer, or a list of accepted answers.
        extra_info: `options` as in `math_reward`.
        calibrated: four tags and the Brier term; else two tags.
        think_in_prompt: the chat template has already written `<think>`, so the response begins behind it.
        correctness_weight, number_weight, format_weight: for a right answer, a number in it, the strict
            format.
        tag_weight: for each opening and each closing tag that occurs once.
        trailing_penalty, max_trailing_penalty: taken off for each character after the last tag, and at most.
        arithmetic, arithmetic_weight, max_arithmetic_claims: whether different true claims such as `3 * 4 =
            12` pay, how much each, and how many at most. In a wrong answer they pay only what keeps its
            sum below `correctness_weight`, the least that a right answer gets.
        brier_weight: for 1 - (confidence - correct)^2.
        missing_confidence: what to assume where none is stated; None pays nothing (published: 0.5).
        last_number, rel_tol, timeout_s: as in `math_reward`.

    Returns:
        score (the sum of the weighted components), acc, pred, the components correctness, number_present,
        strict_format, tag_count, arithmetic and calibration, then confidence (0 if none), confidence_given,
        answer_found, symbolic and timeout. The same keys for every response and mode.

    Raises:
        ValueError: an unknown or impossible setting, or a ground truth that cannot be read.
    """
    flags = {
        "calibrated": calibrated,
        "think_in_prompt": think_in_prompt,
        "arithmetic": arithmetic,
        "last_number": last_number,
    }
    weights = {
        "correctness_weight": correctness_weight,
        "number_weight": number_weight,
        "format_weight": format_weight,
        "tag_weight": tag_weight,
        "trailing_penalty": trailing_penalty,
        "max_trailing_penalty": max_trailing_penalty,
        "arithmetic_weight": arithmetic_weight,
        "max_arithmetic_claims": max_arithmetic_claims,
        "brier_weight": brier_weight,
    }
    others = {"missing_confidence": missing_confidence, "rel_tol": rel_tol, "timeout_s": timeout_s}
    reject_unknown("calibrated_reward", verl_arguments, flags | weights | others)
    for name, flag in flags.items():
        check_flag(f"calibrated_reward: {name}", flag)
    for name, weight in weights.items():
        check_number(f"calibrated_reward: {name}", weight, low=0.0)
    check_number("calibrated_reward: rel_tol", rel_tol, low=0.0, high=1.0)
    check_number("calibrated_reward: timeout_s", timeout_s, low=0.01, high=60.0)
    if missing_confidence is not None:
        check_number("calibrated_reward: missing_confidence", missing_confidence, low=0.0, high=1.0)

    response = "<think>" + solution_str if think_in_prompt else solution_str
    grade = grade_response(
        response, ground_truth, extra_info, last_number=last_number, rel_tol=rel_tol, engine_seconds=timeout_s
    )
    correct = float(grade.correct)
    tags = format_tags(calibrated)
    penalty = min(trailing_penalty * trailing_chars(response, tags), max_trailing_penalty)
    stated = stated_confidence(response) if calibrated else None
    confidence = missing_confidence if stated is None else stated
    brier = 1.0 - (confidence - correct) ** 2 if calibrated and confidence is not None else 0.0
    components = {
        "correctness": correctness_weight * correct,
        "number_present": number_weight * (not _DIGITS.isdisjoint(tag_content(response, "answer") or "")),
        "strict_format": format_weight * is_strict(response, tags),
        "tag_count": max(tag_weight * tags_once(response, tags) - penalty, 0.0),
        "arithmetic": 0.0,
        "calibration": brier_weight * brier,
    }
    if arithmetic:
        claims = min(true_claims(response), max_arithmetic_claims)
        room = math.inf if correct else correctness_weight - sum(components.values())
        components["arithmetic"] = arithmetic_weight * paid_claims(claims, arithmetic_weight, room)
    return {
        "score": float(sum(components.values())),
        "acc": correct,
        "pred": grade.pred,
        **{name: float(value) for name, value in components.items()},
        "confidence": float(stated or 0.0),
        "confidence_given": float(stated is not None),
        "answer_found": float(grade.source != "none"),
        "symbolic": float(grade.engine_asked),
        "timeout": float(grade.timed_out),
    }
