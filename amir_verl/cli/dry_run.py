"""Check a run of verl without starting it: settings as its command line composes them, and memory.

    amir-verl dry-run +amir@_global_=grpo actor_rollout_ref.rollout.name=vllm ...

takes the arguments of `python -m verl.trainer.main_ppo`, `--config-name`, `--config-path`, `--config-dir`
and `--cfg job` among them. Status 0 and what the run needs of each card, or status 1 and what is wrong, in
one line. With `--no-files` model, data and reward may be yet to be made.
"""

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from amir_verl.cli import cards, complain
from amir_verl.cli.composition import REFUSALS, Composed, composed, one_line, read_command_line
from amir_verl.cli.memory import GB, Estimate, estimate
from amir_verl.cli.model_shapes import PUBLISHED, ModelShape, shape_of
from amir_verl.platform.four_bit import MODEL_TYPE
from amir_verl.trainer.preset import check_choices

OURS = ("AMIR on: ", "amir-verl: ")
# A recipe that makes its model and data first has none of them yet.
NO_FILES = "--no-files"


def check_run(arguments: Sequence[str], *, say: Callable[[str], None] = lambda line: None) -> DictConfig:
    """Compose a run and put it through the checks that verl makes before it starts Ray, ours among them; the
    settings as verl would hand them on.

    Args:
        arguments: of main_ppo.
        say: is given each line that AMIR says of the run.

    Raises:
        ValueError: what is wrong, in one line.
    """
    return _checked(composed(read_command_line(arguments)), say)


def _checked(run: Composed, say: Callable[[str], None]) -> DictConfig:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    config, said = run.run, io.StringIO()
    try:
        check_choices(run.choices)
        # verl reports success on standard output.
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            validate_config(
                config=config,
                use_reference_policy=need_reference_policy(config),
                use_critic=need_critic(config),
            )
            # What the workers would refuse first behind a remote traceback.
            omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    except SystemExit as refusal:
        raise ValueError(str(refusal.code).removeprefix("amir-verl: ")) from refusal
    except (*REFUSALS, AssertionError, TypeError, ImportError, ValueError) as error:
        raise ValueError(one_line(error)) from error
    for line in said.getvalue().splitlines():
        if line.startswith(OURS):
            say(line)
    return config


def memory_lines(config: DictConfig) -> list[str]:
    """What a composed run needs of each card, and what to change if it does not fit; nothing on a CPU."""
    if config.trainer.device == "cpu":
        return []
    try:
        run = reckoned_run(config)
    except ValueError as error:
        return [f"memory: not reckoned, {error}"]
    return [cards.memory_line(run), cards.verdict(run)]


def reckoned_run(config: DictConfig) -> Estimate:
    """The memory of a composed run, on cards of GPU_MEMORY_GB or as nvidia-smi finds them.

    Raises:
        ValueError: a model or a strategy that the arithmetic does not know.
    """
    worker, trainer = config.actor_rollout_ref, config.trainer
    if worker.actor.strategy not in ("fsdp", "fsdp2"):
        raise ValueError(f"the arithmetic is for FSDP, not for {worker.actor.strategy}")
    policy, longest = (
        worker.actor.fsdp_config,
        config.data.max_prompt_length + config.data.max_response_length,
    )
    offload = "swap" if policy.param_offload and policy.optimizer_offload else "none"
    tokens = longest * (worker.actor.ppo_micro_batch_size_per_gpu or 1)
    if worker.actor.use_dynamic_bsz:
        tokens = worker.actor.ppo_max_token_len_per_gpu
    return estimate(
        _shape(worker.model.path),
        card=int(os.environ.get("GPU_MEMORY_GB") or cards.find_cards().gigabytes) * GB,
        gpus=trainer.n_gpus_per_node,
        nodes=trainer.nnodes,
        lora_rank=worker.model.lora_rank,
        four_bit=worker.model.get("model_type") == MODEL_TYPE,
        offload="cpu" if policy.offload_policy else offload,
        tokens=tokens,
        longest=longest,
        tensor_parallel=worker.rollout.tensor_model_parallel_size,
        utilisation=worker.rollout.gpu_memory_utilization,
        flash_attention=cards.flash_attention_is_there(),
        temperature=worker.rollout.temperature,
        samples=trainer.v1.trainer_mode != "amir_ranked",
        reference=worker.actor.use_kl_loss or config.algorithm.use_kl_in_reward,
    )


def _shape(model: str) -> ModelShape:
    """Of a folder's config.json, of the hub's cache, or of a published model by its name."""
    path = Path(model) / "config.json"
    if not path.is_file():
        for name, shape in PUBLISHED.items():
            # Qwen/Qwen2.5-3B-Instruct, google/gemma-3-4b-it
            if name in model.lower().replace("gemma-3", "gemma3"):
                return shape
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model, "config.json")
        if not isinstance(cached, str):
            raise ValueError(f"{model} is not here")
        path = Path(cached)
    try:
        return shape_of(json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None


def main(arguments: Sequence[str] | None = None, *, prog: str = "amir-verl") -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(f"usage: {prog} [{NO_FILES}] ARGUMENT ...\n\n{__doc__}", end="")
        raise SystemExit(0)
    if not torch.cuda.is_available():
        # The check of a run for other machines: verl and vLLM's CPU build look for an accelerator on import.
        os.environ.setdefault("VERL_PLATFORM", "cpu")
    said: list[str] = []
    try:
        line = read_command_line([word for word in words if word != NO_FILES])
        run = composed(line)
        with _without_files(NO_FILES in words):
            config = _checked(run, said.append)
    except ValueError as error:
        return complain(prog, error)
    if line.show:
        print("\n".join(said), file=sys.stderr)
        # as main_ppo prints it, with what AMIR's preset made of it
        shown = {"job": config, "hydra": OmegaConf.create({"hydra": run.hydra})}
        shown["all"] = OmegaConf.merge(shown["hydra"], config)
        print(OmegaConf.to_yaml(shown[line.show], resolve=line.resolve), end="")
        return 0
    print("\n".join(["the settings are sound", *memory_lines(config), *said]))
    return 0


@contextlib.contextmanager
def _without_files(yet_to_be_made: bool):
    """Checks inside look at no file of the run if they are yet to be made."""
    if not yet_to_be_made:
        yield
        return
    from amir_verl.trainer.run_checks import files_yet_to_be_made

    with files_yet_to_be_made():
        yield


if __name__ == "__main__":
    sys.exit(main())
