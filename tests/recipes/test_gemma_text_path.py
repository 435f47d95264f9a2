"""Gemma 3 as it is published, with a vision tower: text alone, packed, adapters in the language model."""

import pytest
import torch
from recipe_overrides import settings_of
from transformers import Gemma3Config, Gemma3ForConditionalGeneration


@pytest.fixture
def gemma():
    torch.manual_seed(0)
    text = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=299
    )
    config._attn_implementation = "sdpa"
    return Gemma3ForConditionalGeneration(config).train()


def test_packed_sequences_do_not_see_each_other(gemma):
    first, second = torch.arange(5, 25)[None], torch.arange(30, 63)[None]
    apart = torch.cat([gemma(input_ids=tokens).logits[0] for tokens in (first, second)])
    # As verl packs: no mask, positions that begin anew (workers/engine/fsdp/transformer_impl.py).
    both = torch.cat([first, second], dim=1)
    positions = torch.cat([torch.arange(20), torch.arange(33)])[None]
    packed = gemma(input_ids=both, attention_mask=None, position_ids=positions, use_cache=False).logits[0]
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-5)
    run_on = gemma(input_ids=both, use_cache=False).logits[0]
    assert (run_on - apart).abs().max() > 0.01


def test_adapters_leave_the_vision_tower_out(gemma, recipe):
    from peft import LoraConfig, get_peft_model  # seconds, which the fast tier would pay twice

    settings = settings_of(recipe("gemma3_4b", LORA_RANK="16"))
    pattern = settings["actor_rollout_ref.model.exclude_modules"].strip("'")
    adapted = get_peft_model(gemma, LoraConfig(r=16, target_modules="all-linear", exclude_modules=pattern))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 7  # layers, A and B, linear maps of a layer
    assert all(".language_model." in name for name in trained)
