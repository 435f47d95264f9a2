"""The recipes of the large models train two real steps on tiny models of the same architectures, on GSM8K."""

import json
import os
import sys
from pathlib import Path

import pytest
from trainings import REPOSITORY, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """GSM8K with the prompts of the calibrated reward, from the authors' files."""
    source = Path(os.environ.get("AMIR_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "gsm8k"
    if not source.is_dir():
        pytest.skip(f"no GSM8K at {source}; set AMIR_SHARED_DATA")
    out = tmp_path_factory.mktemp("gsm8k")
    command = [sys.executable, "scripts/prepare_data.py", "gsm8k", "--source", str(source), "--calibrated"]
    assert run([*command, "--limit", "64", "--out", str(out)], log=out / "prepare.log") == 0
    return out


@pytest.fixture
def train_recipe(questions, tiny_models, tmp_path):
    """Two steps of a recipe without a GPU; returns its folder and step -> metrics."""

    def train(recipe, architecture, *overrides, **variables):
        out = tmp_path / "run"
        environment = {
            **os.environ,
            "PLATFORM": "cpu",
            "PYTHON": sys.executable,
            "MODEL": str(tiny_models(architecture)),
            "TRAIN": str(questions / "gsm8k_train.parquet"),
            "VAL": str(questions / "gsm8k_test.parquet"),
            "OUT": str(out),
            "STEPS": "2",
            "PROMPTS": "2",
            "GROUP": "4",
            # A character is a token for the tiny models' tokenizer.
            "PROMPT_LENGTH": "1536",
            "RESPONSE_LENGTH": "32",
            "VAL_PROBLEMS": "2",
            "VAL_SAMPLES": "2",
            "VAL_BEFORE_TRAIN": "False",
            "TEST_FREQ": "2",
            **variables,
        }
        log = tmp_path / "train.log"
        status = run(["bash", f"recipes/{recipe}.sh", *overrides], log=log, env=environment)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:])
        assert status == 0, f"{recipe} ended with {status}:\n{tail}"
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return out, {record["step"]: record["data"] for record in records}

    return train


def check_two_steps(out, metrics):
    assert sorted(metrics) == [1, 2]
    for step, data in metrics.items():
        assert data["training/global_step"] == step
        assert data["amir/num_pairs"] >= 0
    # Groups of an untrained model may tie, but not all of them.
    assert sum(data["amir/num_pairs"] for data in metrics.values()) > 0
    assert sum(data["actor/grad_norm"] for data in metrics.values()) > 0
    assert any(data["critic/score/max"] > data["critic/score/min"] for data in metrics.values())
    # Warm-up is a tenth of two steps, none: the cosine goes from the full rate to half of it.
    assert metrics[2]["actor/lr"] < metrics[1]["actor/lr"] <= 5e-6
    # The engine samples with the weights that were trained: attention, chat template and packing agree.
    assert metrics[2]["training/rollout_probs_diff_max"] < 1e-4
    rows = [json.loads(line) for line in (out / "validation/2.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all("<confidence>" in row["input"] and 0 <= row["acc"] <= 1 for row in rows)
    assert (out / ".hydra/config.yaml").exists()


def test_qwen_recipe_trains_all_parameters_with_packed_sequences(train_recipe):
    out, metrics = train_recipe("qwen2.5_3b", "qwen2", ALGO="amir_grpo", SAVE_FREQ="-1")
    check_two_steps(out, metrics)


def test_gemma_recipe_trains_adapters_with_the_papers_settings(train_recipe):
    out, metrics = train_recipe(
        "gemma3_4b",
        "gemma3",
        ALGO="amir_gspo",
        AMIR_PRESET="paper",
        LORA_RANK="16",
        AMIR_REWARD_MARGIN="0",  # an untrained model earns fractions of the published margin
        SAVE_FREQ="2",
    )
    check_two_steps(out, metrics)
    assert (out / "checkpoints/latest_checkpointed_iteration.txt").read_text() == "2"
    # What scripts/export.sh needs to fold the adapters in.
    adapters = json.loads((out / "checkpoints/global_step_2/actor/lora_train_meta.json").read_text())
    assert (adapters["r"], adapters["lora_alpha"]) == (16, 32)
