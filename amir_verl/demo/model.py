"""Tiny causal language models of real architectures, with a tokenizer that reads any text."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

PAD, END, START = "<|endoftext|>", "<|im_end|>", "<|im_start|>"
# One token each, but not special: they must survive decoding, because the reward reads them.
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MAX_POSITIONS = 2048
HEAD_WIDTH = 32

_GEMMA = {
    "query_pre_attn_scalar": HEAD_WIDTH,
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "full_attention"],
}
ARCHITECTURES: dict[str, tuple[type, type, dict]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, _GEMMA),
}


def build_tokenizer(alphabet: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer, one token per byte plus the tags, with a Qwen-style chat template.

    Args:
        alphabet: the bytes that it knows, as ByteLevel writes them (a space is \u0120); None: all.
    """
    alphabet = sorted(alphabet or pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([PAD, END, START, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([PAD, END, START])
    core.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, eos_token=END, additional_special_tokens=[START]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(
    architecture: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    hidden_size: int = 64,
    layers: int = 2,
    seed: int = 0,
) -> PreTrainedModel:
    """A randomly initialised float32 model with exactly the tokenizer's vocabulary.

    (A larger one would silently shift vLLM's log-probabilities against the trainer's.)

    Raises:
        ValueError: unknown architecture, or a hidden size that is not a multiple of a head's width.
    """
    if hidden_size < HEAD_WIDTH or hidden_size % HEAD_WIDTH:
        raise ValueError(f"hidden_size must be a multiple of {HEAD_WIDTH}, got {hidden_size}")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    config_class, model_class, extra = ARCHITECTURES[architecture]
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        # vLLM's Qwen2 takes hidden_size / heads as the width of a head and ignores head_dim.
        num_attention_heads=hidden_size // HEAD_WIDTH,
        num_key_value_heads=1,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.convert_tokens_to_ids(START),
        **extra,
    )
    return model_class(config).float()


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Write model and tokenizer as a Hugging Face folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
