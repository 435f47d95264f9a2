"""How far apart two rewards of a run can be, where that can be known before it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Rewards of this repository, right or wrong, by the end of their dotted name.
RIGHT_OR_WRONG = ("reward_fns.math_reward", "amir_verl.demo.countdown")
CALIBRATED = "reward_fns.calibrated_reward"
# verl's own reward functions (verl/utils/reward_score/__init__.py): most pay 0 to 1, math_dapo -1 to 1.
VERL_WIDEST = 2.0
VERL_ONE = ("openai/gsm8k", "lighteval/MATH", "DigitalLearningGmbH/MATH-lighteval", "HuggingFaceH4/MATH-500")


def largest_gap(config: DictConfig) -> tuple[float, str] | None:
    """The largest gap of two raw rewards, and what says so; None where it cannot be known.

    A gap of this size need not occur; a larger one cannot.
    """
    reward = config.get("reward")
    if reward is None or OmegaConf.select(reward, "reward_model.enable"):
        return None
    manager = reward.get("reward_manager") or {}
    if manager.get("source") != "register" or manager.get("name") != "naive":
        return None  # dapo takes length off, others do as they please
    function = reward.get("custom_reward_function") or {}
    if not function.get("path"):
        return _of_verl(config)
    if function.get("name") != "compute_score":
        return None
    name = own_reward(function.path)
    if name in RIGHT_OR_WRONG:
        return 1.0, f"{name} pays 0 or 1"
    if name == CALIBRATED:
        gap = _of_calibrated(function.get("reward_kwargs") or {})
        return None if gap is None else (gap, f"{name} pays {gap:g} more at best than at worst")
    return None


def own_reward(path: str) -> str | None:
    """The dotted name of a reward of this repository, by the path that verl is given; None for others."""
    names = (*RIGHT_OR_WRONG, CALIBRATED)
    if path.startswith("pkg://"):
        name = path.removeprefix("pkg://").replace("/", ".")
        return name if name in names else None
    file = Path(path.removeprefix("file://")).resolve()
    root = Path(__file__).resolve().parents[2]
    return next((name for name in names if file == (root / name.replace(".", "/")).with_suffix(".py")), None)


def _of_calibrated(settings: Mapping[str, Any]) -> float | None:
    """Best less worst: every component, and the penalty that the worst may carry."""
    given = {
        "calibrated": True,
        "correctness_weight": 2.0,
        "number_weight": 0.2,
        "format_weight": 0.5,
        "tag_weight": 0.025,
        "max_trailing_penalty": 0.1,
        "arithmetic": False,
        "arithmetic_weight": 0.1,
        "max_arithmetic_claims": 10,
        "brier_weight": 1.0,
    } | dict(settings)
    try:
        total = given["correctness_weight"] + given["number_weight"] + given["format_weight"]
        total += given["tag_weight"] * (8 if given["calibrated"] else 4) + given["max_trailing_penalty"]
        if given["arithmetic"]:
            total += given["arithmetic_weight"] * given["max_arithmetic_claims"]
        return float(total + (given["brier_weight"] if given["calibrated"] else 0.0))
    except TypeError:
        return None  # the reward itself says which setting is no number


def _of_verl(config: DictConfig) -> tuple[float, str]:
    sources = _data_sources(config)
    if sources and sources <= set(VERL_ONE):
        return 1.0, f"verl's reward for {', '.join(sorted(sources))} is 0 or 1"
    return VERL_WIDEST, "verl's own rewards lie between -1 and 1"


def _data_sources(config: DictConfig) -> set[str]:
    """The data sets that the training files name; none where they cannot be read here."""
    import pyarrow.parquet as pq  # here: every process of a run loads this module

    files = config.data.train_files
    found: set[str] = set()
    for file in [files] if isinstance(files, str) else list(files or ()):
        path = Path(str(file)).expanduser()
        if path.suffix != ".parquet" or not path.is_file():
            return set()
        try:
            found |= set(pq.read_table(path, columns=["data_source"])["data_source"].unique().to_pylist())
        except (KeyError, ValueError, OSError):  # pyarrow's errors are among them
            return set()
    return found
