"""A dry run prints the command or ends in one line; what is missing is said before anything starts."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from recipe_overrides import ACTOR, overrides_of, refusal_of, settings_of

from amir_verl.cli.dry_run import check_run, main
from amir_verl.cli.model_shapes import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]


REFUSALS = [
    ("tiny_cpu", {"ALGO": "ppo"}, "ALGO must be grpo, amir_grpo, gspo or amir_gspo, got 'ppo'"),
    ("gemma3_4b", {"ALGO": "amir"}, "ALGO must be grpo, amir_grpo, gspo or amir_gspo, got 'amir'"),
    ("qwen2.5_3b", {"AMIR_PRESET": "papr"}, "AMIR_PRESET must be default, chosen or paper, got 'papr'"),
    ("qwen2.5_3b", {"OFFLOAD": "disk"}, "OFFLOAD must be none, swap or cpu, got 'disk'"),
    ("qwen2.5_3b", {"GPUS": "eight"}, "GPUS must be a whole number, got 'eight'"),
    ("qwen2.5_3b", {"LORA_RANK": "-1"}, "LORA_RANK must be a whole number, got '-1'"),
    ("qwen2.5_3b", {"GPUS": "0"}, "GPUS must be 1 or more, got 0"),
    ("qwen2.5_3b", {"PLATFORM": "tpu"}, "PLATFORM must be gpu or cpu, got 'tpu'"),
    ("qwen2.5_3b", {"DRY_RUN": "yes"}, "DRY_RUN must be 0, 1 or args, got 'yes'"),
    ("qwen2.5_3b", {"NNODES": "2"}, "NNODES=2 needs a Ray cluster that runs: 'ray start' on each node"),
    (
        "gemma3_4b",
        {"MODEL": None},
        "MODEL is not set: a folder with google/gemma-3-4b-it, or that name for verl to fetch 9 GB",
    ),
    ("qwen2.5_3b", {"MODEL": "/no/such/folder"}, "no model in /no/such/folder"),
    ("qwen2.5_3b", {"MODEL": str(ROOT / "docs")}, f"no model in {ROOT}/docs: config.json is missing"),
    (
        "qwen2.5_3b",
        {"MODEL": "a/b", "HF_HUB_OFFLINE": "1", "HF_HOME": "/nowhere"},
        "a/b is neither a folder nor in the hub's cache, and HF_HUB_OFFLINE=1",
    ),
    (
        "qwen2.5_3b",
        {"TRAIN": "data/no_such_train.parquet"},
        "TRAIN: no data/no_such_train.parquet: ",
    ),
    (
        "gemma3_4b",
        {"GPU_MEMORY_GB": "24", "RESPONSE_LENGTH": "9000"},
        "a sequence of 10024 tokens needs more than a 24 GB card for the update",
    ),
    ("qwen2.5_7b", {"GPU_MEMORY_GB": "16"}, "vLLM's weights alone take 15 GB of a 16 GB card"),
]


def test_what_cannot_run_is_refused_in_one_line(recipes):
    made = recipes([(name, [], variables) for name, variables, _ in REFUSALS])
    for (name, variables, message), process in zip(REFUSALS, made, strict=True):
        assert refusal_of(process).startswith(f"{name}.sh: {message}"), variables


def test_a_model_of_the_hub_is_announced_and_used_by_name(recipe):
    made = recipe("qwen2.5_3b", MODEL="Qwen/Qwen2.5-3B-Instruct", HF_HOME="/nowhere")
    assert settings_of(made)["actor_rollout_ref.model.path"] == "Qwen/Qwen2.5-3B-Instruct"
    assert "Qwen/Qwen2.5-3B-Instruct is no folder here: verl fetches it" in made.stderr


@pytest.mark.slow
def test_a_dry_run_prints_the_command(recipe, files):
    made = recipe("qwen2.5_3b", "trainer.test_freq=9", dry_run="1", ALGO="amir_grpo", LORA_RANK="16")
    assert made.returncode == 0, made.stderr
    assert " -m verl.trainer.main_ppo \\\n" in made.stdout
    assert f"VERL_FILE_LOGGER_PATH={files}/out/metrics.jsonl" in made.stdout
    # The printed command, read by a shell, is the command.
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {made.stdout}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    first = words.index("verl.trainer.main_ppo") + 1
    again = recipe("qwen2.5_3b", "trainer.test_freq=9", ALGO="amir_grpo", LORA_RANK="16")
    assert words[first:-1] == overrides_of(again)
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("amir.betaa=1", "amir.betaa is no setting of AMIR; nearest: beta, beta_scale"),
        (f"{ACTOR}.loss_agg_mode=mean", "Invalid loss_agg_mode: mean"),
    ],
)
def test_a_dry_run_ends_in_one_line_where_verl_would_refuse(recipe, capsys, override, message):
    assert main(overrides_of(recipe("gemma3_4b", override))) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"amir-verl: {message}") and said.err.count("\n") == 1


def test_a_dry_run_says_what_memory_the_run_needs(recipe, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GPU_MEMORY_GB", "24")
    (tmp_path / "config.json").write_text(json.dumps(asdict(PUBLISHED["qwen2.5-3b"])))
    fits = overrides_of(recipe("qwen2.5_3b", GPU_MEMORY_GB="24", MODEL=str(tmp_path)))
    assert main(fits) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "the settings are sound"
    assert said[1].startswith("memory, GB of each of 1 x 24 GB: state 49 (offload cpu), update ")
    assert said[2] == "it fits"
    assert said[3].startswith("AMIR on: amir_grpo over sync, ")
    too_much = f"{ACTOR}.fsdp_config.offload_policy=False"
    assert main([*fits, too_much]) == 0
    said = capsys.readouterr().out.splitlines()[2]
    assert said.startswith("it does not fit: the update needs ") and "OFFLOAD=cpu" in said


def test_amirs_own_check_is_part_of_it(cpu_verl, recipe):
    with pytest.raises(ValueError, match=r"^amir\.beta must be above 0, got -1$"):
        check_run(overrides_of(recipe("qwen2.5_3b", AMIR_BETA="-1")))
    with pytest.raises(ValueError, match=r"^AMIR compares responses of one prompt"):
        check_run(overrides_of(recipe("tiny_cpu", GROUP="1")))


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--config-path=config", "--config-name=ppo_megatron_trainer.yaml"], "model_engine", "megatron"),
        (["--config-name", "ppo_trainer", "model_engine=megatron"], "model_engine", "megatron"),
        ([f"{ACTOR}.policy_loss.loss_mode=gspo"], f"{ACTOR}.policy_loss.loss_mode", "amir_gspo"),
    ],
    ids=" ".join,
)
def test_a_dry_run_takes_what_main_ppo_takes(cpu_verl, capsys, words, key, value):
    run = ["+amir@_global_=grpo", "actor_rollout_ref.rollout.n=4", "actor_rollout_ref.rollout.name=hf"]
    batches = [
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
        f"{ACTOR}.use_dynamic_bsz=True",
    ]
    assert main(["--no-files", "--cfg", "job", *words, *run, *batches]) == 0
    said = capsys.readouterr()
    assert OmegaConf.select(OmegaConf.create(said.out), key) == value
    assert said.err.splitlines()[-1].startswith("AMIR on: ")


def test_what_a_dry_run_cannot_do_is_one_line(capsys):
    for words in (["--multirun", "amir.beta=1,2"], ["--no-such-flag"]):
        assert main(words) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "model"),
    [("ranked", "outputs/tiny/qwen2"), ("tiny_cpu", "outputs/tiny/countdown-qwen2-seed98765")],
)
def test_a_dry_run_makes_nothing_of_what_a_run_makes_first(recipe, tmp_path, name, model):
    """The model of tiny_cpu is the one that scripts/quickstart.sh makes."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    python.chmod(0o755)
    own = dict.fromkeys(("MODEL", "TINY", "TRAIN", "VAL"))
    made = recipe(name, dry_run="1", PYTHON=str(python), OUT=f"{tmp_path}/out", SEED="98765", **own)
    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith(f"{name}.sh: a run first makes the ")
    assert " -m verl.trainer.main_ppo \\\n" in made.stdout
    (call,) = calls.read_text().splitlines()
    assert call.startswith("-m amir_verl.cli.dry_run --no-files ")
    assert f" actor_rollout_ref.model.path={model} " in f"{call} "
    assert not (tmp_path / "out").exists()
