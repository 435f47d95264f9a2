"""The grade of one response: its answer, and whether that is one of the accepted ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from reward_fns.answer_equality import answers_equal
from reward_fns.answer_extraction import NO_ANSWER, ExtractedAnswer, extract_answer, visible_part
from reward_fns.answer_phrase import sentence_of_phrase
from reward_fns.answer_text import canonical_text, clean_answer, plain_words
from reward_fns.comparison import Comparison
from reward_fns.exact_number import read_number
from reward_fns.multiple_choice import gold_letter, letter_of_last_sentence, named_letter, options_of
from reward_fns.symbolic_engine import EngineTime

# For the log and for majority votes; a longer answer is not a key.
MAX_PRED_CHARS = 200


@dataclass(frozen=True)
class Grade:
    """Verdict, answer in a common spelling ("" if there is none), where it stood, and what the engine did."""

    correct: bool
    pred: str
    source: str
    engine_asked: bool
    timed_out: bool


def accepted_answers(ground_truth: object) -> list[str]:
    """The accepted answers of a row: a string or number, a list of them, or a JSON list in a string.

    Raises:
        ValueError: there is none, or one is neither a string nor a number.
    """
    if hasattr(ground_truth, "tolist"):  # parquet lists arrive as arrays
        ground_truth = ground_truth.tolist()
    if isinstance(ground_truth, str) and ground_truth.lstrip().startswith('["'):
        try:
            ground_truth = json.loads(ground_truth)
        except json.JSONDecodeError:
            ground_truth = [ground_truth]
    answers = list(ground_truth) if isinstance(ground_truth, list | tuple) else [ground_truth]
    if not answers or any(
        isinstance(gold, bool) or not isinstance(gold, str | int | float) for gold in answers
    ):
        raise ValueError(
            f"ground_truth must be a string, a number or a list of them, not {ground_truth!r:.80}"
        )
    return [str(gold).encode("utf-8", "replace").decode() for gold in answers]


def grade_response(
    response: str,
    ground_truth: object,
    extra_info: Mapping | None = None,
    *,
    last_number: bool = True,
    rel_tol: float = 0.0,
    require_value: bool = False,
    engine_seconds: float = 1.0,
) -> Grade:
    """Extract the answer of a response and compare it with the accepted ones.

    `engine_seconds` is what the symbolic engine may take for this response in all; then the answer is wrong
    and `timed_out` is set. `extra_info["options"]` lets a multiple-choice answer quote the option instead of
    the letter.

    Raises:
        ValueError: the row's ground truth or options cannot be read.
    """
    golds, options = accepted_answers(ground_truth), options_of(extra_info)
    letters = {gold_letter(gold) for gold in golds} - {None}
    extracted = extract_answer(response, last_number=last_number and not letters)
    if extracted.source == "none" and letters:
        extracted = _letter_at_the_end(response)
    engine_time = EngineTime(engine_seconds)
    comparison = Comparison(engine_time, rel_tol, require_value)
    letter = named_letter(extracted.text) if letters or options else None
    quotes = [extracted.text]
    if options and extracted.source == "phrase":
        quotes.append(sentence_of_phrase(visible_part(response)))
    if extracted.source == "none":
        correct = False
    elif letters:
        correct = letter in letters if letter else _quotes_option(letters, options, quotes, comparison)
    else:
        text = options.get(letter, extracted.text) if letter else extracted.text
        correct = _any_equal(golds, text, comparison)
    pred = letter or _common_spelling(extracted.text)
    return Grade(correct, pred, extracted.source, engine_time.asked, engine_time.gave_up and not correct)


def _any_equal(golds: list[str], answer: str, comparison: Comparison) -> bool:
    return any(answers_equal(gold, answer, comparison) for gold in golds)


def _quotes_option(
    letters: set[str], options: dict[str, str], quotes: list[str], comparison: Comparison
) -> bool:
    """Whether an answer is the text of a right option, and not word for word that of a wrong one.

    `quotes` are the answer and the sentence it stands in, of which either may be the option.
    """
    texts = {canonical_text(clean_answer(quote)) for quote in quotes} - {""}
    verbatim = {letter for letter, option in options.items() if canonical_text(clean_answer(option)) in texts}
    if verbatim:
        return not verbatim.isdisjoint(letters)
    return _any_equal([options[gold] for gold in letters if gold in options], quotes[0], comparison)


def _letter_at_the_end(response: str) -> ExtractedAnswer:
    """A last line or sentence that chooses a letter, as small models answer a multiple-choice question."""
    letter = letter_of_last_sentence(visible_part(response))
    return ExtractedAnswer(letter, "letter") if letter else NO_ANSWER


def _common_spelling(answer: str) -> str:
    clean = clean_answer(answer)
    number = read_number(clean)
    spelling = str(number) if number else plain_words(clean) or canonical_text(clean)
    return spelling[:MAX_PRED_CHARS]
