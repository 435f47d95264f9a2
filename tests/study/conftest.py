"""A small policy of countdown's, not warmed up: it answers with any words."""

import pytest

from amir_verl.demo import countdown
from amir_verl.demo.model import build_model
from amir_verl.demo.words import build_word_tokenizer, word_ids
from benchmarks.study.policy import Policy


@pytest.fixture
def policy() -> Policy:
    tokenizer = build_word_tokenizer(countdown.WORDS)
    model = build_model("qwen2", tokenizer, hidden_size=32, layers=2, seed=0)
    return Policy(model, word_ids(tokenizer))
