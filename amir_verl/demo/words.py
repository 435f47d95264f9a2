"""Tiny models whose vocabulary is a task's words, one token each: an answer is a few tokens long.

The folder is an ordinary Hugging Face one, which verl trains and vLLM samples.
Shape suffixes: _B demonstrations of a batch, _T tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from amir_verl.demo import countdown
from amir_verl.demo.model import END, PAD, START, build_model, save_model

NEWLINE = "\n"  # verl asks that Qwen's newline be one token (verl/utils/tokenizer/continuous_token.py:556)
# No role and no end after a question: at this size every token of a prompt costs as much as one of an answer.
CHAT_TEMPLATE = (
    "{% for message in messages %} {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
HIDDEN_SIZE, LAYERS = 96, 3


def build_word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token a word and the space before it.

    The words are added tokens: for a Qwen2 model AutoTokenizer builds a byte-pair tokenizer whatever the
    folder holds (transformers 5.10, auto/tokenization_auto.py:350), and keeps nothing but those. Other words
    are left out of a text.
    """
    special = [PAD, END, START]
    core = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(special)}, merges=[]))
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    plain = [NEWLINE, *(f" {word}" for word in words)]
    core.add_tokens([AddedToken(token, normalized=False, special=False) for token in plain])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def word_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Word, without its space, to token."""
    return {word.strip(): index for word, index in tokenizer.get_vocab().items()}


def warm_up_on(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    demonstrations: Iterator[tuple[str, str]],
    *,
    steps: int,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Supervised training on question and response, both texts; the loss counts the response and its end.

    `report` is called with the step and the loss every 100 steps.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    ids = word_ids(tokenizer)
    start, end = ids[START], ids[END]
    model.train()
    for step in range(steps):
        rows = []
        for _ in range(batch_size):
            question, response = next(demonstrations)
            prompt = [*(ids[word] for word in question.split()), start]
            rows.append((prompt, [*(ids[word] for word in response.split()), end]))
        width = max(len(prompt) + len(response) for prompt, response in rows)
        token_BT = torch.full((batch_size, width), ids[PAD])
        label_BT = torch.full((batch_size, width), -100)
        for row, (prompt, response) in enumerate(rows):
            both = len(prompt) + len(response)
            token_BT[row, :both] = torch.tensor(prompt + response)
            label_BT[row, len(prompt) : both] = torch.tensor(response)
        logits_BTV = model(input_ids=token_BT).logits[:, :-1]  # padding on the right needs no mask
        loss = cross_entropy(logits_BTV.flatten(0, 1), label_BT[:, 1:].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if report is not None and step % 100 == 0:
            report(step, loss.item())


def make_countdown(
    folder: str | Path,
    *,
    seed: int,
    numbers: int = countdown.NUMBERS,
    steps: int = 500,
    architecture: str = "qwen2",
    hidden_size: int = HIDDEN_SIZE,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Write a model that answers countdown with valid expressions of which about one in ten is right: 240
    thousand parameters, warmed up on random right answers to problems that are not held out.
    """
    tokenizer = build_word_tokenizer(countdown.WORDS)
    model = build_model(architecture, tokenizer, hidden_size=hidden_size, layers=LAYERS, seed=seed)
    stream = countdown.demonstrations(seed, numbers=numbers)
    texts = ((problem.question, response) for problem, response in stream)
    if steps:
        warm_up_on(model, tokenizer, texts, steps=steps, batch_size=128, learning_rate=3e-3, report=report)
    save_model(model, tokenizer, folder)
