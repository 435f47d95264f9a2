"""The settings of a run as `python -m verl.trainer.main_ppo` composes them from its command line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir, initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

# How hydra and OmegaConf refuse a setting.
REFUSALS = (HydraException, OmegaConfBaseException)


class CommandLine(NamedTuple):
    """What main_ppo reads of its arguments; `show` is hydra's `--cfg` (job, hydra, all), None without it."""

    overrides: list[str]
    config_name: str
    config_path: str
    config_dir: str | None
    show: str | None
    resolve: bool


class Composed(NamedTuple):
    """The settings, those of hydra itself, and hydra's choice of every config group."""

    run: DictConfig
    hydra: DictConfig
    choices: Mapping[str, str | None]


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """The arguments of main_ppo, read by hydra's own parser.

    Raises:
        ValueError: what a single run has no use for.
    """
    parser = get_args_parser()

    def refuse(message: str) -> None:
        raise ValueError(message)

    parser.error = refuse  # in one line, without the usage of main_ppo
    given = parser.parse_args([word for word in arguments if word != "--"])
    for flag in ("multirun", "info", "hydra_help", "shell_completion"):
        if getattr(given, flag, None):
            raise ValueError(f"--{flag.replace('_', '-')} is for main_ppo itself, not for a dry run")
    return CommandLine(
        overrides=given.overrides,
        config_name=(given.config_name or "ppo_trainer").removesuffix(".yaml"),
        config_path=given.config_path or "config",
        config_dir=given.config_dir,
        show=given.cfg,
        resolve=bool(given.resolve),
    )


def composed_run(arguments: Sequence[str]) -> DictConfig:
    """The settings of `python -m verl.trainer.main_ppo ARGUMENTS`, from verl's own files and ours.

    Raises:
        ValueError: an argument that does not fit, in one line.
    """
    return composed(read_command_line(arguments)).run


def composed(line: CommandLine) -> Composed:
    """The same with what hydra says of it.

    Raises:
        ValueError: an argument that does not fit, in one line.
    """
    overrides = list(line.overrides)
    if line.config_dir is not None:
        overrides.append(f"hydra.searchpath=[file://{Path(line.config_dir).resolve()}]")
    try:
        with _config_folder(line.config_path):
            config = compose(line.config_name, overrides=overrides, return_hydra_config=True)
        hydra = config.hydra
        with open_dict(config):
            del config["hydra"]
        # Without its interpolations resolved a setting may still point to nothing.
        OmegaConf.to_container(config, resolve=True)
    except REFUSALS as error:
        raise ValueError(one_line(error)) from error
    return Composed(config, hydra, dict(hydra.runtime.choices))


@contextmanager
def _config_folder(path: str) -> Iterator[None]:
    """hydra's reading of `--config-path`: `pkg://`, absolute, or beside main_ppo's own file."""
    if path.startswith("pkg://"):
        with initialize_config_module(path.removeprefix("pkg://").replace("/", "."), version_base=None):
            yield
        return
    import verl.trainer

    folder = (Path(verl.trainer.__file__).parent / path).resolve()
    with initialize_config_dir(str(folder), version_base=None):
        yield


def one_line(error: BaseException) -> str:
    """The first line of what hydra, OmegaConf or one of verl's dataclasses says."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__  # what verl's dataclass says, instead of where hydra met it
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].removeprefix("amir-verl: ") if lines else type(error).__name__
