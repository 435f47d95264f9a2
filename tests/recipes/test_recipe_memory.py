"""Offload, micro-batches and tensor parallelism follow from the card."""

import itertools
import os

import pytest
from recipe_overrides import ACTOR, offload_of, settings_of


@pytest.mark.parametrize(
    ("name", "gigabytes", "gpus", "lora", "offload", "tokens", "tp", "utilisation"),
    [
        # In full 3.1 billion parameters need 49 GB, 7.6 need 122 and 4.3 need 69; with LoRA 12, 30 and 17.
        ("qwen2.5_3b", 24, 1, 0, "cpu", 8192, 1, "0.75"),
        ("qwen2.5_3b", 48, 1, 0, "cpu", 16384, 1, "0.75"),
        ("qwen2.5_3b", 80, 1, 0, "swap", 9216, 1, "0.75"),
        ("qwen2.5_3b", 80, 8, 0, "none", 16384, 1, "0.75"),
        ("qwen2.5_3b", 24, 1, 16, "swap", 3072, 1, "0.75"),
        ("qwen2.5_3b", 48, 1, 16, "none", 13312, 1, "0.59"),
        ("qwen2.5_7b", 24, 8, 0, "swap", 2048, 2, "0.75"),
        ("qwen2.5_7b", 80, 1, 0, "cpu", 16384, 1, "0.75"),
        ("qwen2.5_7b", 80, 8, 0, "none", 16384, 1, "0.66"),
        ("qwen2.5_7b", 48, 1, 16, "swap", 4096, 1, "0.75"),
        ("gemma3_4b", 24, 1, 0, "cpu", 4096, 1, "0.75"),
        ("gemma3_4b", 80, 1, 16, "none", 13312, 1, "0.63"),
    ],
)
def test_offload_and_micro_batch_fit_the_card(
    recipe, name, gigabytes, gpus, lora, offload, tokens, tp, utilisation
):
    made = recipe(name, GPU_MEMORY_GB=str(gigabytes), GPUS=str(gpus), LORA_RANK=str(lora))
    settings = settings_of(made)
    assert offload_of(settings) == offload
    assert settings[f"{ACTOR}.use_dynamic_bsz"] == "True"
    assert settings[f"{ACTOR}.ppo_max_token_len_per_gpu"] == str(tokens)
    assert settings["actor_rollout_ref.rollout.tensor_model_parallel_size"] == str(tp)
    assert settings["actor_rollout_ref.rollout.gpu_memory_utilization"] == utilisation


# Parameters and vocabulary of the published models.
MODELS = {
    "qwen2.5_3b": (3_085_938_688, 151_936),
    "qwen2.5_7b": (7_615_616_512, 152_064),
    "gemma3_4b": (4_300_079_472, 262_208),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_chosen_fits(recipe, name):
    """The same arithmetic in bytes: what must lie on the card at once is no more than the card."""
    parameters, vocabulary = MODELS[name]
    for gigabytes, gpus, rank in itertools.product((24, 48, 80, 141), (1, 2, 8), (0, 16)):
        settings = settings_of(
            recipe(name, GPU_MEMORY_GB=str(gigabytes), GPUS=str(gpus), LORA_RANK=str(rank))
        )
        card, offload = gigabytes * 1e9, offload_of(settings)
        state = (4 if rank else 16) * parameters / gpus
        tokens = int(settings[f"{ACTOR}.ppo_max_token_len_per_gpu"])
        assert 2048 <= tokens <= 16384
        # Logits, a float32 log-softmax and its gradient, the gradient of the logits.
        assert (0 if offload == "cpu" else state) + tokens * vocabulary * (2 + 4 + 4 + 2) < card
        engine = float(settings["actor_rollout_ref.rollout.gpu_memory_utilization"]) * card
        split = int(settings["actor_rollout_ref.rollout.tensor_model_parallel_size"])
        assert 2 * parameters / split + 1e9 < engine
        assert gpus % split == 0
        assert (state if offload == "none" else 0) + engine < card


@pytest.mark.parametrize("name", MODELS)
def test_a_smaller_card_never_keeps_more_on_it(recipe, name):
    cards = ("24", "48", "80", "141")
    levels = [offload_of(settings_of(recipe(name, GPU_MEMORY_GB=card))) for card in cards]
    assert levels == sorted(levels, key=["cpu", "swap", "none"].index)
    assert levels[0] == "cpu"


def test_memory_settings_can_be_given(recipe):
    made = recipe("qwen2.5_7b", GPU_MEMORY_GB="24", OFFLOAD="none", TOKENS="4000", TP="1", UTILISATION="0.4")
    settings = settings_of(made)
    assert offload_of(settings) == "none"
    assert settings[f"{ACTOR}.ppo_max_token_len_per_gpu"] == "4000"
    assert settings["actor_rollout_ref.rollout.gpu_memory_utilization"] == "0.4"


def test_the_cards_are_asked_for(recipe, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf '24564\\n24564\\n49140\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = settings_of(recipe("qwen2.5_3b", PATH=path, GPUS=None, GPU_MEMORY_GB=None))
    assert found["trainer.n_gpus_per_node"] == "3"
    assert found == settings_of(recipe("qwen2.5_3b", GPUS="3", GPU_MEMORY_GB="24"))


def test_a_machine_without_nvidia_smi_says_what_is_assumed(recipe, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    made = recipe("gemma3_4b", PATH=f"{tmp_path}:{os.environ['PATH']}", GPUS=None, GPU_MEMORY_GB=None)
    assert "no nvidia-smi here: GPU_MEMORY_GB=80 is assumed" in made.stderr
    assert settings_of(made) == settings_of(recipe("gemma3_4b", GPUS="1", GPU_MEMORY_GB="80"))
