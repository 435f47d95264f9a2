"""The memory arithmetic: published shapes, what is chosen for a card, and what torch really allocates."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from torch.profiler import ProfilerActivity, profile
from transformers import Gemma3Config, Gemma3TextConfig, Qwen2Config, Qwen2ForCausalLM

from amir_verl.cli import cards
from amir_verl.cli.memory import GB, OFFLOAD, estimate
from amir_verl.cli.memory_plan import plan
from amir_verl.cli.model_shapes import PUBLISHED, shape_of

ROOT = Path(__file__).resolve().parents[2]
# Parameters of the checkpoints on the hub.
PARAMETERS = {
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "gemma3-1b": 999_885_952,
    "gemma3-4b": 4_300_079_472,
}
LORA_16 = {"qwen2.5-3b": 29_933_568, "qwen2.5-7b": 40_370_176, "gemma3-4b": 29_802_496}
KV_CACHE = {"qwen2.5-3b": 36_864, "qwen2.5-7b": 57_344, "gemma3-4b": 139_264}


def test_the_published_models_have_their_published_sizes():
    assert {name: shape.parameters for name, shape in PUBLISHED.items()} == PARAMETERS
    assert {name: PUBLISHED[name].lora_parameters(16) for name in LORA_16} == LORA_16
    assert {name: PUBLISHED[name].kv_cache_bytes for name in KV_CACHE} == KV_CACHE


def test_a_shape_is_read_from_a_config_of_transformers():
    small = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen2Config(vocab_size=100, num_key_value_heads=1, tie_word_embeddings=False, **small)
    with torch.device("meta"):
        wanted = Qwen2ForCausalLM(config).num_parameters()
    assert shape_of(config.to_dict()).parameters == wanted
    text = Gemma3TextConfig(**small).to_dict()
    assert shape_of(text | {"head_dim": 256}).vocab_size == text["vocab_size"]
    vision = Gemma3Config().vision_config.to_dict()
    assert shape_of({"text_config": text, "vision_config": vision}).frozen > 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "models of type none are not reckoned"),
        ({"model_type": "mamba"}, "models of type mamba are not reckoned"),
        ({"model_type": "qwen2", "hidden_size": 8}, "the model's config.json lacks vocab_size, "),
    ],
)
def test_an_unknown_model_is_one_line(config, message):
    with pytest.raises(ValueError, match=message):
        shape_of(config)


def test_state_is_sixteen_bytes_a_trained_parameter_and_four_a_frozen_one():
    shape = PUBLISHED["qwen2.5-3b"]
    assert estimate(shape, card=80 * GB, gpus=8).state == pytest.approx(16 * shape.parameters / 8)
    adapters = shape.lora_parameters(16)
    lora = estimate(shape, card=80 * GB, lora_rank=16)
    assert lora.state == pytest.approx(4 * shape.parameters + 16 * adapters)
    gemma = PUBLISHED["gemma3-4b"]  # its vision tower gets no gradient
    trained = gemma.parameters - gemma.frozen
    assert estimate(gemma, card=80 * GB).state == pytest.approx(4 * gemma.frozen + 16 * trained)


@pytest.mark.parametrize("name", ["qwen2.5-3b", "qwen2.5-7b", "gemma3-4b"])
def test_what_is_chosen_fits(name):
    for card, gpus, rank, flash in itertools.product((24, 48, 80, 141), (1, 2, 8), (0, 16), (True, False)):
        run = plan(
            PUBLISHED[name], card=card * GB, gpus=gpus, lora_rank=rank, longest=2048, flash_attention=flash
        )
        assert run.problems == [], (card, gpus, rank, flash)
        assert 2048 <= run.tokens <= 16384
        assert gpus % run.tensor_parallel == 0


@pytest.mark.parametrize("name", ["qwen2.5-3b", "qwen2.5-7b", "gemma3-4b"])
def test_a_smaller_card_never_keeps_more_on_it(name):
    levels = [
        plan(PUBLISHED[name], card=card * GB, gpus=1, longest=2048).offload for card in (24, 48, 80, 141)
    ]
    assert levels == sorted(levels, key=OFFLOAD[::-1].index)
    assert levels[0] == "cpu"


def test_what_does_not_fit_is_said_with_changes_that_do():
    shape = PUBLISHED["qwen2.5-3b"]
    run = estimate(shape, card=24 * GB, tokens=4096)
    assert run.problems[0].startswith("the update needs ")
    ways = cards.advice(run)
    assert any(way.get("OFFLOAD") == "cpu" for way in ways)
    assert any(way.get("LORA_RANK") == 16 for way in ways)
    in_recipes, in_verl = cards.verdict(run).split("\n")
    assert in_recipes.count(" or ") == in_verl.count(" or ") == len(ways) - 1
    assert all(f"{name}={value}" in in_recipes for way in ways for name, value in way.items())
    assert "actor_rollout_ref.model.lora_rank=16" in in_verl


def test_a_run_on_given_responses_has_no_engine():
    shape = PUBLISHED["qwen2.5-3b"]
    run = estimate(shape, card=80 * GB, utilisation=0.0, samples=False)
    assert run.engine == 0 and not any("vLLM" in problem for problem in run.problems)
    assert "vLLM" not in cards.memory_line(run)
    assert "vLLM" in cards.memory_line(estimate(shape, card=80 * GB))
    # Nothing has to make room for an engine: the state stays on the card.
    assert plan(shape, card=80 * GB, gpus=1, longest=2048).offload == "swap"
    assert plan(shape, card=80 * GB, gpus=1, longest=2048, samples=False).offload == "none"


def test_a_reference_policy_lies_on_the_host_and_adapters_need_none():
    """verl's engines for a model that only runs forward: workers/engine/fsdp/transformer_impl.py:462."""
    shape = PUBLISHED["qwen2.5-3b"]
    for nodes in (1, 2):
        plain, beside = (
            estimate(shape, card=80 * GB, gpus=8, nodes=nodes, reference=reference)
            for reference in (False, True)
        )
        assert beside.host - plain.host == pytest.approx(4 * shape.parameters / nodes)
        assert beside.update == plain.update
    plain, beside = (
        estimate(shape, card=80 * GB, lora_rank=16, reference=reference) for reference in (False, True)
    )
    assert beside.host == plain.host


def test_every_advised_change_is_a_setting_of_verl():
    """What the second line says can be pasted: a run that takes it is one that fits."""
    run = estimate(PUBLISHED["qwen2.5-7b"], card=24 * GB, gpus=2, tokens=8192, utilisation=0.8)
    ways = cards.advice(run)
    assert {"OFFLOAD", "GPUS", "TOKENS"} <= {name for way in ways for name in way}
    _, in_verl = cards.verdict(run).split("\n")
    for way, words in zip(ways, in_verl.removeprefix("in verl's settings: ").split(" or "), strict=True):
        with initialize_config_module("verl.trainer.config", version_base=None):
            config = compose("ppo_trainer", overrides=words.split())
        worker = config.actor_rollout_ref
        assert worker.actor.fsdp_config.offload_policy == (way.get("OFFLOAD") == "cpu")
        assert worker.actor.fsdp_config.optimizer_offload == (way.get("OFFLOAD") == "swap")
        assert config.trainer.n_gpus_per_node == way.get("GPUS", config.trainer.n_gpus_per_node)
        assert worker.actor.ppo_max_token_len_per_gpu == way.get("TOKENS", 16384)


@pytest.mark.parametrize(
    ("hidden", "intermediate", "layers"), [(256, 1024, 2), (256, 1024, 8), (512, 512, 4)]
)
def test_activations_are_what_torch_allocates(hidden, intermediate, layers):
    """A real Qwen2 with gradient checkpointing in bfloat16, forward and backward, on the host."""
    tokens, vocabulary = 512, 64
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 256,
    )
    config._attn_implementation = "sdpa"
    model = Qwen2ForCausalLM(config).to(torch.bfloat16).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.arange(tokens)[None] % vocabulary

    def update():
        logits = model(input_ids=ids, use_cache=False).logits
        logits.float().log_softmax(-1).mean().backward()

    update()  # from now on the gradients are there
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        update()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    steps = itertools.accumulate(
        event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())
    )
    measured = max(steps)
    shape = shape_of(config.to_dict())
    reckoned = estimate(shape, card=GB, tokens=tokens).activations
    # A quarter: kernels of the host keep other scratch than a GPU's, and the recomputed layer is a fit.
    assert reckoned == pytest.approx(measured, rel=0.25)


def test_the_table_of_the_docs_is_the_commands():
    assert cards.table() in (ROOT / "docs" / "recipes.md").read_text()


def test_the_arithmetic_needs_no_torch():
    code = "import sys, amir_verl.cli.cards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
