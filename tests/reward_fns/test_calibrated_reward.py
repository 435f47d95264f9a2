"""The shaped reward: each component on a worked example, the two formats, and the settings."""

import inspect

import pytest

from reward_fns.calibrated_reward import compute_score
from reward_fns.prompts import SYSTEM_PROMPTS
from reward_fns.response_format import CALIBRATED_TAGS, PLAIN_TAGS, is_strict, stated_confidence

PLAIN = "<think>\n3 * 4 = 12\n</think>\n<answer>\n12\n</answer>"
CALIBRATED = PLAIN + "\n<analysis>\nOne product, checked.\n</analysis>\n<confidence>\n0.9\n</confidence>"
COMPONENTS = ("correctness", "number_present", "strict_format", "tag_count", "arithmetic", "calibration")


def components(response, gold="12", **settings):
    result = compute_score("test", response, gold, **settings)
    assert result["score"] == pytest.approx(sum(result[name] for name in COMPONENTS))
    return {name: pytest.approx(result[name]) for name in COMPONENTS}


def test_a_perfect_calibrated_response():
    expected = {"correctness": 2.0, "number_present": 0.2, "strict_format": 0.5, "tag_count": 0.2}
    assert components(CALIBRATED) == expected | {"arithmetic": 0.0, "calibration": 0.99}
    assert compute_score("test", CALIBRATED, "12")["score"] == pytest.approx(3.89)


def test_a_perfect_plain_response():
    expected = {"correctness": 2.0, "number_present": 0.2, "strict_format": 0.5, "tag_count": 0.1}
    assert components(PLAIN, calibrated=False) == expected | {"arithmetic": 0.0, "calibration": 0.0}


def test_a_wrong_answer_keeps_its_form_and_loses_by_its_confidence():
    expected = {"correctness": 0.0, "number_present": 0.2, "strict_format": 0.5, "tag_count": 0.2}
    assert components(CALIBRATED, gold="13") == expected | {"arithmetic": 0.0, "calibration": 1 - 0.81}


@pytest.mark.parametrize(
    ("confidence", "right", "wrong"),
    [("1", 1.0, 0.0), ("0.5", 0.75, 0.75), ("0", 0.0, 1.0), (".25", 0.4375, 0.9375)],
)
def test_brier_term(confidence, right, wrong):
    response = CALIBRATED.replace("0.9", confidence)
    assert components(response)["calibration"] == right
    assert components(response, gold="13")["calibration"] == wrong


@pytest.mark.parametrize(
    "confidence", ["", "high", "90%", "1.2", "-0.1", "0.5 or 0.9", "1e-1", "nan", "\u0661"]
)
def test_an_unreadable_confidence_pays_nothing_unless_one_is_assumed(confidence):
    response = CALIBRATED.replace("0.9", confidence)
    result = compute_score("test", response, "12")
    assert (result["calibration"], result["confidence"], result["confidence_given"]) == (0.0, 0.0, 0.0)
    assert result["strict_format"] == 0.0
    assert components(response, missing_confidence=0.5)["calibration"] == 0.75


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (CALIBRATED, 0.2),
        (CALIBRATED + "\nDone", 0.2 - 0.004),
        (CALIBRATED + "x" * 5000, 0.2 - 0.1),
        (CALIBRATED + "\n  \n", 0.2),
        (CALIBRATED.replace("<think>", ""), 0.175),
        (CALIBRATED + "<answer>", 0.175 - 0.008),
        (PLAIN, 0.1),
        ("12", 0.0),
    ],
)
def test_tag_count_and_trailing_text(response, expected):
    assert components(response)["tag_count"] == expected


@pytest.mark.parametrize(
    ("response", "strict"),
    [
        (CALIBRATED, True),
        ("  \n" + CALIBRATED + "\n", True),
        (CALIBRATED.replace("\n", ""), True),
        ("Well: " + CALIBRATED, False),
        (CALIBRATED + ".", False),
        (PLAIN, False),
        (CALIBRATED.replace("\n12\n", " "), False),
        (CALIBRATED.replace("answer>", "Answer>"), False),
        (CALIBRATED + CALIBRATED, False),
        (CALIBRATED.replace("</think>\n", "</think> so "), False),
        (CALIBRATED.replace("</think>\n<answer>", "<answer></think>"), False),
    ],
)
def test_strict_calibrated_format(response, strict):
    assert is_strict(response, CALIBRATED_TAGS) == strict


def test_a_chat_template_may_have_opened_the_thought():
    response = CALIBRATED.removeprefix("<think>")
    assert components(response)["strict_format"] == 0.0
    assert components(response, think_in_prompt=True) == components(CALIBRATED)


def test_arithmetic_pays_when_asked_for_and_repetition_does_not():
    many = CALIBRATED.replace("3 * 4 = 12", " ".join(f"{k} + 1 = {k + 1}," for k in range(1, 30)))
    same = CALIBRATED.replace("3 * 4 = 12", "1 + 1 = 2, " * 30)
    assert components(CALIBRATED)["arithmetic"] == 0.0
    assert components(CALIBRATED, arithmetic=True)["arithmetic"] == 0.1
    assert components(many, arithmetic=True)["arithmetic"] == 1.0
    assert components(many, arithmetic=True, max_arithmetic_claims=20)["arithmetic"] == 2.0
    assert components(same, arithmetic=True)["arithmetic"] == 0.1


def test_a_claim_that_is_respelled_or_trivial_does_not_pay_again():
    spelled = CALIBRATED.replace("3 * 4 = 12", "1+1=2, 1+1=2.0, 01+1=2, (1+1)=2, 5+0=5, 7*1=7, 3-3=0")
    assert components(spelled, arithmetic=True)["arithmetic"] == 0.1


def test_a_wrong_answer_with_arithmetic_stays_below_every_right_answer():
    claims = " ".join(f"{k} * 7 = {7 * k}," for k in range(2, 80))
    for confidence in ("0", "0.3", "0.9", "1", "none"):
        for bonus in (10, 78):
            response = CALIBRATED.replace("3 * 4 = 12", claims).replace("0.9", confidence)
            wrong = compute_score("test", response, "13", arithmetic=True, max_arithmetic_claims=bonus)
            assert wrong["acc"] == 0.0
            assert wrong["score"] < 2.0
            assert wrong["score"] == pytest.approx(sum(wrong[name] for name in COMPONENTS))
    # The least that a right answer gets: no form at all, the longest text behind a tag that stands twice.
    for worst in ("12", "\\boxed{12}</confidence></confidence>" + "x" * 5000):
        assert compute_score("test", worst, "12", arithmetic=True)["score"] >= 2.0
    honest = CALIBRATED.replace("3 * 4 = 12", claims)
    assert components(honest, gold="13", arithmetic=True)["arithmetic"] == 0.9  # 1.09 + 0.9 < 2
    assert components(honest, arithmetic=True)["arithmetic"] == 1.0


def test_without_arithmetic_a_wrong_answer_earns_its_form_and_its_doubt():
    # The paper's sum: confidence 0 on a wrong answer is honest, and the Brier term pays it in full.
    doubtful = compute_score("test", CALIBRATED.replace("0.9", "0"), "13")
    assert (doubtful["calibration"], doubtful["score"]) == (1.0, pytest.approx(1.9))


def test_a_right_answer_outside_the_tags_is_right_but_has_no_form():
    expected = dict.fromkeys(COMPONENTS, 0.0) | {"correctness": 2.0}
    assert components("The answer is 12.") == expected


def test_weights_are_settings():
    weights = {"correctness_weight": 1.0, "number_weight": 0.0, "format_weight": 0.0, "tag_weight": 0.0}
    assert compute_score("test", CALIBRATED, "12", brier_weight=0.0, **weights)["score"] == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"corectness_weight": 1.0},
            "calibrated_reward: unknown setting 'corectness_weight'; settings are arith",
        ),
        ({"correctness_weight": "2"}, "calibrated_reward: correctness_weight must be a number, not '2'"),
        ({"tag_weight": -1.0}, "calibrated_reward: tag_weight must be between 0 and inf, not -1"),
        ({"calibrated": "yes"}, "calibrated_reward: calibrated must be true or false, not 'yes'"),
        ({"missing_confidence": 2}, "calibrated_reward: missing_confidence must be between 0 and 1, not 2"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings, message):
    with pytest.raises(ValueError) as error:
        compute_score("test", CALIBRATED, "12", **settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_same_plain_keys_in_both_modes():
    responses = ["", PLAIN, CALIBRATED, "\x00<confidence>2</confidence>"]
    results = [
        compute_score("test", text, "12", calibrated=mode) for text in responses for mode in (True, False)
    ]
    assert len({tuple(result) for result in results}) == 1
    assert set(results[0]) == {"score", "acc", "pred", *COMPONENTS} | {
        "confidence",
        "confidence_given",
        "answer_found",
        "symbolic",
        "timeout",
    }
    assert {type(value) for result in results for value in result.values()} == {float, str}


@pytest.mark.parametrize(("name", "tags"), [("plain", PLAIN_TAGS), ("calibrated", CALIBRATED_TAGS)])
def test_the_system_prompts_show_the_format_that_is_paid(name, tags):
    prompt = SYSTEM_PROMPTS[name]
    shown = prompt[prompt.index("<think>") :]
    if name == "calibrated":
        shown = shown[: shown.index("<confidence>")] + "<confidence>0.5</confidence>"
    assert is_strict(shown, tags)
    assert set(SYSTEM_PROMPTS) == {"plain", "calibrated"}


def test_confidence_of_the_last_block_counts():
    assert stated_confidence("<confidence>0.1</confidence> <confidence>0.8</confidence>") == 0.8


def test_verl_loads_the_file_by_its_path():
    trainer = pytest.importorskip("verl.trainer.ppo.reward")
    from omegaconf import OmegaConf

    custom = {"path": inspect.getfile(compute_score), "name": "compute_score"}
    custom["reward_kwargs"] = {"calibrated": False, "correctness_weight": 1.0}
    reward = trainer.get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": custom}}))
    result = reward(data_source="gsm8k", solution_str=PLAIN, ground_truth="12", extra_info=None)
    assert result["score"] == pytest.approx(1.0 + 0.2 + 0.5 + 0.1)
