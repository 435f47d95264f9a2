"""The steps of `amir-verl export` around verl's model merger: check, merge LoRA, write the card, push."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from amir_verl.export.model_card import find_config, metrics_at, model_card, read_config


def find_actor(checkpoint: Path) -> Path:
    """The actor's directory of a verl checkpoint, with all its shards.

    Args:
        checkpoint: a run's checkpoint directory (then its latest step), `global_step_N`, or the actor in it.

    Raises:
        ValueError: no checkpoint there, or shards are missing, as a killed save leaves them.
    """
    latest = checkpoint / "latest_checkpointed_iteration.txt"
    if latest.is_file():
        checkpoint = checkpoint / f"global_step_{latest.read_text().strip()}"
    actor = checkpoint / "actor" if (checkpoint / "actor").is_dir() else checkpoint
    try:
        world_size = int(json.loads((actor / "fsdp_config.json").read_text())["world_size"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{checkpoint}: no FSDP checkpoint of verl (fsdp_config.json) there") from None
    shards = [f"model_world_size_{world_size}_rank_{rank}.pt" for rank in range(world_size)]
    needed = [*shards, "huggingface/config.json", "huggingface/tokenizer_config.json"]
    if missing := [name for name in needed if not (actor / name).is_file()]:
        raise ValueError(
            f"{actor}: incomplete checkpoint, {len(missing)} files missing, such as {missing[0]}"
        )
    return actor


def checkpoint_step(actor: Path) -> int | None:
    """N of `global_step_N`, where the path has one."""
    names = [
        part.removeprefix("global_step_") for part in actor.resolve().parts if part.startswith("global_step_")
    ]
    return int(names[-1]) if names and names[-1].isdigit() else None


def find_run(actor: Path) -> Path | None:
    """RUN of RUN/global_step_N/actor or RUN/checkpoints/global_step_N/actor, if it holds files of a run."""
    above = actor.resolve().parents[1:3] if checkpoint_step(actor) is not None else []
    return next((run for run in above if any(run.glob("*.jsonl")) or find_config(run)), None)


def merge_lora(model_dir: Path) -> bool:
    """Fold the adapter that verl's merger leaves in `lora_adapter` into the weights beside it.

    Sums are done in float32 and saved in bfloat16, as verl's merger saves everything.

    Returns:
        Whether there was an adapter.

    Raises:
        ValueError: the adapter's alpha is 0, with which nothing that was learned would be kept.
    """
    adapter = model_dir / "lora_adapter"
    if not adapter.is_dir():
        return False
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if not json.loads((adapter / "adapter_config.json").read_text()).get("lora_alpha"):
        raise ValueError(f"{adapter}: lora_alpha is 0 (the checkpoint has no lora_train_meta.json)")
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload().to(torch.bfloat16)
    for weights in model_dir.glob("model*.safetensors*"):
        weights.unlink()
    merged.save_pretrained(model_dir)
    shutil.rmtree(adapter)
    return True


def write_card(
    model_dir: Path, actor: Path, *, name: str, settings: dict[str, str], adapters_alone: bool = False
) -> Path:
    """Write README.md into `model_dir`.

    Args:
        settings: `RUN_DIR`, `CONFIG`, `EVALUATION` and `BASE_MODEL`, each possibly empty. Without `RUN_DIR`
            the directory above the checkpoints is the run; without `CONFIG` it is looked for there.
        adapters_alone: whether the folder holds adapters, without the weights under them.

    Raises:
        ValueError: a named file is not there or cannot be read.
    """
    step = checkpoint_step(actor)
    run = Path(settings["RUN_DIR"]) if settings["RUN_DIR"] else find_run(actor)
    metrics = metrics_at(run, sys.maxsize if step is None else step) if run else {}
    if settings["CONFIG"]:
        config_path: Path | None = Path(settings["CONFIG"])
    else:
        config_path = find_config(run) if run else None
    evaluation: dict[str, Any] | None = None
    if settings["EVALUATION"]:
        try:
            evaluation = json.loads(Path(settings["EVALUATION"]).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{settings['EVALUATION']}: not a readable evaluation.json ({error})") from None
    card = model_card(
        name=name,
        step=step,
        config=read_config(config_path) if config_path else None,
        base_model=settings["BASE_MODEL"] or None,
        metrics=metrics,
        evaluation=evaluation,
        adapters_alone=adapters_alone,
    )
    path = model_dir / "README.md"
    path.write_text(card, encoding="utf-8")
    return path


def check_loads(model_dir: Path) -> None:
    """Load configuration, tokenizer and weights once, so that no broken folder is handed out.

    Raises:
        ValueError: a weight is missing or left over.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(model_dir)
    _, report = AutoModelForCausalLM.from_pretrained(model_dir, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise ValueError(f"{model_dir}: {kind.replace('_', ' ')}: {sorted(map(str, report[kind]))[:3]}")


def push(model_dir: Path, repo: str, *, token: str, private: bool) -> str:
    """Upload to the hub with `token`, which is passed on and stored nowhere.

    Raises:
        ValueError: the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=model_dir, commit_message="Merged weights"))
    except HfHubHTTPError as error:
        raise ValueError(f"{repo}: the hub answers {error.response.status_code}") from None
