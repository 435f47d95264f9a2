"""For two responses a prompt the loss is DPO's sigmoid loss on mean log-probabilities: TRL's own."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from amir_verl.config import AmirConfig
from amir_verl.demo.arithmetic import distinct_sums
from amir_verl.demo.graded_sums import graded_row
from amir_verl.demo.model import build_model, build_tokenizer
from amir_verl.objective.loss import amir_loss

# TRL beside the environment, where scripts/install.sh puts it: as a package it would be found by verl
# 0.9.1, which then asks it for a class that it no longer has (verl/models/transformers/monkey_patch.py:356).
BESIDE = Path(sys.prefix) / "share" / "amir-verl-trl"


@pytest.fixture(scope="module")
def trl():
    before = set(sys.modules)
    sys.path.append(str(BESIDE))
    try:
        # Length-normalised DPO is loss_type "sigmoid_norm", which 0.29 does not have and 1.6 does.
        yield pytest.importorskip("trl", minversion="1.6", reason="bash scripts/install.sh cpu brings TRL")
    finally:
        sys.path.remove(str(BESIDE))
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "trl":
                del sys.modules[name]


class FirstOf:
    """Stands for a random generator where the graded answers should stay in order, ranked and untied."""

    def random(self) -> float:
        return 1.0

    def sample(self, population, k):
        return list(population)


@pytest.fixture(scope="module")
def pairs() -> Dataset:
    rows = []
    for problem in distinct_sums("easy", 6, seed=5):
        responses = graded_row(problem, FirstOf())["responses"]
        # Chosen and rejected of different lengths.
        rows.append({"prompt": problem.question, "chosen": responses[1], "rejected": responses[2]})
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def models():
    tokenizer = build_tokenizer()
    policy = build_model("qwen2", tokenizer, hidden_size=32, seed=1).double()
    reference = build_model("qwen2", tokenizer, hidden_size=32, seed=2).double()
    return policy, reference, tokenizer


def token_log_probs(model, batch) -> torch.Tensor:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    log_prob = logits.log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    return log_prob


def gradients(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("beta", [0.1, 5.0])
@pytest.mark.parametrize("anchored", [False, True], ids=["live", "anchored"])
def test_loss_and_gradient_equal_trl(trl, pairs, models, tmp_path, beta, anchored):
    policy, reference, tokenizer = models
    policy = copy.deepcopy(policy)
    args = trl.DPOConfig(
        output_dir=str(tmp_path),
        loss_type=["sigmoid_norm"],
        beta=beta,
        per_device_train_batch_size=len(pairs),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
    )
    trainer = trl.DPOTrainer(
        model=policy, ref_model=reference, args=args, train_dataset=pairs, processing_class=tokenizer
    )
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(policy, batch)
    expected_gradient = gradients(policy, expected)

    count = len(pairs)
    mask = batch["completion_mask"][:, 1:]
    assert len(set(mask.sum(-1).tolist())) > 1  # lengths differ, or normalising by them shows nothing
    log_prob = token_log_probs(policy, batch)
    loss, metrics = amir_loss(
        log_prob,
        mask,
        rewards=torch.cat([torch.zeros(count), -torch.ones(count)]),
        groups=torch.arange(count).repeat(2),
        config=AmirConfig(beta=beta),
        old_log_prob=log_prob.detach() if anchored else None,
        ref_log_prob=token_log_probs(reference, batch).detach(),
    )

    assert metrics["amir/num_pairs"] == count
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    assert expected_gradient.abs().max() > 1e-4
    torch.testing.assert_close(gradients(policy, loss), expected_gradient, rtol=0, atol=1e-6)
