"""verl's actor on a base in four bits, one rank and two: training, vLLM's weights, bytes, saving, export."""

import json

import pytest
import torch
import torch.multiprocessing as mp
from four_bit_models import IDS, four_bit, probabilities, write_four_bit_model, write_loud_model
from four_bit_ranks import ALPHA, RANK, rank_process
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from amir_verl.cli import export
from amir_verl.cli.four_bit_memory import four_bit_base
from amir_verl.cli.model_shapes import shape_of
from amir_verl.export.model_export import find_actor

pytestmark = pytest.mark.slow

FLOAT32 = 2e-5  # of a logit of about 10, summed in another order


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of the plain model by architecture; Gemma 3 trains from one in four bits."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_loud_model(name, root / name) for name in ("qwen2", "gemma3")}


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory):
    """By number of ranks: the folder, and what each rank saw."""
    ready = write_four_bit_model(folders["gemma3"], folders["gemma3"].parent / "gemma3-bnb-4bit")
    models = {"qwen2": str(folders["qwen2"]), "gemma3": str(ready)}
    found = {}
    for ranks in (1, 2):
        folder = tmp_path_factory.mktemp(f"ranks_{ranks}")
        mp.spawn(rank_process, args=(ranks, str(folder), models), nprocs=ranks, join=True)
        saw = [torch.load(folder / f"rank_{rank}.pt", weights_only=False) for rank in range(ranks)]
        found[ranks] = folder, saw
    return found


@pytest.fixture(params=[(name, ranks) for name in ("qwen2", "gemma3") for ranks in (1, 2)], ids=str)
def run(request, runs):
    name, ranks = request.param
    folder, saw = runs[ranks]
    return name, folder / name, [rank[name] for rank in saw]


def test_adapters_train_in_float32_on_packed_weights(run):
    _, _, saw = run
    for rank in saw:
        assert rank["engine"] == "FourBitEngine"
        assert rank["trained"] == {torch.float32}
        assert rank["losses"][1] < rank["losses"][0]
        assert all(norm > 0 for norm in rank["norms"])
        moved = [rank["adapters"][name] - before for name, before in rank["adapters_before"].items()]
        assert all(change.abs().max() > 0 for change in moved)


@pytest.mark.parametrize("name", ["qwen2", "gemma3"])
def test_two_ranks_do_what_one_does(runs, name):
    (one,), two = (runs[ranks][1] for ranks in (1, 2))
    for rank in two:
        assert rank[name]["losses"] == pytest.approx(one[name]["losses"], rel=1e-5)
        assert rank[name]["norms"] == pytest.approx(one[name]["norms"], rel=1e-4)
        for weight, values in one[name]["adapters"].items():
            # A step of Adam is its rate of 1e-3 where a gradient is near 0.
            torch.testing.assert_close(rank[name]["adapters"][weight], values, rtol=0, atol=1e-4)


def test_vllm_gets_the_very_policy(run, folders):
    """What is sent, base and adapters, in a plain model of transformers."""
    name, _, saw = run
    sent = {key.replace(".base_layer", ""): value for key, value in saw[0]["base"].items()}
    model = AutoModelForCausalLM.from_pretrained(folders[name], dtype=torch.float32).eval()
    full = probabilities(model)
    model.load_state_dict(sent)
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, saw[0]["reference"], rtol=0, atol=FLOAT32)
        add_adapters(model, saw[0]["adapters"])
        torch.testing.assert_close(model(IDS).logits, saw[0]["logits"], rtol=0, atol=FLOAT32)
    # The base in full precision would have been another policy.
    assert (full - saw[0]["reference"].softmax(-1)).abs().max() > 1e-2


def add_adapters(model, adapters):
    weights = model.state_dict()
    for name, down in adapters.items():
        if "lora_A" in name:
            up = adapters[name.replace("lora_A", "lora_B")]
            place = name.removeprefix("base_model.model.").replace(".lora_A", "")
            weights[place] += ALPHA / RANK * up @ down


def test_bytes_are_those_of_the_arithmetic(run, folders):
    name, _, saw = run
    shape = shape_of(json.loads((folders[name] / "config.json").read_text()))
    base = four_bit_base(shape, plain=4)  # a CPU computes in float32
    adapters = 4 * shape.lora_parameters(RANK)
    shards = sum(rank["bytes"][0] for rank in saw)
    assert shards == base.sharded + adapters
    for rank in saw:
        assert rank["bytes"][0] == pytest.approx(shards / len(saw), rel=0.01)  # rows do not divide evenly
        # A last block of scales is rarely full.
        assert base.copied <= rank["bytes"][1] <= base.copied + 4 * 7 * shape.num_hidden_layers
    float32 = 4 * shape.parameters
    assert shards - adapters < 0.5 * float32  # of a model that is half embeddings


def test_a_checkpoint_holds_adapters_and_brings_them_back(run):
    _, checkpoint, saw = run
    for rank, seen in enumerate(saw):
        state = torch.load(
            checkpoint / f"model_world_size_{len(saw)}_rank_{rank}.pt", weights_only=False, map_location="cpu"
        )
        assert state and all("lora_" in name for name in state)
        for name, values in seen["adapters"].items():
            assert not seen["adapters_lost"][name].any()
            assert torch.equal(seen["adapters_loaded"][name], values), name
        torch.testing.assert_close(seen["logits_loaded"], seen["logits"], rtol=0, atol=FLOAT32)


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(run):
    """Adam's moments too: one that begins anew moves every weight by the whole learning rate, 1e-3."""
    _, _, saw = run
    for seen in saw:
        before, after = seen["adapters"], seen["adapters_third_step"]
        for name, values in after.items():
            torch.testing.assert_close(seen["adapters_third_step_resumed"][name], values, rtol=0, atol=1e-6)
        assert max((after[name] - before[name]).abs().max() for name in after) > 1e-4


def exported(checkpoint, out, monkeypatch, **variables):
    for name in ("ADAPTERS", "BASE_WEIGHTS", "CONFIG", "RUN_DIR", "PUSH_TO"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    return export.main([str(checkpoint), str(out)])


def test_adapters_are_exported_alone(run, folders, tmp_path, monkeypatch):
    from peft import PeftModel  # seconds, also where no test of this file runs

    name, checkpoint, saw = run
    assert find_actor(checkpoint) == checkpoint
    assert exported(checkpoint, tmp_path / "out", monkeypatch, ADAPTERS=1, BASE_WEIGHTS=folders[name]) == 0
    weights = load_file(tmp_path / "out/adapter_model.safetensors")
    assert set(weights) == set(saw[0]["adapters"])
    for weight, values in saw[0]["adapters"].items():
        assert torch.equal(weights[weight], values), weight
    assert "LoRA adapters (float32)" in (tmp_path / "out/README.md").read_text()
    policy = PeftModel.from_pretrained(four_bit(folders[name]), tmp_path / "out").eval()
    with torch.no_grad():
        torch.testing.assert_close(policy(IDS).logits, saw[0]["logits"], rtol=0, atol=FLOAT32)


def test_adapters_are_merged_into_the_base_that_is_named(run, folders, tmp_path, monkeypatch, capsys):
    name, checkpoint, saw = run
    run_dir = tmp_path / "run"
    (run_dir / ".hydra").mkdir(parents=True)
    settings = {"model": {"path": str(folders[name]), "model_type": "four_bit_language_model"}}
    config = run_dir / ".hydra/config.yaml"
    config.write_text(json.dumps({"actor_rollout_ref": settings}))  # JSON is YAML
    assert exported(checkpoint, tmp_path / "plain", monkeypatch, CONFIG=config) == 0
    said = capsys.readouterr().out
    assert f"LoRA merged into the unquantized weights of {folders[name]}. It was trained on their" in said
    assert "four-bit values (NF4)" in (tmp_path / "plain/README.md").read_text()
    ready = write_four_bit_model(folders[name], tmp_path / "bnb-4bit")
    assert exported(checkpoint, tmp_path / "same", monkeypatch, CONFIG=config, BASE_WEIGHTS=ready) == 0
    assert f"LoRA merged into the dequantized weights of {ready}\n" in capsys.readouterr().out
    wanted = saw[0]["logits"].softmax(-1)
    plain, same = (
        probabilities(AutoModelForCausalLM.from_pretrained(tmp_path / out, dtype=torch.float32).eval())
        for out in ("plain", "same")
    )
    # bfloat16 keeps eight bits of a weight, NF4 two to three.
    assert (same - wanted).abs().max() < 0.25 * (plain - wanted).abs().max()
    assert (plain - wanted).abs().max() > 1e-2


def test_adapters_without_a_base_are_refused_in_one_line(run, tmp_path, monkeypatch, capsys):
    _, checkpoint, _ = run
    assert exported(checkpoint, tmp_path / "out", monkeypatch) == 1
    assert capsys.readouterr().err.strip().endswith("no configuration says of what: set BASE_WEIGHTS")
    assert exported(checkpoint, tmp_path / "out", monkeypatch, BASE_WEIGHTS=tmp_path / "none") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"export: BASE_WEIGHTS={tmp_path / 'none'}: cannot be merged into (")
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()
