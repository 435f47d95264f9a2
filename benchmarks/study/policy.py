"""A small causal language model in this process: sampling, and the log-probabilities of what it sampled.

Shape suffixes: N responses, T tokens of a response, L tokens of prompt and response, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from amir_verl.demo.warm_up import chat_prompt


class Responses(NamedTuple):
    """Sampled responses: tokens, attention mask and positions of prompt and response, mask of the response's
    tokens, texts.
    """

    token_NL: Tensor
    attention_NL: Tensor
    mask_NT: Tensor
    texts: list[str]


class Policy:
    """A small causal model that samples, and knows the log-probabilities of what it sampled."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "left"
        self.model = AutoModelForCausalLM.from_pretrained(folder)

    @torch.no_grad()
    def sample(
        self, questions: Sequence[str], count: int, *, max_tokens: int, generator: torch.Generator
    ) -> Responses:
        """`count` responses to each question at temperature 1, those of a question beside each other."""
        prompts = [chat_prompt(self.tokenizer, question) for question in questions]
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        token_NL = batch["input_ids"].repeat_interleave(count, 0)
        attention_NL = batch["attention_mask"].repeat_interleave(count, 0)
        prompt_length, past, new_NL = token_NL.shape[1], None, token_NL
        going_N = torch.ones(len(token_NL), dtype=torch.bool)
        for _ in range(max_tokens):
            position_NL = (attention_NL.cumsum(1) - 1).clamp(min=0)[:, -new_NL.shape[1] :]
            output = self.model(
                input_ids=new_NL,
                attention_mask=attention_NL,
                position_ids=position_NL,
                past_key_values=past,
                use_cache=True,
            )
            past = output.past_key_values
            drawn_N = torch.multinomial(output.logits[:, -1].softmax(-1), 1, generator=generator)[:, 0]
            drawn_N = torch.where(going_N, drawn_N, self.tokenizer.pad_token_id)
            new_NL = drawn_N[:, None]
            token_NL = torch.cat([token_NL, new_NL], 1)
            attention_NL = torch.cat([attention_NL, going_N[:, None].long()], 1)
            going_N = going_N & (drawn_N != self.tokenizer.eos_token_id)
            if not going_N.any():
                break
        texts = self.tokenizer.batch_decode(token_NL[:, prompt_length:], skip_special_tokens=True)
        return Responses(token_NL, attention_NL, attention_NL[:, prompt_length:].bool(), texts)

    def log_probs(self, responses: Responses) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the responses' tokens, and entropies there, nats, both (N, T)."""
        length = responses.mask_NT.shape[1]
        logits_NTV = self.model(
            input_ids=responses.token_NL,
            attention_mask=responses.attention_NL,
            position_ids=(responses.attention_NL.cumsum(1) - 1).clamp(min=0),
        ).logits[:, -length - 1 : -1]
        log_softmax_NTV = logits_NTV.log_softmax(-1)
        taken_NT = log_softmax_NTV.gather(-1, responses.token_NL[:, -length:, None])[..., 0]
        return taken_NT, -(log_softmax_NTV.exp() * log_softmax_NTV).sum(-1)
