"""What is kept of a run: one row, with curves over its validations and steps as lists.

Shape suffixes: V validations, P held-out problems, S steps.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from amir_verl.demo.model import build_tokenizer
from amir_verl.demo.warm_up import chat_prompt
from amir_verl.evaluation.comparison.run_files import read_metrics
from amir_verl.evaluation.metrics.summary import KS, problem_rates
from amir_verl.evaluation.ranking.response_scores import ResponseScorer
from amir_verl.evaluation.sampling.samples import read_samples
from benchmarks.study.training import RESPONSE_LENGTH
from reward_fns import math_reward

# Column -> metric of verl's loggers, a value a training step.
STEP_CURVES = {
    "train_reward": "critic/score/mean",
    "entropy": "actor/entropy",
    "margin": "amir/margin",
    "pair_accuracy": "amir/pair_accuracy",
    "num_pairs": "amir/num_pairs",
    "lambda": "amir/lambda",
    "grad_ratio": "amir/grad_ratio",
    "cos_policy": "amir/cos_policy",
    "beta_spread": "amir/beta_spread",
    "drift": "amir/drift",
}


class Problem(NamedTuple):
    """A question and the answer that is right."""

    question: str
    answer: str


def read_problems(path: Path) -> list[Problem]:
    """The rows of a file of `scripts/make_tiny.py`."""
    rows = pd.read_parquet(path)
    return [
        Problem(messages[0]["content"], reward["ground_truth"])
        for messages, reward in zip(rows["prompt"], rows["reward_model"], strict=True)
    ]


def measure(folder: Path, held_out: Path) -> dict[str, Any]:
    """The figures of a finished run.

    Args:
        folder: of the run, as recipes/tiny_cpu.sh leaves it.
        held_out: parquet file of the validation problems.

    Raises:
        RuntimeError: the rollouts were another policy's than the one that was trained.
    """
    steps = read_metrics(folder / "metrics.jsonl")
    trained = [step for step in sorted(steps) if "critic/score/mean" in steps[step]]
    curves = {
        column: np.array([steps[step].get(metric, np.nan) for step in trained], dtype=np.float32)
        for column, metric in STEP_CURVES.items()
    }
    apart = max(steps[step]["training/rollout_probs_diff_max"] for step in trained)
    if apart > 1e-3:
        raise RuntimeError(f"{folder}: vLLM's probabilities are up to {apart:.2g} from the trainer's")
    seconds_S = [steps[step]["timing_s/step"] for step in trained]
    validations = {int(path.stem): read_samples(path) for path in (folder / "validation").glob("*.jsonl")}
    (model,) = (folder / "checkpoints").glob("global_step_*/actor/huggingface")
    return (
        validation_curves(validations)
        | curves
        | {"seconds_a_step": float(np.median(seconds_S))}
        | final_model(model, read_problems(held_out), validations[max(validations)])
    )


def validation_curves(validations: dict[int, pd.DataFrame]) -> dict[str, Any]:
    """pass@k, majority vote and token lengths of each validation, and who was solved how often.

    Args:
        validations: step -> samples, with the columns of `amir_verl.evaluation.sampling.samples`.
    """
    tokenizer = build_tokenizer()
    found: dict[str, list[float]] = {"steps": []}
    solved = {}
    for step, samples in sorted(validations.items()):
        rates = problem_rates(samples, ks=KS).sort_index()
        lengths = np.array([len(ids) for ids in tokenizer(list(samples["response"]))["input_ids"]])
        right = samples["correct"].to_numpy(dtype=bool)
        figures = {name: float(rates[name].mean()) for name in rates.columns if "@" in name}
        figures["length_right"] = float(lengths[right].mean()) if right.any() else float("nan")
        figures["length_wrong"] = float(lengths[~right].mean()) if not right.all() else float("nan")
        found["steps"].append(step)
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
        solved[step] = rates["c"].to_numpy(dtype=np.uint8)
    return found | {"solved_first_P": solved[min(solved)], "solved_last_P": solved[max(solved)]}


def final_model(model: Path, held_out: list[Problem], samples: pd.DataFrame) -> dict[str, float]:
    """Greedy accuracy of a folder's model, and how far it prefers its right samples to its wrong ones."""
    scorer = ResponseScorer(str(model), device="cpu")
    return {
        "greedy_accuracy": _greedy_accuracy(scorer, held_out),
        "held_out_margin": _margin(scorer, samples),
    }


def _greedy_accuracy(scorer: ResponseScorer, problems: list[Problem]) -> float:
    tokenizer = scorer.tokenizer
    tokenizer.padding_side = "left"
    prompts = [chat_prompt(tokenizer, problem.question) for problem in problems]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        tokens = scorer.model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=False,
            max_new_tokens=RESPONSE_LENGTH,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    responses = tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    verdicts = (
        math_reward.compute_score("arithmetic", response, problem.answer)["acc"]
        for response, problem in zip(responses, problems, strict=True)
    )
    return float(np.mean(list(verdicts)))


def _margin(scorer: ResponseScorer, samples: pd.DataFrame) -> float:
    """Mean over problems of l(right) - l(wrong), nats a token, of distinct samples; NaN: none has both."""
    # The dump holds the chat template's text with the question between its markers.
    distinct = samples.drop_duplicates(["prompt_id", "response"])
    both = distinct.groupby("prompt_id")["correct"].transform("nunique") == 2
    groups = [group for _, group in distinct[both].groupby("prompt_id")]
    if not groups:
        return float("nan")
    prompts = [[{"role": "user", "content": _question(group["prompt"].iloc[0])}] for group in groups]
    scores = scorer.scores(prompts, [list(group["response"]) for group in groups], description="margin")
    margins = []
    for group, values in zip(groups, scores, strict=True):
        right = group["correct"].to_numpy(dtype=bool)
        margins.append(np.mean(np.array(values)[right]) - np.mean(np.array(values)[~right]))
    return float(np.mean(margins))


def _question(prompt: str) -> str:
    (question,) = re.findall(r"\d+\+\d+=\?", prompt)
    return question
