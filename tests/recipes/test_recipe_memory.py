"""What a recipe hands to verl of the plan that tests/cli/test_memory.py checks."""

import os

from recipe_overrides import ACTOR, offload_of, settings_of


def test_the_plan_reaches_verl(recipes):
    cases = {
        ("qwen2.5_3b", "24", "1", "0"): ("cpu", "12288", "1", "0.75"),
        ("qwen2.5_3b", "80", "1", "0"): ("swap", "12288", "1", "0.75"),
        ("qwen2.5_3b", "48", "1", "16"): ("none", "16384", "1", "0.59"),
        ("qwen2.5_7b", "24", "8", "0"): ("cpu", "11264", "2", "0.75"),
        ("qwen2.5_7b", "80", "8", "0"): ("none", "16384", "1", "0.66"),
        ("gemma3_4b", "24", "1", "0"): ("cpu", "7168", "1", "0.75"),
    }
    made = recipes(
        [
            (name, [], {"GPU_MEMORY_GB": card, "GPUS": gpus, "LORA_RANK": rank})
            for name, card, gpus, rank in cases
        ]
    )
    for case, process in zip(cases, made, strict=True):
        settings = settings_of(process)
        assert settings[f"{ACTOR}.use_dynamic_bsz"] == "True"
        rollout = "actor_rollout_ref.rollout"
        assert cases[case] == (
            offload_of(settings),
            settings[f"{ACTOR}.ppo_max_token_len_per_gpu"],
            settings[f"{rollout}.tensor_model_parallel_size"],
            settings[f"{rollout}.gpu_memory_utilization"],
        ), case


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
