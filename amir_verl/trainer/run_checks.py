"""What an AMIR run names, looked up before Ray starts: model, data, reward, estimator, filter, engine.

verl finds each of these missing first inside an actor, after one to four minutes. Only what is certain is
refused: where a run joins a Ray cluster or ships a working directory, its files are left to verl.
"""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from amir_verl.config import AmirConfig
from amir_verl.objective.pairs import MARGIN_TOLERANCE
from amir_verl.platform.weight_engines import check_weight_engine
from amir_verl.trainer.preset import ESTIMATOR, MODE
from amir_verl.trainer.reward_range import largest_gap, own_reward
from amir_verl.trainer.source_functions import check_call, find_function
from reward_fns.settings import VERL_ARGUMENTS

REWARD = "reward.custom_reward_function"
MODEL = "actor_rollout_ref.model.path"
# What verl's reward manager `naive` calls a reward function with.
HANDED = ("data_source", "solution_str", "ground_truth", "extra_info")
# Group filtering of verl's old trainer knew these names for the sum of rewards.
OLD_REWARD_METRICS = ("seq_reward", "seq_final_reward")
_files_count: ContextVar[bool] = ContextVar("amir_files_count", default=True)
RANKED_DATA = "pkg://amir_verl.ranked.dataset"


def check_names(config: DictConfig, settings: AmirConfig) -> None:
    """Refuse names and values that cannot work on any machine.

    Raises:
        ValueError: one line that says what is wrong.
    """
    check_estimator(config)
    check_attention(config)
    check_margin(config, settings)
    check_filter(config)


def check_machine(config: DictConfig) -> None:
    """Refuse a run that needs what is not here: an engine, a model, data, a reward function.

    Raises:
        ValueError: one line that says what is missing, and how to get it.
    """
    rollout = config.actor_rollout_ref.rollout
    # verl leaves the engine's name to the user, and says so itself where it is missing.
    if OmegaConf.select(rollout, "name") == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "rollout.name=vllm, but vLLM is not installed: pip install 'verl[vllm]==0.9.1' "
            "(without a GPU: amir-verl doctor says how)"
        )
    if OmegaConf.select(config, MODE) == "amir_separate_async":
        check_weight_engine(rollout.checkpoint_engine)
    if not _files_count.get() or not _files_are_here(config):
        return
    check_model(config.actor_rollout_ref.model.path, MODEL)
    if OmegaConf.select(config, "reward.reward_model.enable") and config.reward.reward_model.model_path:
        check_model(config.reward.reward_model.model_path, "reward.reward_model.model_path")
    check_data(config)
    check_reward(config)


@contextmanager
def files_yet_to_be_made() -> Iterator[None]:
    """Checks made inside look at no file of the run."""
    token = _files_count.set(False)
    try:
        yield
    finally:
        _files_count.reset(token)


def check_estimator(config: DictConfig) -> None:
    """Refuse an advantage estimator that verl does not know."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    known = sorted(str(getattr(name, "value", name)) for name in ADV_ESTIMATOR_REGISTRY)
    estimator = str(config.algorithm.adv_estimator)
    if estimator not in known:
        raise ValueError(f"{ESTIMATOR}={estimator} does not exist; known: {', '.join(known)}")


def check_attention(config: DictConfig) -> None:
    """Refuse sequence parallelism under an attention that verl does not make parallel.

    verl patches the flash attention of transformers alone (verl/models/transformers/monkey_patch.py); under
    sdpa each rank attends to its part of a sequence, and probabilities are off by about 1.7e-3.
    """
    if not str(config.actor_rollout_ref.actor.strategy).startswith("fsdp"):
        return
    places = (
        "actor.ulysses_sequence_parallel_size",
        "actor.fsdp_config.ulysses_sequence_parallel_size",
        "ref.fsdp_config.ulysses_sequence_parallel_size",
    )
    size = max(int(OmegaConf.select(config.actor_rollout_ref, place) or 1) for place in places)
    attention = OmegaConf.select(config, "actor_rollout_ref.model.override_config.attn_implementation")
    if size > 1 and attention is not None and not str(attention).startswith("flash_attention"):
        raise ValueError(
            f"ulysses_sequence_parallel_size={size} with attn_implementation={attention} computes wrong "
            "probabilities, since verl makes flash attention parallel alone: set "
            "actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size=1, or flash_attention_2"
        )


def check_margin(config: DictConfig, settings: AmirConfig) -> None:
    """Refuse a margin that no two rewards of the run can differ by."""
    found = largest_gap(config) if settings.reward_margin else None
    if found is None:
        return
    gap, source = found
    if not gap > settings.reward_margin * (1 + MARGIN_TOLERANCE):
        raise ValueError(
            f"amir.reward_margin={settings.reward_margin:g} leaves no pair, since {source}: "
            f"set it below {gap:g}"
        )


def check_model(path: str | None, setting: str) -> None:
    """Refuse a model folder that is not here, or a hub name that cannot be fetched."""
    if not path:
        raise ValueError(f"{setting} is not set: a folder, or a name on the Hugging Face hub")
    if "://" in path:
        return
    place = Path(path).expanduser()
    if place.is_dir():
        if not (place / "config.json").exists():
            raise ValueError(f"{setting}: no model in {path}, config.json is missing")
        return
    if place.exists() or path.startswith(("/", "~", ".")) or path.count("/") > 1:
        raise ValueError(f"{setting}: no folder {path}")
    if os.environ.get("HF_HUB_OFFLINE", "0").strip().lower() in ("1", "true", "yes", "on"):
        from huggingface_hub import try_to_load_from_cache

        if not isinstance(try_to_load_from_cache(path, "config.json"), str):
            raise ValueError(
                f"{setting}={path} is neither a folder nor in the hub's cache, and HF_HUB_OFFLINE is set"
            )


def check_data(config: DictConfig) -> None:
    """Refuse training and validation files that are not here, or that verl's dataset cannot read."""
    own_class = OmegaConf.select(config, "data.custom_cls.path")
    if own_class:
        find_function("data.custom_cls.path", own_class, str(config.data.custom_cls.name))
        if own_class != RANKED_DATA:
            return  # what its files are is up to the class
    for setting in ("train_files", "val_files"):
        for file in _listed(config.data.get(setting)):
            if "://" in file or any(sign in file for sign in "*?["):
                continue
            if not Path(file).expanduser().is_file():
                raise ValueError(f"data.{setting}: no file {file}")
            if not file.endswith((".parquet", ".json", ".jsonl")):
                raise ValueError(f"data.{setting}: {file} is no .parquet, .json or .jsonl")


def check_reward(config: DictConfig) -> None:
    """Refuse a reward function that is not here, or that cannot be called as verl calls it."""
    given = OmegaConf.select(config, REWARD)
    if given is None or not given.get("path"):
        return
    function = find_function(f"{REWARD}.path", given.path, str(given.get("name")))
    manager = config.reward.reward_manager
    if function is None or manager.source != "register" or manager.name != "naive":
        return
    extra = set(given.get("reward_kwargs") or {})
    if own_reward(given.path) is not None:
        extra -= VERL_ARGUMENTS
    check_call(
        f"{REWARD}.reward_kwargs", function, handed=HANDED, extra=sorted(extra), never="verl_arguments"
    )


def check_filter(config: DictConfig) -> None:
    """Refuse a metric that verl's group filter will not find with the rewards."""
    filters = OmegaConf.select(config, "algorithm.filter_groups")
    own_sampler = OmegaConf.select(config, "trainer.v1.sampler.custom_sampler.path")
    if (
        not filters
        or not filters.get("enable")
        or own_sampler
        or not OmegaConf.select(config, "trainer.use_v1")
    ):
        return
    setting, metric = "algorithm.filter_groups.metric", filters.get("metric")
    if metric is None:
        raise ValueError(f"algorithm.filter_groups.enable=True needs a metric: set {setting}=reward")
    known = _reward_keys(config)
    if (known is not None and metric not in known) or metric in OLD_REWARD_METRICS:
        found = ", ".join(sorted(known or {"reward"}))
        raise ValueError(f"{setting}={metric} does not come with the rewards of this run; here are: {found}")


def _reward_keys(config: DictConfig) -> set[str] | None:
    """What the group filter can read of the run's rewards; None: not known before it runs."""
    function = OmegaConf.select(config, REWARD)
    name = own_reward(function.path) if function and function.get("path") else None
    keys = {
        "reward_fns.math_reward": {"score", "acc", "answer_found", "symbolic", "timeout"},
        "amir_verl.demo.countdown": {"score", "acc"},
    }
    return {"reward", *keys[name]} if name in keys else None


def _files_are_here(config: DictConfig) -> bool:
    """Whether the run's processes see this machine's files at this folder."""
    given = OmegaConf.select(config, "ray_kwargs.ray_init") or {}
    working_dir = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.working_dir")
    address = given.get("address") or os.environ.get("RAY_ADDRESS")
    return address in (None, "", "local") and not working_dir


def _listed(files: str | Iterable[str] | None) -> list[str]:
    return [files] if isinstance(files, str) else [str(file) for file in files or ()]
