"""Small run directories in the layout verl writes."""

import json
from pathlib import Path

import numpy as np
import pytest


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def verl_row(problem: int, sample: int, *, correct: bool, step: int = 5, **more) -> dict:
    return {
        "input": f"user\nproblem {problem}\nassistant\n",
        "output": f"<answer>{problem if correct else 0}</answer>",
        "gts": str(problem),
        "score": 2.0 * correct,
        "step": step,
        "acc": float(correct),
        "pred": str(problem if correct else 0),
        "uid": f"run-{step}-{problem}_{sample}_0",
        **more,
    }


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, probability, ...) -> a directory with metrics and validation dumps of step 0 and 5."""

    def make(
        name: str,
        probability: float,
        *,
        problems: int = 60,
        samples: int = 4,
        seed: int = 0,
        margin=True,
        **more,
    ):
        rng = np.random.default_rng(seed)
        run = tmp_path / name
        metrics = [{"step": 0, "data": {"val-core/toy/acc/mean@4": 0.2}}]
        for step in range(1, 6):
            data = {"critic/score/mean": 0.1 * step, "actor/entropy": 1 / step, "perf/none": None}
            if margin:
                data["amir/margin"] = 0.01 * step
            metrics.append({"step": step, "data": data})
        write_jsonl(run / "metrics.jsonl", metrics)
        for step, chance in ((0, 0.2), (5, probability)):
            rows = [
                verl_row(p, k, correct=bool(rng.random() < chance), step=step, **more)
                for p in range(1, problems + 1)
                for k in range(samples)
            ]
            write_jsonl(run / "validation" / f"{step}.jsonl", rows)
        return run

    return make


LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-*/=?.,:;!()<>'"
BYTE_LEVEL_SPACE, BYTE_LEVEL_NEWLINE = "\u0120", "\u010a"
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Directory of a two-layer Qwen2 with random float32 weights and one token a character."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    special = ["<pad>", "<|im_end|>", "<|im_start|>"]
    vocabulary = [*special, *LETTERS, BYTE_LEVEL_SPACE, BYTE_LEVEL_NEWLINE]
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocabulary)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.3,  # spread out, so that one response is clearly likelier than another
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("tiny_model")
    Qwen2ForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
