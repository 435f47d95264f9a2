"""vLLM's CPU build keeps its weights; `..._needs_...` fails on the day the patch can go."""

import ast
import importlib.util
import sys
import types
from importlib import metadata

import pytest
from module_source import source_of

from amir_verl.platform import vllm_cpu


def test_vllm_needs_to_be_told_to_keep_its_weights():
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    calls = [
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in ast.walk(ast.parse(source_of("vllm.model_executor.layers.linear")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dispatch_cpu_unquantized_gemm"
    ]
    assert [ast.literal_eval(call["remove_weight"]) for call in calls] == [True]
    # Imported where it is called, so that the patched function is the one found there.
    imports = [
        node
        for node in ast.parse(source_of("vllm.model_executor.layers.linear")).body
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "dispatch_cpu_unquantized_gemm" for alias in node.names)
    ]
    assert imports == []


@pytest.fixture
def vllm_modules(monkeypatch):
    """Stand-ins for the two modules of vLLM that the patch touches, and the calls that reach vLLM."""
    calls = []

    def dispatch_cpu_unquantized_gemm(layer, remove_weight):
        calls.append((layer, remove_weight))
        return "packed"

    utils = types.SimpleNamespace(dispatch_cpu_unquantized_gemm=dispatch_cpu_unquantized_gemm)
    cpu = types.SimpleNamespace(is_cpu=lambda: True)
    modules = {
        "vllm": types.ModuleType("vllm"),
        "vllm.platforms": types.SimpleNamespace(current_platform=cpu),
        "vllm.model_executor": types.ModuleType("vllm.model_executor"),
        "vllm.model_executor.layers": types.SimpleNamespace(utils=utils),
        "vllm.model_executor.layers.utils": utils,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return types.SimpleNamespace(utils=utils, cpu=cpu, calls=calls)


def test_layers_keep_their_weights(vllm_modules):
    vllm_cpu.keep_weights()
    vllm_cpu.keep_weights()  # vLLM loads its plugins once and again in some processes
    dispatch = vllm_modules.utils.dispatch_cpu_unquantized_gemm
    assert dispatch("linear", remove_weight=True) == "packed"
    assert dispatch("embedding", remove_weight=False) == "packed"
    assert vllm_modules.calls == [("linear", False), ("embedding", False)]
    assert not hasattr(dispatch.__wrapped__, "__wrapped__")


def test_vllm_on_another_device_is_left_alone(vllm_modules):
    vllm_modules.cpu.is_cpu = lambda: False
    dispatch = vllm_modules.utils.dispatch_cpu_unquantized_gemm
    vllm_cpu.keep_weights()
    assert vllm_modules.utils.dispatch_cpu_unquantized_gemm is dispatch


def test_vllm_finds_the_patch_by_its_entry_point():
    names = {entry.name: entry.value for entry in metadata.entry_points(group="vllm.general_plugins")}
    assert names["amir_verl_cpu"] == "amir_verl.platform.vllm_cpu:keep_weights"
