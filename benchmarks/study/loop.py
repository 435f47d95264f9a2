"""The study's training without Ray and vLLM: one process and some twenty seconds a run, to look at many arms.

An arm's settings come from the same overrides, and advantages, policy losses, pairs, anchors and lambda from
the same functions as in verl's trainer; sampling and the update, one a step, are a loop of its own. Arms of a
seed share the random numbers of sampling. What both trainers have run tells how far the loop can be trusted.

Shape suffixes: N responses of a step, T tokens of a response, L tokens of prompt and response.
"""

import copy
import random
import tempfile
import time
from collections import defaultdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor

from amir_verl.demo.model import save_model
from amir_verl.evaluation.sampling.vllm_engine import load_reward
from amir_verl.objective.anchors import Preferences, step_preferences
from amir_verl.objective.lambda_schedule import LambdaController
from amir_verl.objective.loss import anchored_terms, mean_log_prob
from benchmarks.study.grid import REWARDS, Run
from benchmarks.study.measures import STEP_CURVES, Problem, final_model, read_problems, validation_curves
from benchmarks.study.policy import Policy, Responses
from benchmarks.study.training import (
    GROUP,
    PROMPTS,
    RESPONSE_LENGTH,
    SAMPLES,
    Length,
    composed_run_of,
    model_folder,
)


class Trainer:
    """One arm's updates of a policy."""

    def __init__(self, policy: Policy, config: DictConfig) -> None:
        from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn
        from verl.utils.config import omega_conf_to_dataclass

        from amir_verl.trainer.preflight import amir_config

        self._policy, self._algorithm = policy, config.algorithm
        self._actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
        loss_mode = self._actor.policy_loss.loss_mode
        self._policy_loss = get_policy_loss_fn(loss_mode)
        self._advantage = get_adv_estimator_fn(config.algorithm.adv_estimator)
        self._amir = None
        if loss_mode.startswith("amir_"):
            self._policy_loss = self._policy_loss.__wrapped__
            self._amir = amir_config(config)
            self._lambda = LambdaController(self._amir)
        self._reference = copy.deepcopy(policy.model) if self._actor.use_kl_loss else None
        optim = self._actor.optim
        self._optimizer = torch.optim.AdamW(
            policy.model.parameters(), lr=optim.lr, betas=tuple(optim.betas), weight_decay=optim.weight_decay
        )

    def step(self, responses: Responses, reward_N: Tensor, group_N: Tensor) -> dict[str, float]:
        """One update; what verl's loggers would have of it, by its name there."""
        from verl.trainer.ppo.core_algos import agg_loss

        mask_NT = responses.mask_NT
        live_NT, entropy_NT = self._policy.log_probs(responses)
        old_NT = live_NT.detach()
        batch = {
            "dp_size": 1,
            "batch_num_tokens": int(mask_NT.sum()),
            "global_batch_size": len(mask_NT),
            "loss_scale_factor": self._actor.loss_scale_factor,
        }
        self._actor.global_batch_info.update(batch)
        loss, _ = self._policy_loss(
            old_log_prob=old_NT,
            log_prob=live_NT,
            advantages=self._advantages(reward_N, mask_NT, group_N),
            response_mask=mask_NT,
            loss_agg_mode=self._actor.loss_agg_mode,
            config=self._actor,
        )
        metrics = {
            "critic/score/mean": float(reward_N.mean()),
            "actor/entropy": float(mean_log_prob(entropy_NT.detach(), mask_NT).mean()),
        }
        if self._amir is not None:
            loss = self._with_preferences(loss, live_NT, mask_NT, reward_N, group_N, metrics)
        mode = self._actor.loss_agg_mode
        if self._actor.entropy_coeff:
            loss = loss - self._actor.entropy_coeff * agg_loss(
                loss_mat=entropy_NT, loss_mask=mask_NT, loss_agg_mode=mode, **batch
            )
        if self._reference is not None:
            divergence_NT = self._divergence(responses, live_NT)
            loss = loss + self._actor.kl_loss_coef * agg_loss(
                loss_mat=divergence_NT, loss_mask=mask_NT, loss_agg_mode=mode, **batch
            )
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._policy.model.parameters(), self._actor.optim.clip_grad)
        self._optimizer.step()
        return metrics

    def _advantages(self, reward_N: Tensor, mask_NT: Tensor, group_N: Tensor) -> Tensor:
        token_reward_NT = torch.zeros(mask_NT.shape)
        token_reward_NT[torch.arange(len(mask_NT)), mask_NT.sum(-1) - 1] = reward_N
        advantage_NT, _ = self._advantage(
            token_level_rewards=token_reward_NT,
            response_mask=mask_NT,
            index=np.array([str(group) for group in group_N.tolist()], dtype=object),
            norm_adv_by_std_in_grpo=self._algorithm.norm_adv_by_std_in_grpo,
            config=self._algorithm,
        )
        return advantage_NT

    def _with_preferences(
        self,
        policy_loss: Tensor,
        live_NT: Tensor,
        mask_NT: Tensor,
        reward_N: Tensor,
        group_N: Tensor,
        metrics: dict[str, float],
    ) -> Tensor:
        """policy_weight * policy_loss + lambda * L_pref."""
        live_N = mean_log_prob(live_NT, mask_NT)
        found = step_preferences(live_N.detach(), reward_N, group_N, mask_NT.any(-1), self._amir)
        term = preference_term(found, live_N)
        policy_loss = self._amir.policy_weight * policy_loss
        (policy_NT,) = torch.autograd.grad(policy_loss, live_NT, retain_graph=True)
        (term_NT,) = torch.autograd.grad(term, live_NT, retain_graph=True)
        policy_norm, term_norm = float(policy_NT.norm()), float(term_NT.norm())
        lambda_ = self._lambda.begin_step(policy_norm=policy_norm, preference_norm=term_norm)
        # Without a gradient on either side there is nothing to compare.
        norms = policy_norm * term_norm
        metrics |= found.metrics | {
            "amir/lambda": lambda_,
            "amir/grad_ratio": lambda_ * term_norm / policy_norm if policy_norm else 0.0,
            "amir/cos_policy": float((policy_NT * term_NT).sum()) / norms if norms else 0.0,
            "amir/drift": 0.0,  # one update a step: the policy is still the one that sampled
        }
        self._lambda.end_step(policy_loss=policy_loss.item(), preference_loss=term.item() / 2)
        return policy_loss + lambda_ * term

    def _divergence(self, responses: Responses, live_NT: Tensor) -> Tensor:
        from verl.trainer.ppo.core_algos import kl_penalty

        trained, self._policy.model = self._policy.model, self._reference
        with torch.no_grad():
            reference_NT, _ = self._policy.log_probs(responses)
        self._policy.model = trained
        return kl_penalty(logprob=live_NT, ref_logprob=reference_NT, kl_penalty=self._actor.kl_loss_type)


def preference_term(found: Preferences, live_N: Tensor) -> Tensor:
    """The workers' term: every pair from either end, twice the value of L_pref and once its gradient."""
    row_M = torch.repeat_interleave(found.count_N)
    terms_M = anchored_terms(live_N[row_M], found.anchor_M, found.signed_weight_M, found.beta)
    return terms_M.sum() / len(live_N)


@cache
def _reward_function(name: str) -> Any:
    """`compute_score` of the reward's file; responses that come again are not graded again."""
    return cache(partial(load_reward(str(REWARDS[name])), "arithmetic"))


def _validate(
    policy: Policy, problems: list[Problem], reward: str, generator: torch.Generator
) -> pd.DataFrame:
    """A table of samples, as `amir_verl.evaluation.sampling.samples` reads from verl's dumps."""
    responses = policy.sample(
        [problem.question for problem in problems], SAMPLES, max_tokens=RESPONSE_LENGTH, generator=generator
    )
    score = _reward_function(reward)
    repeated = [problem for problem in problems for _ in range(SAMPLES)]
    verdicts = [score(text, p.answer) for text, p in zip(responses.texts, repeated, strict=True)]
    return pd.DataFrame(
        {
            "prompt_id": [problem.question for problem in repeated],
            "prompt": [problem.question for problem in repeated],
            "response": responses.texts,
            "pred": [verdict["pred"] for verdict in verdicts],
            "correct": [int(verdict["acc"]) for verdict in verdicts],
        }
    )


def train(run: Run, out: Path, length: Length) -> dict[str, Any]:
    """Train the arm from its model below `out`; the figures of the run, as of verl's trainer."""
    torch.set_num_threads(1)  # a run a core; more threads wait for each other
    started, model = time.monotonic(), model_folder(run, out)
    policy = Policy(model)
    trainer = Trainer(policy, composed_run_of(run, model, length))
    training, held_out = read_problems(model / "train.parquet"), read_problems(model / "validation.parquet")
    random.Random(run.seed).shuffle(training)
    sampling = torch.Generator().manual_seed(run.seed)
    group_N = torch.arange(PROMPTS).repeat_interleave(GROUP)
    score = _reward_function(run.cell.reward)
    curves, validations, seconds = defaultdict(list), {}, []

    def validate(step: int) -> None:
        generator = torch.Generator().manual_seed(1000 * run.seed + step)
        validations[step] = _validate(policy, held_out, run.cell.reward, generator)

    validate(0)
    for step in range(1, length.steps + 1):
        begun = time.monotonic()
        place = PROMPTS * (step - 1) % len(training)
        problems = training[place : place + PROMPTS]
        questions = [problem.question for problem in problems]
        responses = policy.sample(questions, GROUP, max_tokens=RESPONSE_LENGTH, generator=sampling)
        answers = [problem.answer for problem in problems for _ in range(GROUP)]
        verdicts = (score(text, answer) for text, answer in zip(responses.texts, answers, strict=True))
        reward_N = torch.tensor([float(verdict["score"]) for verdict in verdicts])
        metrics = trainer.step(responses, reward_N, group_N)
        seconds.append(time.monotonic() - begun)
        for column, metric in STEP_CURVES.items():
            curves[column].append(metrics.get(metric, np.nan))
        if step % length.validate_every == 0 or step == length.steps:
            validate(step)
    with tempfile.TemporaryDirectory() as folder:
        save_model(policy.model, policy.tokenizer, Path(folder))
        last = final_model(Path(folder), held_out, validations[length.steps])
    return (
        validation_curves(validations)
        | {column: np.array(values, dtype=np.float32) for column, values in curves.items()}
        | {"seconds_a_step": float(np.median(seconds))}
        | last
        | {"seconds": time.monotonic() - started}
    )
