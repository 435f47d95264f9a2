"""Supervised warm-up: teach a tiny model the format and the sums, beginner's mistakes included.

Shape suffixes: _B demonstrations of a batch, _T tokens.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import trange
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from amir_verl.demo.arithmetic import Sum, sums


def chat_prompt(tokenizer: PreTrainedTokenizerFast, question: str) -> str:
    """The question as the rollout engine will see it."""
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
    )


def warm_up(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    difficulty: str,
    forgets_carry: float,
    steps: int,
    carry_share: float = 0.5,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    without: frozenset[Sum] = frozenset(),
    seed: int = 0,
) -> None:
    """Train on demonstrations; a share `forgets_carry` of them leaves the carry out.

    The model then knows how to add but usually answers like its teacher: right if nothing is carried, and in
    about 1 - forgets_carry of the samples otherwise (`carry_share` of the problems). Problems in `without`
    are never shown.
    """
    rng = random.Random(seed)
    problems = sums(difficulty, seed=seed, carry_share=carry_share)
    stream = (problem for problem in problems if problem not in without)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    progress = trange(steps, desc="warm-up", mininterval=2.0)
    for _ in progress:
        texts = []
        for _ in range(batch_size):
            problem = next(stream)
            worked = problem.worked(carry=rng.random() >= forgets_carry)
            texts.append((chat_prompt(tokenizer, problem.question), worked + tokenizer.eos_token))
        input_BT, label_BT, mask_BT = _batch(tokenizer, texts)
        loss = model(input_ids=input_BT, attention_mask=mask_BT, labels=label_BT).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)


def _batch(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[tuple[str, str]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, labels (only on the response) and attention mask, each (B, T), padded on the right."""
    rows = []
    for prompt, response in texts:
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        rows.append((prompt_ids, tokenizer(response, add_special_tokens=False)["input_ids"]))
    width = max(len(prompt) + len(response) for prompt, response in rows)
    input_BT = torch.full((len(rows), width), tokenizer.pad_token_id)
    label_BT = torch.full((len(rows), width), -100)
    mask_BT = torch.zeros((len(rows), width), dtype=torch.long)
    for row, (prompt, response) in enumerate(rows):
        both = len(prompt) + len(response)
        input_BT[row, :both] = torch.tensor(prompt + response)
        label_BT[row, len(prompt) : both] = torch.tensor(response)
        mask_BT[row, :both] = 1
    return input_BT, label_BT, mask_BT
