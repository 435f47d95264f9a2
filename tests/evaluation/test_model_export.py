"""A verl checkpoint becomes a Hugging Face model."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from amir_verl.export.model_card import find_config, metrics_at, model_card
from amir_verl.export.model_export import checkpoint_step, find_actor

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "algorithm": {"adv_estimator": "grpo"},
    "actor_rollout_ref": {
        "model": {"path": "/home/someone/models/Qwen2.5-3B", "lora_rank": 0},
        "rollout": {"n": 8},
        "actor": {"policy_loss": {"loss_mode": "amir_grpo"}, "optim": {"lr": 5e-6}},
    },
    "data": {
        "train_files": ["/home/someone/data/gsm8k_train.parquet"],
        "val_files": "data/aime25_test.parquet",
    },
    "amir": {"beta": 5.0, "lambda_schedule": "grad_ratio", "unused": None},
}


def export(checkpoint: Path, out: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "PUSH_TO")}
    environment |= {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | variables
    command = ["bash", str(ROOT / "scripts" / "export.sh"), str(checkpoint), str(out)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def write_checkpoint(run: Path, tiny_model: Path, state: dict, *, alpha: int | None = None) -> Path:
    """RUN/checkpoints/global_step_4/actor as verl's FSDP checkpoint manager lays it out, for one rank."""
    import torch

    actor = run / "checkpoints" / "global_step_4" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    (actor / "fsdp_config.json").write_text('{"FSDP_version": 2, "world_size": 1}')
    torch.save(state, actor / "model_world_size_1_rank_0.pt")
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, actor / "huggingface" / file.name)
    if alpha is not None:
        meta = {"r": 4, "lora_alpha": alpha, "task_type": "CAUSAL_LM"}
        (actor / "lora_train_meta.json").write_text(json.dumps(meta))
    (run / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("4")
    (run / "metrics.jsonl").write_text(
        "".join(
            json.dumps(
                {"step": step, "data": {"val-core/toy/acc/mean@4": step / 10, "critic/score/mean": 1.0}}
            )
            + "\n"
            for step in (0, 4, 8)
        )
    )
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text(json.dumps(CONFIG))  # JSON is YAML
    return run / "checkpoints"


@pytest.mark.slow
def test_full_weights_tokenizer_and_card(tiny_model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    checkpoints = write_checkpoint(tmp_path / "run", tiny_model, model.state_dict())
    result = export(checkpoints, tmp_path / "out" / "toy")
    assert result.returncode == 0, result.stderr[-2000:]
    out = tmp_path / "out" / "toy"
    exported = AutoModelForCausalLM.from_pretrained(out)
    for name, weight in model.state_dict().items():
        assert torch.equal(exported.state_dict()[name], weight.bfloat16()), name
    assert (
        AutoTokenizer.from_pretrained(out).chat_template
        == AutoTokenizer.from_pretrained(tiny_model).chat_template
    )
    assert (out / "generation_config.json").is_file()
    card = (out / "README.md").read_text()
    assert "checkpoint of step 4" in card and "| `val-core/toy/acc/mean@4` | 4 | 0.4 |" in card
    assert "| amir.beta | `5.0` |" in card and "| training | `gsm8k_train.parquet` |" in card
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["toy"]  # no partial folder is left


@pytest.mark.slow
def test_a_lora_checkpoint_is_merged(tiny_model, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model).to(torch.bfloat16).float()
    model = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    checkpoints = write_checkpoint(tmp_path / "run", tiny_model, model.state_dict(), alpha=8)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        wanted = model(ids).logits
        with model.disable_adapter():
            before = model(ids).logits
    result = export(checkpoints / "global_step_4", tmp_path / "out")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "LoRA merged" in result.stdout and not (tmp_path / "out" / "lora_adapter").exists()
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)(ids).logits
    moved = (wanted - before).norm()
    assert moved > 0.2 * before.norm()  # the adapter does something
    assert (merged - wanted).norm() < 0.05 * moved  # and bfloat16 keeps it


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path):
    actor = tmp_path / "global_step_7" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    with pytest.raises(ValueError, match="no FSDP checkpoint of verl"):
        find_actor(tmp_path / "global_step_7")
    (actor / "fsdp_config.json").write_text('{"world_size": 2}')
    (actor / "model_world_size_2_rank_0.pt").touch()
    (actor / "huggingface" / "config.json").touch()
    (actor / "huggingface" / "tokenizer_config.json").touch()
    with pytest.raises(ValueError, match=r"1 files missing, such as model_world_size_2_rank_1\.pt"):
        find_actor(tmp_path / "global_step_7")
    (actor / "model_world_size_2_rank_1.pt").touch()
    assert find_actor(actor) == actor and checkpoint_step(actor) == 7


def test_refusals_are_one_line_and_leave_nothing(tmp_path):
    out = tmp_path / "out"
    missing = export(tmp_path / "none", out)
    assert missing.returncode != 0
    assert (
        missing.stderr.strip()
        == f"export: {tmp_path / 'none'}: no FSDP checkpoint of verl (fsdp_config.json) there"
    )
    no_token = export(tmp_path / "none", out, PUSH_TO="someone/model")
    assert no_token.stderr.strip() == "export: PUSH_TO needs a token in HF_TOKEN"
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    assert export(tmp_path / "none", out).stderr.strip() == f"export: {out} is already there"


def test_the_token_reaches_the_hub_and_nothing_else(tmp_path):
    seen = []

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    hub = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    model = tmp_path / "model"
    model.mkdir()
    (model / "README.md").write_text("# toy\n")
    token = "hf_notARealTokenOnlyATest"
    environment = {
        key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_HOME")
    }
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": token,
        "PYTHONPATH": str(ROOT),
    }
    environment |= {"HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    code = (
        "import os, sys; from pathlib import Path; from amir_verl.export.model_export import push\n"
        "try:\n    push(Path(sys.argv[1]), 'someone/toy', token=os.environ.pop('HF_TOKEN'), private=True)\n"
        "except ValueError as error:\n    sys.exit(f'export: {error}')"
    )
    command = [sys.executable, "-c", code, str(model)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    hub.shutdown()
    assert result.returncode == 1
    assert result.stderr.strip() == "export: someone/toy: the hub answers 401"
    assert seen[0] == ("/api/repos/create", f"Bearer {token}")
    written = [
        path for path in tmp_path.rglob("*") if path.is_file() and token in path.read_text(errors="replace")
    ]
    assert written == [] and token not in result.stdout + result.stderr


def test_card_without_anything_says_so():
    card = model_card(name="toy", step=None, config=None)
    assert "configuration was not at hand" in card and "No metrics were at hand" in card
    assert "base_model:" not in card


def test_card_names_a_hub_base_and_shows_intervals_of_the_evaluation():
    evaluation = {
        "sampling": {"samples": 8, "temperature": 0.6, "max_tokens": 1024},
        "results": {
            "aime25": {"problems": 30, "rates": {"pass@1": [0.123, 0.05, 0.2], "pass@8": [0.4, None, None]}}
        },
    }
    card = model_card(name="toy", step=4, config=CONFIG, base_model="Qwen/Qwen2.5-3B", evaluation=evaluation)
    assert 'base_model: "Qwen/Qwen2.5-3B"' in card and "- amir" in card
    assert (
        "| aime25 | 30 | pass@1 | 12.3 | 5.0 to 20.0 |" in card
        and "| aime25 | 30 | pass@8 | 40.0 |  |" in card
    )
    local = model_card(name="toy", step=4, config=CONFIG)
    assert (
        "`Qwen2.5-3B` trained with AMIR" in local and "someone" not in local
    )  # no path of the trainer's machine


def test_run_files_for_the_card_are_found(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 2, "data": {"val-core/x/acc/mean@8": 0.5, "perf/time": 3}}\n')
    assert metrics_at(tmp_path, 3) == {"val-core/x/acc/mean@8": (2, 0.5)}
    assert metrics_at(tmp_path, 1) == {}
    assert find_config(tmp_path) is None
    for name in ("a", "b"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "config.yaml").touch()
    with pytest.raises(ValueError, match="several configurations"):
        find_config(tmp_path)
