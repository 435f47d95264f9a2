"""AMIR's config group on the search path of every hydra program, so that `+amir@_global_=grpo` composes."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class AmirSearchPathPlugin(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="amir-verl", path="pkg://amir_verl.conf")
