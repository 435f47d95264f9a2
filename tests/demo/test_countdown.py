"""Countdown: problems have answers, the verifier pays for them alone, and held-out problems stay out."""

import random
from fractions import Fraction
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amir_verl.demo import countdown
from amir_verl.demo.model import START
from amir_verl.demo.words import build_word_tokenizer, make_countdown, word_ids

PROBLEM = countdown.Problem((3, 7, 12, 5), 28)


def infix_value(expression: str) -> Fraction:
    """An oracle of its own: postfix to nested brackets, worked from the outside in."""
    words = expression.split()

    def tree() -> Fraction:
        word = words.pop()
        if word not in countdown.OPERATORS:
            return Fraction(word)
        right, left = tree(), tree()
        return {"+": left + right, "-": left - right, "*": left * right}[word]

    total = tree()
    assert not words
    return total


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_every_demonstration_is_right_and_not_held_out(seed, numbers):
    for problem, answer in islice(countdown.demonstrations(seed, numbers=numbers), 5):
        assert problem.is_right(answer)
        assert infix_value(answer) == problem.target
        assert not problem.held_out
        assert len(answer.split()) + 1 == countdown.response_tokens(numbers)
        assert 1 <= problem.target <= countdown.LARGEST_TARGET


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_value_is_the_oracles_for_every_expression(seed):
    rng = random.Random(seed)
    numbers = tuple(rng.randint(1, 12) for _ in range(rng.randint(2, 5)))
    expression = countdown.random_expression(rng, numbers)
    assert countdown.value(expression, numbers) == infix_value(expression)


@pytest.mark.parametrize(
    "response, found",
    [
        ("12 5 - 3 * 7 +", 28),
        ("  12 5 -\n3 * 7 + ", 28),
        ("3 7 12 5 + + +", 27),
        ("3 7 + 12 + 5", None),  # a value is left over
        ("+ 3 7 12 5 + +", None),  # an operator without values
        ("12 5 - 3 * 3 +", None),  # a number twice, another not at all
        ("12 5 - 3 *", None),  # not all numbers
        ("12 5 - 3 * 7 + 0 +", None),
        ("12 5 - 3 / 7 +", None),
        ("12 5 - 03 * 7 +", None),
        ("12 5 - ٣ * 7 +", None),  # Python would read this digit
        ("28", None),
        ("", None),
        ("__import__('os') 5 - 3 * 7 +", None),
        ("12 5 - 3 * 7 + " * 10**5, None),
        (" " * 10**6 + "12 5 - 3 * 7 +", None),
    ],
)
def test_a_response_is_worth_its_value_or_nothing(response, found):
    assert countdown.value(response, PROBLEM.numbers) == found
    verdict = countdown.compute_score("countdown", response, PROBLEM.question)
    assert verdict == {
        "score": float(found == 28),
        "acc": int(found == 28),
        "pred": "" if found is None else str(found),
    }


def test_the_order_of_the_numbers_does_not_move_a_problem_across_the_split():
    for problem in countdown.problems(0, 200):
        assert countdown.Problem(problem.numbers[::-1], problem.target).held_out == problem.held_out


def test_training_and_held_out_problems_do_not_meet():
    training = {(tuple(sorted(p.numbers)), p.target) for p in countdown.problems(1, 500)}
    held_out = {(tuple(sorted(p.numbers)), p.target) for p in countdown.problems(1, 500, held_out=True)}
    assert len(held_out) > 400
    assert not training & held_out


def test_problems_follow_from_the_seed_and_differ_between_seeds():
    assert countdown.problems(3, 50) == countdown.problems(3, 50)
    assert countdown.problems(3, 50) != countdown.problems(4, 50)
    assert len(set(countdown.problems(3, 500))) == 500


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 numbers"):
        next(countdown.demonstrations(0, numbers=1))
    with pytest.raises(ValueError, match="ground_truth"):
        countdown.compute_score("countdown", "1", "24")


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
def test_the_tokenizer_that_verl_and_vllm_load_has_a_token_a_word_and_gives_the_text_back(
    tmp_path, architecture
):
    """AutoTokenizer makes a tokenizer of its own for some architectures, Qwen2 among them."""
    from transformers import AutoTokenizer

    make_countdown(tmp_path, seed=0, steps=0, architecture=architecture)
    for tokenizer in (build_word_tokenizer(countdown.WORDS), AutoTokenizer.from_pretrained(tmp_path)):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": PROBLEM.question}], add_generation_prompt=True, tokenize=False
        )
        ids, known = tokenizer(prompt)["input_ids"], word_ids(tokenizer)
        assert ids == [known[word] for word in (*PROBLEM.question.split(), START)]
        assert len(tokenizer.encode("\n", add_special_tokens=False)) == 1
        answer = [known[word] for word in ["12", "5", "-", "3", "*", "7", "+"]]
        text = tokenizer.decode([*answer, tokenizer.eos_token_id], skip_special_tokens=True)
        assert text.strip() == "12 5 - 3 * 7 +"
        assert tokenizer(text)["input_ids"] == answer


def test_a_model_folder_is_written_that_answers(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make_countdown(tmp_path, seed=0, steps=2)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert sum(p.numel() for p in model.parameters()) < 2e6
    ids = torch.tensor([tokenizer(f" {PROBLEM.question}{START}")["input_ids"]])
    assert model(input_ids=ids).logits.shape[-1] == len(tokenizer)
