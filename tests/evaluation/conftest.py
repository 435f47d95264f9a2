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


# Printable characters alone, so that all it writes is text again; space and newline as ByteLevel has them.
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-*/=?.,:;!()<>'\u0120\u010a"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Directory of a two-layer Qwen2 with random float32 weights and one token a character."""
    import torch

    from amir_verl.demo.model import build_model, build_tokenizer, save_model

    tokenizer = build_tokenizer(ALPHABET)
    model = build_model("qwen2", tokenizer, seed=1)  # whose responses end soon
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(15)  # spread out, so that one response is clearly likelier than another
    directory = tmp_path_factory.mktemp("tiny_model")
    save_model(model, tokenizer, directory)
    return directory
