"""Sample a model with vLLM's offline engine and score the responses with a verl reward function."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amir_verl.evaluation.sampling.questions import Question
from amir_verl.evaluation.sampling.samples import COLUMNS, sample_from_row

if TYPE_CHECKING:
    import pandas as pd

Reward = Callable[..., Any]


@dataclass(frozen=True)
class SamplingSettings:
    """How to sample. `engine` goes straight to `vllm.LLM` (tensor_parallel_size, dtype, ...)."""

    samples: int = 8
    temperature: float = 0.6
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0
    engine: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, low in (("samples", 1), ("max_tokens", 1), ("temperature", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("temperature 0 gives the same response every time: use samples 1")


@dataclass(frozen=True)
class Completion:
    """One sampled response."""

    text: str
    num_tokens: int
    truncated: bool
    logprob_mean: float  # under the model itself, at temperature 1; NaN for an empty response


def load_reward(source: str, name: str = "compute_score", **settings: Any) -> Reward:
    """The function `name` of a file or module, named as in verl's settings, with `settings` bound.

    Raises:
        ValueError: no such file, module or function.
    """
    try:
        if source.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(source).stem, source)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source.removeprefix("pkg://"))
    except (ImportError, OSError) as error:
        raise ValueError(f"reward {source}: cannot be loaded ({error})") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"reward {source}: has no function {name}")
    return lambda *args, **kwargs: function(*args, **kwargs, **settings)


def encode_prompts(model: str, questions: Sequence[Question], *, max_tokens: int) -> list[list[int]]:
    """Token ids of every question under the model's chat template, with the start of the assistant's turn.

    Raises:
        ValueError: no chat template, or prompt and `max_tokens` exceed the model's length (row named).
    """
    from transformers import AutoConfig, AutoTokenizer

    if not Path(model).is_dir() and (Path(model).is_absolute() or model.startswith(".")):
        raise ValueError(f"{model}: no such model directory")
    tokenizer = AutoTokenizer.from_pretrained(model)
    if not tokenizer.chat_template:
        raise ValueError(f"{model}: its tokenizer has no chat template")
    config = AutoConfig.from_pretrained(model)
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    encoded = []
    for question in questions:
        text = tokenizer.apply_chat_template(question.messages, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if limit is not None and len(ids) + max_tokens > limit:
            raise ValueError(
                f"{question.place}: {len(ids)} prompt and {max_tokens} new tokens exceed the model's {limit}"
            )
        encoded.append(ids)
    return encoded


def sample_responses(
    model: str, prompts: Sequence[list[int]], settings: SamplingSettings
) -> list[list[Completion]]:
    """`settings.samples` responses for each prompt (token ids), in order. Shows progress."""
    # The CPU build wants its cores and cache named; a GPU build ignores both.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import LLM, SamplingParams, TokensPrompt

    longest = max(len(ids) for ids in prompts) + settings.max_tokens
    engine = LLM(model=model, seed=settings.seed, **{"max_model_len": longest} | (settings.engine or {}))
    # A seed for each prompt makes its responses independent of what else is in the batch.
    parameters = [
        SamplingParams(
            n=settings.samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=settings.seed + i * settings.samples,
            logprobs=0,
        )
        for i in range(len(prompts))
    ]
    outputs = engine.generate([TokensPrompt(prompt_token_ids=ids) for ids in prompts], parameters)
    return [[_completion(output) for output in request.outputs] for request in outputs]


def _completion(output: Any) -> Completion:
    tokens = len(output.token_ids)
    mean = output.cumulative_logprob / tokens if tokens else float("nan")
    return Completion(output.text, tokens, output.finish_reason == "length", mean)


def check_reward(questions: Sequence[Question], reward: Reward) -> None:
    """Score an empty response to every question, so that a bad row shows before hours of sampling, not after.

    Raises:
        ValueError: as `score_completions`.
    """
    empty = Completion(text="", num_tokens=0, truncated=False, logprob_mean=float("nan"))
    score_completions(questions, [[empty]] * len(questions), reward, progress=False)


def score_completions(
    questions: Sequence[Question],
    completions: Sequence[Sequence[Completion]],
    reward: Reward,
    *,
    progress: bool = True,
) -> "pd.DataFrame":
    """One row a sample: `samples.COLUMNS`, then score, ground_truth and what else the reward returned.

    Raises:
        ValueError: the reward refuses a question, or gives no correctness (acc, or a score of 0 or 1); names
            the question's file and row.
    """
    import pandas as pd
    from tqdm import tqdm

    rows = []
    shown = tqdm(questions, desc="scoring", unit=" questions", disable=not progress)
    for question, group in zip(shown, completions, strict=True):
        for index, completion in enumerate(group):
            fields = {
                "prompt_id": question.prompt_id,
                "data_source": question.data_source,
                "prompt": question.messages[-1]["content"],
                "response": completion.text,
                "length": completion.num_tokens,
                "truncated": completion.truncated,
                "logprob_mean": completion.logprob_mean,
            }
            given = (question.data_source, completion.text, question.ground_truth, question.extra_info)
            try:
                verdict = reward(*given)
                verdict = verdict if isinstance(verdict, dict) else {"score": verdict}
                row = sample_from_row({k: v for k, v in verdict.items() if k not in fields} | fields)
            except ValueError as error:
                raise ValueError(f"{question.place}: reward: {error}") from None
            more = {k: v for k, v in verdict.items() if k not in row}
            own = {"sample_id": f"{question.prompt_id}/{index}", "ground_truth": str(question.ground_truth)}
            rows.append(row | own | more)
    table = pd.DataFrame(rows)
    return table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]]
