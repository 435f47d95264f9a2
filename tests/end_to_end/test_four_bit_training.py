"""Recipes with LOAD_IN_4BIT=1 train tiny models for real: Qwen2 on one rank from a plain checkpoint, Gemma 3
on two from one in four bits, with a checkpoint from which the same command goes on.

What the engine does in detail is in tests/platform/test_four_bit_engine.py, without Ray.
"""

import pytest
import torch
from trainings import DIGIT_REWARD, EVERY_STEP, not_finite, train
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from amir_verl.export.adapters import adapter_weights

pytestmark = pytest.mark.slow

SMALL = {
    "PLATFORM": "cpu",
    "LOAD_IN_4BIT": 1,
    "LORA_RANK": 16,
    "STEPS": 2,
    "PROMPTS": 4,
    "GROUP": 4,
    "PROMPT_LENGTH": 1536,
    "RESPONSE_LENGTH": 32,
    "VAL_PROBLEMS": 2,
    "VAL_SAMPLES": 2,
    "VAL_BEFORE_TRAIN": "False",
    "TEST_FREQ": 2,
    "SAVE_FREQ": 2,
    "REWARD": DIGIT_REWARD,  # of what an untrained model says too
}
DIFFERENCE = "training/rollout_probs_diff_max"
LOUDER = 8  # times the weights of a fresh model, which would say the same in any precision


@pytest.fixture(scope="module")
def loud_models(tiny_models, tmp_path_factory):
    """Folder, plain or in four bits, by architecture; and how far four bits move a probability, at most."""
    root = tmp_path_factory.mktemp("loud")

    def get(architecture, *, packed=False):
        source, plain, ready = (
            tiny_models(architecture),
            root / architecture,
            root / f"{architecture}-bnb-4bit",
        )
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(LOUDER)
        model.save_pretrained(plain)
        nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
        quantized = AutoModelForCausalLM.from_pretrained(
            plain, dtype=torch.float32, quantization_config=nf4, device_map={"": "cpu"}
        ).eval()
        quantized.save_pretrained(ready)
        for folder in (plain, ready):
            AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        with torch.no_grad():
            ids = torch.arange(3, 60)[None]
            said = [each(ids).logits.softmax(-1) for each in (model, quantized)]
        return ready if packed else plain, float((said[0] - said[1]).abs().max())

    return get


@pytest.fixture(scope="module")
def inputs(questions):
    return SMALL | {"TRAIN": questions / "gsm8k_train.parquet", "VAL": questions / "gsm8k_test.parquet"}


@pytest.fixture(scope="module")
def qwen(loud_models, inputs, tmp_path_factory):
    model, moved = loud_models("qwen2")
    out = tmp_path_factory.mktemp("qwen")
    return out, train("qwen2.5_7b", out, **inputs, MODEL=model), moved


@pytest.fixture(scope="module")
def gemma(loud_models, inputs, tmp_path_factory):
    """Two steps, then the same command for one more."""
    model, moved = loud_models("gemma3", packed=True)
    out = tmp_path_factory.mktemp("gemma")
    run = inputs | {"MODEL": model, "GPUS": 2, "ALGO": "amir_gspo", "PACKED": "False"}
    metrics = train("gemma3_4b", out, **run)
    return out, metrics | train("gemma3_4b", out, **(run | {"STEPS": 3})), moved


@pytest.fixture(params=["qwen", "gemma"])
def training(request):
    return request.getfixturevalue(request.param)


def test_vllm_samples_from_the_base_in_four_bits_and_the_same_adapters(training):
    _, metrics, moved = training
    assert moved > 1e-2  # what a base in another precision would show
    for step, data in metrics.items():
        assert data[DIFFERENCE] < 1e-3, step


def test_every_step_trains_and_is_logged(training):
    _, metrics, _ = training
    for data in metrics.values():
        assert set(data) >= EVERY_STEP
        assert not_finite({name: data[name] for name in EVERY_STEP}) == []
        assert data["amir/num_pairs"] > 0 and data["actor/grad_norm"] > 0


def test_a_checkpoint_holds_adapters_alone(training):
    out, _, _ = training
    shards = sorted((out / "checkpoints/global_step_2/actor").glob("model_world_size_*.pt"))
    assert len(shards) == (2 if "gemma" in str(out) else 1)
    for shard in shards:
        state = torch.load(shard, weights_only=False, map_location="cpu")
        assert state and all("lora_" in name for name in state)


def test_the_same_command_goes_on_from_the_checkpoint(gemma):
    out, metrics, _ = gemma
    assert sorted(metrics) == [1, 2, 3]
    assert (out / "checkpoints/latest_checkpointed_iteration.txt").read_text() == "3"
    moments = {}
    for step in (2, 3):
        actor = out / f"checkpoints/global_step_{step}/actor"
        optimizer = torch.load(actor / "optim_world_size_2_rank_0.pt", weights_only=False, map_location="cpu")
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
