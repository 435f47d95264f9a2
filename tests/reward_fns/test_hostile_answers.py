"""Hostile responses: nothing raises, hangs, is executed, or grows, in whatever thread."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_fns import calibrated_reward, math_reward
from reward_fns.symbolic_engine import ENGINE

MEGABYTE = 10**6
GOLDS = ["18", "\\frac{x+1}{2}", "B", "(1,2]", "no solution"]
TIMEOUT = 0.3

RESPONSES = {
    "tower": "\\boxed{9**9**9**9}",
    "LaTeX tower": "\\boxed{9^{9^{9^{9}}}}",
    "factorials": "\\boxed{((10!)!)!}",
    "deep fractions": "\\boxed{" + "\\frac{" * 400 + "1" + "}{2}" * 400 + "}",
    "fractions": "\\boxed{" + "\\frac{" * 20 + "1" + "}{x}" * 20 + "}",
    "parentheses": "\\boxed{" + "(" * 900 + "1" + ")" * 900 + "}",
    "binomial": "\\boxed{\\binom{10^{9}}{5\\cdot 10^{8}}}",
    "expansion": "\\boxed{(x+y+z+w)^{200}}",
    "sum": "\\boxed{\\sum_{n=1}^{10^{10}} \\sin(n)^{n}}",
    "digits": "\\boxed{" + "9" * MEGABYTE + "}",
    "bare digits": "9" * MEGABYTE,
    "exponent": "\\boxed{1e999999999}",
    "boxes": "\\boxed{" * (MEGABYTE // 7),
    "box commands": "\\boxed" * (MEGABYTE // 6),
    "answers": "<answer>" * (MEGABYTE // 8),
    "thoughts": "<think>" * (MEGABYTE // 7),
    "analyses": "<analysis>" * (MEGABYTE // 10),
    "confidences": "<confidence>" * (MEGABYTE // 12) + "1</confidence>",
    "equations": "1+1=" * (MEGABYTE // 4),
    "claims": "1+1=2 " * (MEGABYTE // 6),
    "hashes": "#### " * (MEGABYTE // 5),
    "phrases": "the answer is " * (MEGABYTE // 14),
    "phrase and space": "answer" + " " * MEGABYTE + "is",
    "labels": "\nA:" * (MEGABYTE // 3),
    "dollars": "The answer is " + "$" * MEGABYTE,
    "stars": "answer is " + "* " * (MEGABYTE // 2),
    "commas": "111," * (MEGABYTE // 4),
    "slashes": "1/" * (MEGABYTE // 2),
    "spaces": " " * MEGABYTE,
    "newlines": "\n" * MEGABYTE,
    "backslashes": "\\" * MEGABYTE,
    "list": "\\boxed{" + "1," * 990 + "}",
    "letters": "\\boxed{" + "a " * 900 + "!}",
    "assignments": "\\boxed{" + "x=" * 900 + "1}",
    "roots": "\\boxed{" + "\\sqrt" * 300 + "2}",
    "texts": "\\boxed{" + "\\text{" * 300 + "}" * 300 + "}",
    "matrix": "\\boxed{\\begin{pmatrix}" + "1&" * 900 + "1\\end{pmatrix}}",
    "control bytes": "\\boxed{" + "".join(map(chr, range(32))) * 20 + "7}",
    "surrogate": "\\boxed{\ud800 7}",
    "unbalanced tags": "</answer><answer></think><answer></confidence><analysis>",
    "import": "\\boxed{__import__('os').mkdir('reward_was_evaluated')}",
    "format string": "\\boxed{%s%n{0}{x.__class__}}",
}


@pytest.mark.parametrize("name", RESPONSES)
def test_hostile_response_is_wrong_and_harmless_in_a_thread(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = []

    def score_all():
        for gold in GOLDS:
            results.append(math_reward.compute_score("test", RESPONSES[name], gold, timeout_s=TIMEOUT))
            results.append(
                calibrated_reward.compute_score(
                    "test", RESPONSES[name], gold, arithmetic=True, timeout_s=TIMEOUT
                )
            )

    thread = threading.Thread(target=score_all)
    thread.start()
    thread.join(60.0)
    assert not thread.is_alive()
    assert [result["acc"] for result in results] == [0.0] * 2 * len(GOLDS)
    assert all(len(result["pred"]) <= 200 for result in results)
    assert os.listdir(tmp_path) == []


def test_memory_stays_below_a_gigabyte():
    # In a process of its own: this one may already hold torch and more. `ru_maxrss` of that process would
    # still count it, because Linux carries a process's peak over exec; VmHWM starts anew with the program.
    program = f"""
import resource, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from reward_fns import math_reward
from reward_fns.symbolic_engine import ENGINE
from test_hostile_answers import GOLDS, RESPONSES
for response in RESPONSES.values():
    math_reward.compute_score("test", response, GOLDS[1], timeout_s=0.1)
ENGINE.close()
own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    own, workers = map(int, output.stdout.split())
    assert own * 1024 < 10**9
    assert workers * 1024 < 10**9


# sympy takes more than three times TIMEOUT for each; no power, factorial or bound in them is large.
ENDLESS = [
    "\\int_0^1 \\sin(x^x) dx",
    "\\int_0^{\\infty} \\frac{\\sin(x^x)}{x+1} dx",
    "\\prod_{k=1}^{200} (x+k)^{k}",
]


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_endless_answer_is_wrong_and_counted(answer):
    result = math_reward.compute_score("test", f"\\boxed{{{answer}}}", "7", timeout_s=TIMEOUT)
    assert (result["acc"], result["symbolic"], result["timeout"]) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "answer",
    [
        "9^{9^{9^{9}}}",
        "9**9**9**9",
        "((10!)!)!",
        "10^{10^{10}}",
        "\\binom{10^{9}}{5\\cdot 10^{8}}",
        "2^{99999999}",
        "(x+y+z+w)^{200}",
        "\\sum_{n=1}^{10^{10}} \\sin(n)^{n}",
        "\\prod_{k=1}^{90000} (x+k)",
        "99999!",
        "x!!!!",
    ],
)
def test_a_huge_answer_is_refused_by_its_size_before_the_engine(answer, monkeypatch):
    def fail(*_):
        raise AssertionError("the engine was asked")

    monkeypatch.setattr(ENGINE, "equal", fail)
    for gold in GOLDS:
        result = math_reward.compute_score("test", f"\\boxed{{{answer}}}", gold)
        assert (result["acc"], result["timeout"]) == (0.0, 0.0)


def test_a_pool_of_threads_full_of_endless_answers_comes_to_an_end():
    right = ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}")

    def score(k):
        gold, answer = ("x", ENDLESS[0]) if k % 2 else right
        return math_reward.compute_score(
            "test", f"\\boxed{{{answer}}}", gold, timeout_s=1.0 if k % 2 else 30.0
        )

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(score, range(16)))
    assert [result["timeout"] for result in results] == [0.0, 1.0] * 8
    assert [result["acc"] for result in results] == [1.0, 0.0] * 8


def test_one_response_has_one_clock_for_all_its_questions():
    answer = ", ".join(f"\\int_0^1 \\sin({k}x^x) dx" for k in range(2, 12))
    gold = ", ".join(f"f(x^{{{k}}})" for k in range(2, 12))
    math_reward.compute_score(
        "test", f"\\boxed{{{ENDLESS[0]}}}", "x", timeout_s=TIMEOUT
    )  # the engine has started
    start = time.monotonic()
    result = math_reward.compute_score("test", f"\\boxed{{{answer}}}", gold, timeout_s=0.5)
    assert (result["acc"], result["timeout"]) == (0.0, 1.0)
    assert time.monotonic() - start < 30.0  # 100 questions at half a second each would take longer


PIECES = st.sampled_from(
    [
        "\\boxed{",
        "}",
        "{",
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "<confidence>",
        "</confidence>",
        "####",
        "$",
        "\\(",
        "\\frac",
        "{1}{2}",
        "\\sqrt",
        "\\text{",
        "^",
        "_",
        "(",
        ")",
        "[",
        "]",
        ",",
        " or ",
        "\\pm",
        "&",
        "answer is ",
        "A:",
        "B)",
        "1",
        "18",
        "-",
        "+",
        "=",
        "%",
        "x",
        "\\pi",
        "\n",
        " ",
        ".",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "\\\\",
        "\\cup",
        "\\infty",
        "e9",
        "10^",
        "\x00",
        "\u0661",
        "\uff11",
        "\u00b2",
        "\ud800",
    ]
)
HOSTILE = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    response=HOSTILE, gold=st.sampled_from([*GOLDS, "\\{1,2\\}", "x=3", "50\\%"]), calibrated=st.booleans()
)
def test_any_text_gets_a_score_between_the_bounds(response, gold, calibrated):
    result = calibrated_reward.compute_score(
        "test", response, gold, calibrated=calibrated, arithmetic=True, timeout_s=TIMEOUT
    )
    assert -0.1 <= result["score"] <= 2.0 + 0.2 + 0.5 + 0.2 + 1.0 + 1.0
    assert result["acc"] in (0.0, 1.0)
    components = ("correctness", "number_present", "strict_format", "tag_count", "arithmetic", "calibration")
    assert result["score"] == pytest.approx(sum(result[name] for name in components))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=HOSTILE)
def test_the_gold_answer_may_be_any_text_too(answer):
    result = math_reward.compute_score("test", "\\boxed{18}", answer, timeout_s=TIMEOUT)
    assert result["acc"] in (0.0, 1.0)
