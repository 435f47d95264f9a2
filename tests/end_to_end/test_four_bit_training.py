"""A recipe with LOAD_IN_4BIT=1 trains a tiny Qwen2 for real.

What the engine does in detail, on one rank and two, with a Gemma 3 that is in four bits already, and from a
checkpoint on, is in tests/platform/test_four_bit_engine.py, without Ray.
"""

import pytest
import torch
from trainings import DIGIT_REWARD, EVERY_STEP, TWO_STEPS, not_finite, train
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

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
    """Two steps: folder, step -> metrics."""
    out = tmp_path_factory.mktemp("four_bit")
    inputs = {"TRAIN": questions / "gsm8k_train.parquet", "VAL": questions / "gsm8k_test.parquet"}
    run = FOUR_BIT | inputs | {"MODEL": loud_model[0], "GPUS": 1}
    return out, train("qwen2.5_7b", out, **run)


def test_vllm_samples_from_the_base_in_four_bits_and_the_same_adapters(training, loud_model):
    _, metrics = training
    assert loud_model[1] > 1e-2  # what a base in another precision would show
    for step, data in metrics.items():
        assert data[DIFFERENCE] < 1e-3, step


def test_every_step_trains_and_is_logged(training):
    _, metrics = training
    assert sorted(metrics) == [1, 2]
    for data in metrics.values():
        assert set(data) >= EVERY_STEP
        assert not_finite({name: data[name] for name in EVERY_STEP}) == []
        assert data["amir/num_pairs"] > 0 and data["actor/grad_norm"] > 0


def test_a_checkpoint_holds_adapters_alone(training):
    out, _ = training
    shard = out / "checkpoints/global_step_2/actor/model_world_size_1_rank_0.pt"
    state = torch.load(shard, weights_only=False, map_location="cpu")
    assert state and all("lora_" in name for name in state)
