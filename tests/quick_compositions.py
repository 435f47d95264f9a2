"""Settings of verl composed many times in one process, at a third of the time.

hydra reads some thirty YAML files for each composition, puts them together and reads two hundred
interpolations: each time the same for one choice of config groups. Here that is done once and copied; what a
command line changes in it is hydra's own work each time.
"""

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from omegaconf import _utils, base, grammar_parser


def _folders(repository: Any) -> list[tuple[str, str]]:
    return [(source.provider, source.path) for source in repository.get_sources()]


@contextmanager
def quick_compositions() -> Iterator[None]:
    files: dict[str, Any] = {}
    composed: dict[str, Any] = {}
    load, compose = ConfigRepository.load_config, ConfigLoaderImpl._compose_config_from_defaults_list

    def load_once(self, config_path):
        key = repr((_folders(self), config_path))
        # A test that writes settings writes them into a folder of its own.
        found = files.get(key)
        if found is None:
            found = files[key] = load(self, config_path)
        return found

    def compose_once(self, defaults, repo):
        key = repr((_folders(repo), [vars(default) for default in defaults]))
        if key not in composed:
            # It writes into what it loads.
            copies = SimpleNamespace(
                load_config=lambda config_path: copy.deepcopy(repo.load_config(config_path))
            )
            copies.get_schema_source = repo.get_schema_source
            composed[key] = compose(self, defaults, copies)
        return copy.deepcopy(composed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_once)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", compose_once)
        for module in (_utils, base):
            patch.setattr(module, "parse", functools.cache(grammar_parser.parse))
        yield
