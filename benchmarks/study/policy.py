"""A tiny Qwen2 in plain torch: what a loop needs of it and no more. Weights are read from an ordinary folder.

The prompts of a call have one length, so nothing is padded on the left, and a prompt is read once for all
the responses to it. Checked against transformers' own forward pass in tests/study.

Shape suffixes: _Q prompts, _N responses, _L tokens of an input, _T tokens of a response, _V vocabulary.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import rms_norm
from transformers import Qwen2ForCausalLM

from amir_verl.demo.words import END, PAD, START, word_ids

Cache = list[tuple[Tensor, Tensor]]


class Responses(NamedTuple):
    """Sampled tokens, padded behind the end, their mask, and their log-probabilities at the policy that
    sampled, each (N, T); the responses to a prompt stand beside each other.
    """

    token_NT: Tensor
    mask_NT: Tensor
    log_prob_NT: Tensor


class Policy(torch.nn.Module):
    """A causal model that samples, and knows the log-probabilities of what it sampled."""

    def __init__(self, qwen: Qwen2ForCausalLM, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self.qwen, self.vocabulary = qwen, vocabulary
        self.words = {index: word for word, index in vocabulary.items()}
        self.pad, self.end = vocabulary[PAD], vocabulary[END]
        config = qwen.config
        assert config.num_key_value_heads == 1, "keys and values are shared by the heads of a layer"
        self.width = config.hidden_size // config.num_attention_heads
        base = config.rope_parameters["rope_theta"]
        frequency = base ** (-torch.arange(0, self.width, 2, dtype=torch.float64) / self.width)
        angle = torch.outer(torch.arange(config.max_position_embeddings), frequency).repeat(1, 2).float()
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    @classmethod
    def load(cls, folder: Path) -> "Policy":
        from transformers import AutoTokenizer

        model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return cls(model, word_ids(AutoTokenizer.from_pretrained(folder)))

    def forward(self, token_NL: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """Logits, (N, L, V), and keys and values of every layer, for more tokens to follow."""
        length, before = token_NL.shape[1], past[0][0].shape[1] if past else 0
        cos, sin = self.cos[before : before + length], self.sin[before : before + length]
        allowed = torch.ones(length, before + length, dtype=torch.bool, device=token_NL.device).tril(before)
        blocked = torch.zeros(allowed.shape, device=token_NL.device).masked_fill(~allowed, -math.inf)
        model, cache = self.qwen.model, []
        hidden = model.embed_tokens(token_NL)
        for index, layer in enumerate(model.layers):
            attention = layer.self_attn
            x = _normed(hidden, layer.input_layernorm)
            query = _rotated(attention.q_proj(x).unflatten(-1, (-1, self.width)), cos[:, None], sin[:, None])
            key, value = _rotated(attention.k_proj(x), cos, sin), attention.v_proj(x)
            if past:
                key, value = torch.cat([past[index][0], key], 1), torch.cat([past[index][1], value], 1)
            cache.append((key, value))
            # The heads share keys and values: one product over (length x heads) queries.
            score = (query.flatten(1, 2) @ key.transpose(1, 2)).unflatten(1, (length, -1))
            share = (score / math.sqrt(self.width) + blocked[:, None]).softmax(-1)
            mixed = (share.flatten(1, 2) @ value).unflatten(1, (length, -1)).flatten(2)
            hidden = hidden + attention.o_proj(mixed)
            hidden = hidden + layer.mlp(_normed(hidden, layer.post_attention_layernorm))
        return _normed(hidden, model.norm) @ model.embed_tokens.weight.T, cache

    @torch.no_grad()
    def sample(self, prompt_QL: Tensor, count: int, *, tokens: int, generator: torch.Generator) -> Responses:
        """`count` responses to each prompt at temperature 1, of at most `tokens` tokens.

        The random numbers are drawn beforehand, so policies that share a generator's seed share them.
        """
        device, total = prompt_QL.device, len(prompt_QL) * count
        uniform_TN = torch.rand(tokens, total, generator=generator).to(device)
        logits_QLV, past = self(prompt_QL)
        past = [(k.repeat_interleave(count, 0), v.repeat_interleave(count, 0)) for k, v in past]
        logits_NV = logits_QLV[:, -1].repeat_interleave(count, 0)
        token_NT = torch.full((total, tokens), self.pad, device=device)
        log_prob_NT = torch.zeros(total, tokens, device=device)
        going_N = torch.ones(total, dtype=torch.bool, device=device)
        for place in range(tokens):
            share_NV = logits_NV.softmax(-1)
            heap_NV = share_NV.cumsum(-1)
            threshold_N = uniform_TN[place] * heap_NV[:, -1]
            drawn_N = (heap_NV <= threshold_N[:, None]).sum(-1).clamp(max=heap_NV.shape[1] - 1)
            token_NT[:, place] = torch.where(going_N, drawn_N, self.pad)
            log_prob_NT[:, place] = share_NV.gather(1, drawn_N[:, None])[:, 0].log()
            going_N &= drawn_N != self.end
            if place == tokens - 1 or not going_N.any():
                break
            logits_NLV, past = self(token_NT[:, place : place + 1], past)
            logits_NV = logits_NLV[:, 0]
        return Responses(token_NT, token_NT != self.pad, log_prob_NT)

    def log_probs(self, prompt_QL: Tensor, responses: Responses) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the responses' tokens, and the entropies there, nats, both (N, T)."""
        count = len(responses.token_NT) // len(prompt_QL)
        logits_QLV, past = self(prompt_QL)
        past = [(k.repeat_interleave(count, 0), v.repeat_interleave(count, 0)) for k, v in past]
        first_NLV = logits_QLV[:, -1:].repeat_interleave(count, 0)
        rest_NLV, _ = self(responses.token_NT[:, :-1], past)
        log_softmax_NTV = torch.cat([first_NLV, rest_NLV], 1).log_softmax(-1)
        taken_NT = log_softmax_NTV.gather(-1, responses.token_NT[..., None])[..., 0]
        return taken_NT, -(log_softmax_NTV.exp() * log_softmax_NTV).sum(-1)

    def encode(self, questions: list[str]) -> Tensor:
        """Prompts as the chat template writes them, (Q, L).

        Raises:
            ValueError: the questions have different numbers of words.
        """
        rows = [[self.vocabulary[word] for word in (*question.split(), START)] for question in questions]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("the questions of a task must have one number of words")
        return torch.tensor(rows, device=self.cos.device)

    def decode(self, tokens: tuple[int, ...]) -> str:
        """The words before the end."""
        return " ".join(self.words[token] for token in tokens if token not in (self.pad, self.end))


def _normed(hidden: Tensor, norm: torch.nn.Module) -> Tensor:
    return rms_norm(hidden, (hidden.shape[-1],), norm.weight, norm.variance_epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
