"""A recipe with LOAD_IN_4BIT=1 trains a tiny Qwen2 for real, and goes on from its checkpoint.

What the engine does in detail, on one rank and two, and with a Gemma 3 that is in four bits already, is in
tests/platform/test_four_bit_engine.py, without Ray.
"""

import pytest
import torch
from trainings import DIGIT_REWARD, EVERY_STEP, TWO_STEPS, not_finite, train
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from amir_verl.export.adapters import adapter_weights

pytestmark = pytest.mark.slow

FOUR_BIT = TWO_STEPS | {
    "LOAD_IN_4BIT": 1,
    "LORA_RANK": 16,
    "SAVE_FREQ": 2,
    "REWARD": DIGIT_REWARD,  # of what an untrained model says too
}
DIFFERENCE = "training/rollout_probs_diff_max"
LOUDER = 8  # times the weights of a fresh model, which would say the same in any precision


@pytest.fixture(scope="module")
def loud_model(tiny_models, tmp_path_factory):
    """Folder, and how far four bits move a probability, at most."""
    source, out = tiny_models("qwen2"), tmp_path_factory.mktemp("loud")
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(LOUDER)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
    nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    quantized = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, quantization_config=nf4, device_map={"": "cpu"}
    ).eval()
    with torch.no_grad():
        ids = torch.arange(3, 60)[None]
        said = [each(ids).logits.softmax(-1) for each in (model, quantized)]
    return out, float((said[0] - said[1]).abs().max())


@pytest.fixture(scope="module")
def training(loud_model, questions, tmp_path_factory):
    """Two steps, then the same command for one more: folder, step -> metrics."""
    out = tmp_path_factory.mktemp("four_bit")
    inputs = {"TRAIN": questions / "gsm8k_train.parquet", "VAL": questions / "gsm8k_test.parquet"}
    run = FOUR_BIT | inputs | {"MODEL": loud_model[0], "GPUS": 1}
    metrics = train("qwen2.5_7b", out, **run)
    return out, metrics | train("qwen2.5_7b", out, **(run | {"STEPS": 3}))


def test_vllm_samples_from_the_base_in_four_bits_and_the_same_adapters(training, loud_model):
    _, metrics = training
    assert loud_model[1] > 1e-2  # what a base in another precision would show
    for step, data in metrics.items():
        assert data[DIFFERENCE] < 1e-3, step


def test_every_step_trains_and_is_logged(training):
    _, metrics = training
    for data in metrics.values():
        assert set(data) >= EVERY_STEP
        assert not_finite({name: data[name] for name in EVERY_STEP}) == []
        assert data["amir/num_pairs"] > 0 and data["actor/grad_norm"] > 0


def test_a_checkpoint_holds_adapters_alone(training):
    out, _ = training
    shard = out / "checkpoints/global_step_2/actor/model_world_size_1_rank_0.pt"
    state = torch.load(shard, weights_only=False, map_location="cpu")
    assert state and all("lora_" in name for name in state)


def test_the_same_command_goes_on_from_the_checkpoint(training):
    out, metrics = training
    assert sorted(metrics) == [1, 2, 3]
    assert (out / "checkpoints/latest_checkpointed_iteration.txt").read_text() == "3"
    moments = {}
    for step in (2, 3):
        actor = out / f"checkpoints/global_step_{step}/actor"
        optimizer = torch.load(actor / "optim_world_size_1_rank_0.pt", weights_only=False, map_location="cpu")
        assert {float(state["step"]) for state in optimizer["state"].values()} == {step}
        moments[step] = [_local(state["exp_avg"]) for state in optimizer["state"].values()]
    # The gradient of the third step has reached Adam; an optimizer begun anew would hold it alone.
    pairs = list(zip(moments[2], moments[3], strict=True))
    assert all(bool((before != after).any()) for before, after in pairs if before.any())
    assert any(bool(before.any()) for before, _ in pairs)
    first, last = (adapter_weights(out / f"checkpoints/global_step_{step}/actor") for step in (2, 3))
    changes = [(last[name] - values).abs().max() for name, values in first.items()]
    # The recipe's rate has fallen to 0 at the end of the two steps first asked for: adapters stay where they
    # were, while adapters drawn anew would differ by hundredths.
    assert max(changes) < 1e-4


def _local(tensor):
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
