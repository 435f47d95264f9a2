"""A tiny training on this machine's device: verl's trainer with vLLM where there is a card and vLLM, else the
study's loop.

python -m benchmarks.gpu_check.training [--quick]

verl's trainer takes five steps on a random model, which shows that it runs and that vLLM samples from the
policy that is trained. The loop (`benchmarks/study/loop.py`) needs torch alone; it shows that rewards rise.
"""

import argparse
import importlib.util
import math
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import machine, verdict

STEPS = 5
# vLLM computes in bfloat16 by kernels of its own: a probability is some roundings of 2**-9 away.
ENGINE_GAP = 0.05


def by_verl() -> None:
    """`python -m verl.trainer.main_ppo +amir@_global_=grpo` with a digit reward, for five steps."""
    from benchmarks.trainer_run import RunSize, train, write_inputs

    size = RunSize(steps=STEPS, prompts=16, responses=8, tokens=64, width=256, layers=4)
    overrides = ["+amir@_global_=grpo", "actor_rollout_ref.rollout.calculate_log_probs=True"]
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder), size)
        steps = train(Path(folder), "amir", overrides, size, limit=300)
    for step in steps:
        wrong = [name for name, value in step.items() if "amir/" in name and not math.isfinite(value)]
        assert not wrong, f"not finite: {', '.join(wrong)}"
    last = steps[-1]
    for name in ("amir/num_pairs", "amir/lambda", "amir/loss", "actor/grad_norm", "critic/score/mean"):
        print(f"{name}: {last[name]:.4g}")
    print(verdict("pairs in the last step", last["amir/num_pairs"], at_least=1))
    gap = max(step["training/rollout_probs_diff_max"] for step in steps)
    print(verdict("probabilities of vLLM and the actor, largest difference", gap, at_most=ENGINE_GAP))
    print(f"seconds a step: {last['timing_s/step']:.2f}")


def by_loop(*, quick: bool) -> None:
    """Countdown by the study's loop: a model warmed up here, then AMIR."""
    from amir_verl.config import AmirConfig
    from amir_verl.demo.model import build_model
    from amir_verl.demo.words import HIDDEN_SIZE, LAYERS, build_word_tokenizer, warm_up_on, word_ids
    from benchmarks.study.arms import Arm
    from benchmarks.study.loop import Training
    from benchmarks.study.policy import Policy
    from benchmarks.study.tasks import TASKS

    task, group, prompts, steps = TASKS["countdown3"], 8, 4 if quick else 16, 2 if quick else 150
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = build_word_tokenizer(task.words)
    model = build_model("qwen2", tokenizer, hidden_size=HIDDEN_SIZE, layers=LAYERS, seed=0)
    stream = ((problem.question, response) for problem, response in task.demonstrations(0))
    warm_up_on(model, tokenizer, stream, steps=20 if quick else 600, batch_size=16 if quick else 256)
    policy = Policy(model, word_ids(tokenizer)).to(device)

    def reward(problems, responses) -> torch.Tensor:
        if quick:  # nothing is right after so short a warm-up: shorter is better, so that there are pairs
            return 1 - responses.mask_NT.float().mean(-1).cpu()
        texts = [policy.decode(tuple(row)) for row in responses.token_NT.tolist()]
        asked = [problem for problem in problems for _ in range(group)]
        return torch.tensor([problem.grade(text) for problem, text in zip(asked, texts, strict=True)])

    training = Training(policy, Arm(amir=AmirConfig()), reward, group=group, tokens=task.tokens, seed=0)
    problems = task.problems(0, prompts * steps, False)
    before = torch.nn.utils.parameters_to_vector(policy.parameters()).detach().clone()
    history = [training.step(problems[prompts * step : prompts * (step + 1)]) for step in range(steps)]
    assert all(math.isfinite(value) for step in history for value in step.values())
    moved = torch.nn.utils.parameters_to_vector(policy.parameters()).detach() - before
    print(f"countdown by the study's loop on {device}: {steps} steps of {prompts} x {group} responses")
    print(f"lambda {history[-1]['amir/lambda']:.3g}")
    print(verdict("pairs in the last step", history[-1]["amir/num_pairs"], at_least=1))
    print(verdict("distance that the parameters moved", float(moved.norm()), at_least=1e-6))
    if not quick:
        tenth = steps // 10
        first, last = (
            sum(step["reward"] for step in part) / tenth for part in (history[:tenth], history[-tenth:])
        )
        # Noise of a mean over 240 rewards is below 0.03.
        print(verdict(f"mean reward, from {first:.3f} to {last:.3f}: rise", last - first, at_least=0.05))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two steps of the loop")
    args = parser.parse_args()
    print(machine())
    found = importlib.util.find_spec("vllm") is not None
    if found and torch.cuda.is_available() and not args.quick:
        by_verl()
        return
    reason = "no vLLM here" if not found else "--quick" if args.quick else "no card"
    print(f"not by verl's trainer and vLLM: {reason}")
    by_loop(quick=args.quick)


if __name__ == "__main__":
    sys.exit(main())
