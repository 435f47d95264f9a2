"""LOAD_IN_4BIT=1 reaches verl, counts in the memory plan, and is refused where it cannot work."""

import importlib.util
import json
from dataclasses import asdict

import pytest
from omegaconf import OmegaConf
from recipe_overrides import ACTOR, offload_of, overrides_of, refusal_of, settings_of

from amir_verl.cli.composition import composed_run
from amir_verl.cli.dry_run import check_run, main
from amir_verl.cli.memory import GB, estimate
from amir_verl.cli.memory_plan import plan
from amir_verl.cli.model_shapes import PUBLISHED
from amir_verl.platform.four_bit import MODEL_TYPE
from amir_verl.platform.four_bit_checks import check_four_bit

MODEL = "actor_rollout_ref.model"
ROLLOUT = "actor_rollout_ref.rollout"


@pytest.fixture
def composed(cpu_verl, recipe):
    return composed_run(overrides_of(recipe("qwen2.5_7b", LOAD_IN_4BIT="1", LORA_RANK="16")))


def test_the_variable_becomes_verls_settings(composed, recipe):
    settings = settings_of(recipe("qwen2.5_7b", LOAD_IN_4BIT="1", LORA_RANK="16"))
    assert settings["quantization"] == "nf4"
    assert settings["trainer.experiment_name"] == "qwen2.5-7b-amir_grpo-lora16-4bit-train-n8-lr5e-6-seed0"
    worker = composed.actor_rollout_ref
    assert (worker.model.model_type, worker.model.lora_rank) == (MODEL_TYPE, 16)
    assert worker.actor.checkpoint.save_lora_only
    # vLLM is to forget what a folder in four bits says of itself.
    assert worker.rollout.engine_kwargs.vllm.hf_overrides == {"quantization_config": None}
    check_four_bit(composed)
    plain = settings_of(recipe("qwen2.5_7b", LORA_RANK="16"))
    assert "quantization" not in plain and plain["trainer.experiment_name"].count("4bit") == 0


def test_every_recipe_takes_it(recipes):
    names = ["qwen2.5_3b", "qwen2.5_7b", "gemma3_4b", "tiny_cpu", "ranked"]
    variables = {"LOAD_IN_4BIT": "1", "LORA_RANK": "8"}
    for process in recipes([(name, [], variables) for name in names]):
        settings = settings_of(process)
        assert (settings["quantization"], settings[f"{MODEL}.lora_rank"]) == ("nf4", "8")


def test_a_card_of_24_gb_trains_the_7b_without_living_on_the_host(recipe):
    card = {"GPU_MEMORY_GB": "24", "LORA_RANK": "16"}
    assert offload_of(settings_of(recipe("qwen2.5_7b", **card))) == "cpu"
    assert offload_of(settings_of(recipe("qwen2.5_7b", LOAD_IN_4BIT="1", **card))) == "swap"


@pytest.mark.parametrize("name", ["qwen2.5-3b", "qwen2.5-7b", "gemma3-4b"])
def test_what_is_chosen_for_four_bits_fits(name):
    for card in (24, 48, 80):
        run = plan(PUBLISHED[name], card=card * GB, gpus=1, lora_rank=16, four_bit=True, longest=2048)
        assert run.problems == [] and run.tokens >= 2048
        with_plain_base = estimate(PUBLISHED[name], card=card * GB, lora_rank=16)
        assert run.state < 0.3 * with_plain_base.state


def test_a_dry_run_reckons_with_it(cpu_verl, recipe, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GPU_MEMORY_GB", "24")
    (tmp_path / "config.json").write_text(json.dumps(asdict(PUBLISHED["qwen2.5-7b"])))
    run = {"LOAD_IN_4BIT": "1", "LORA_RANK": "16", "GPU_MEMORY_GB": "24", "MODEL": str(tmp_path)}
    assert main(overrides_of(recipe("qwen2.5_7b", **run))) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("memory, GB of each of 1 x 24 GB: state 6 (offload swap), update ")
    assert said[2] == "it fits"


REFUSALS = [
    ({f"{MODEL}.lora_rank": 0}, "+quantization=nf4 freezes the base: set actor_rollout_ref.model.lora_rank"),
    ({f"{ACTOR}.strategy": "megatron"}, "four-bit base weights need FSDP2: .*got megatron"),
    ({f"{ACTOR}.strategy": "fsdp"}, "four-bit base weights need FSDP2: .*got fsdp"),
    ({f"{ROLLOUT}.name": "sglang"}, "four-bit base weights are sent to vLLM alone: .*got sglang"),
    ({f"{ROLLOUT}.load_format": "safetensors"}, "would sample from weights that are not the actor's"),
    ({f"{MODEL}.lora.merge": True}, "adapters would be rounded away: .*merge=False"),
    ({f"{ACTOR}.fsdp_config.qat.enable": True}, "verl's qat exclude each other"),
    ({"trainer.v1.trainer_mode": "amir_separate_async"}, "a separate rollout engine gets no LoRA adapters"),
    ({f"{ROLLOUT}.checkpoint_engine.backend": "nccl"}, "a separate rollout engine gets no LoRA adapters"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS)
def test_what_cannot_run_is_refused(composed, changes, message):
    for place, value in changes.items():
        OmegaConf.update(composed, place, value, force_add=True)
    with pytest.raises(ValueError, match=message.replace("+", r"\+")) as refusal:
        check_four_bit(composed)
    assert "\n" not in str(refusal.value)


def test_a_missing_bitsandbytes_is_refused_with_its_cure(composed, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name)
    )
    with pytest.raises(ValueError, match=r"not installed: pip install 'bitsandbytes>=0.50,<0.51'$"):
        check_four_bit(composed)


def test_a_quantized_folder_says_what_it_needs(cpu_verl, recipe, composed, tmp_path):
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": settings}))
    with pytest.raises(
        ValueError, match=r"is in four bits: set LOAD_IN_4BIT=1 \(verl: \+quantization=nf4\)$"
    ):
        check_run(overrides_of(recipe("qwen2.5_7b", LORA_RANK="16", MODEL=str(tmp_path))))
    composed.actor_rollout_ref.model.path = str(tmp_path)
    check_four_bit(composed)
    settings = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": settings}))
    with pytest.raises(ValueError, match=r"is quantized by gptq: four-bit training needs a plain"):
        check_four_bit(composed)


def test_the_recipe_refuses_before_it_plans(recipes):
    cases = {
        ("1", "0"): "LOAD_IN_4BIT=1 freezes the base: set LORA_RANK, such as LORA_RANK=16",
        ("yes", "16"): "LOAD_IN_4BIT must be 0 or 1, got 'yes'",
    }
    made = recipes([("qwen2.5_7b", [], {"LOAD_IN_4BIT": bits, "LORA_RANK": rank}) for bits, rank in cases])
    for message, process in zip(cases.values(), made, strict=True):
        assert refusal_of(process) == f"qwen2.5_7b.sh: {message}"
