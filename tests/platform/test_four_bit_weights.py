"""A base in four bits has the values that NF4 says, from whatever folder it is read."""

import json
from dataclasses import fields

import pytest
import torch
from four_bit_models import IDS, four_bit, probabilities, write_four_bit_model, write_loud_model
from transformers import AutoModelForCausalLM

from amir_verl.cli import dequantize
from amir_verl.platform.four_bit import is_four_bit
from amir_verl.platform.four_bit_weights import STORAGE, dequantized, four_bit_layers

ARCHITECTURES = ("qwen2", "gemma3")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    return write_loud_model(request.param, tmp_path_factory.mktemp("loud") / request.param)


@pytest.fixture(scope="module")
def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def quantized(folder):
    return four_bit(folder)


def weights_of(model):
    return {name: dequantized(layer.weight.data, layer) for name, layer in four_bit_layers(model)}


def test_every_linear_map_of_the_layers_is_packed_and_nothing_else(plain, quantized):
    maps = {name for name, module in plain.named_modules() if type(module) is torch.nn.Linear}
    packed = dict(four_bit_layers(quantized))
    assert set(packed) == maps - {"lm_head"}
    for name, layer in packed.items():
        rows, columns = plain.get_submodule(name).weight.shape
        assert layer.weight.dtype == STORAGE
        assert layer.weight.numel() * layer.weight.element_size() == rows * columns // 2
    for name, weight in plain.state_dict().items():
        if name.removesuffix(".weight") not in packed:
            assert torch.equal(quantized.state_dict()[name], weight), name


def test_a_weight_is_off_by_at_most_half_a_step_of_nf4(plain, quantized):
    for name, values in weights_of(quantized).items():
        exact_B64 = plain.get_submodule(name).weight.detach().reshape(-1, 64)
        error = (values.reshape(-1, 64) - exact_B64).abs().amax(1) / exact_B64.abs().amax(1)
        # Half of NF4's widest step, from -1 to -0.6962; then 2 % for a scale that is itself in eight bits.
        assert error.max() <= 0.1519 + 0.02, name
        assert error.max() > 0.05, name


def test_the_base_in_full_precision_says_something_else(plain, quantized):
    assert (probabilities(plain) - probabilities(quantized)).abs().max() > 1e-2


@pytest.mark.parametrize("storage", ["uint8", "bfloat16", "float32"])
def test_a_folder_in_four_bits_has_the_same_values(folder, quantized, tmp_path, storage):
    ready = write_four_bit_model(folder, tmp_path / "model-bnb-4bit", storage=storage)
    assert is_four_bit(json.loads((ready / "config.json").read_text()))
    assert not is_four_bit(json.loads((folder / "config.json").read_text()))
    loaded = four_bit(ready)
    found, wanted = weights_of(loaded), weights_of(quantized)
    assert set(found) == set(wanted) and len(wanted) == 14
    for name, values in wanted.items():
        assert torch.equal(found[name], values), name
    assert torch.equal(probabilities(loaded), probabilities(quantized))


def test_a_forward_pass_leaves_the_packed_weights_alone(quantized):
    """bitsandbytes would repack them in place on a CPU with AVX512-BF16, under FSDP's hands."""
    before = {name: layer.weight.data.clone() for name, layer in four_bit_layers(quantized)}
    probabilities(quantized)
    for name, layer in four_bit_layers(quantized):
        assert torch.equal(layer.weight.data.view(torch.uint8), before[name].view(torch.uint8)), name


def test_the_gradient_reaches_the_input(quantized):
    embedded = quantized.get_input_embeddings()(IDS).detach().requires_grad_()
    quantized(inputs_embeds=embedded).logits.float().logsumexp(-1).sum().backward()
    assert embedded.grad.abs().sum() > 0


@pytest.mark.parametrize("ready", [False, True], ids=["plain", "in four bits"])
def test_the_dequantized_folder_is_a_plain_model(folder, quantized, tmp_path, capsys, ready):
    source = write_four_bit_model(folder, tmp_path / "model-bnb-4bit") if ready else folder
    out = tmp_path / "dequantized"
    assert dequantize.main([str(source), str(out), "--dtype", "float32"]) == 0
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    # Products of float32 in another order.
    torch.testing.assert_close(probabilities(model), probabilities(quantized), rtol=0, atol=1e-5)
    assert dequantize.main([str(folder), str(out)]) == 1
    assert capsys.readouterr().err.endswith(f"dequantize: {out} is already there\n")


def test_verl_has_no_such_path_of_its_own():
    """When it has, the engine beside verl's can go."""
    from verl.workers.config import HFModelConfig

    names = [field.name for field in fields(HFModelConfig)]
    assert "lora_rank" in names
    assert [name for name in names if "quant" in name or "bit" in name] == []


def test_what_is_no_model_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert dequantize.main([str(tmp_path / "empty"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
