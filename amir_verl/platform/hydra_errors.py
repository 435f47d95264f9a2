"""A mistyped setting of AMIR gets its nearest names, where hydra would advise to append it.

hydra 1.3 refuses `amir.betta=1` with "To append to your config use +amir.betta=1", which cannot work, and
has no hook for it: `ConfigLoaderImpl._apply_overrides_to_config` (hydra/_internal/config_loader_impl.py:336)
raises while the command line is read. Only its error is changed, only for names under `amir`.
"""

import re
from functools import wraps
from typing import Any

import wrapt

_REFUSED = re.compile(r"Could not override '(algorithm\.)?amir\.(\w+)'")


def install() -> None:
    """Arrange for the wrap to be made when hydra is imported, or now if it is."""
    wrapt.register_post_import_hook(_name_nearest, "hydra._internal.config_loader_impl")


def _name_nearest(module: Any) -> None:
    loader = module.ConfigLoaderImpl
    apply = getattr(loader, "_apply_overrides_to_config", None)
    if apply is None:
        return  # another hydra: its own words stand

    @wraps(apply)
    def apply_naming_nearest(*args: Any, **kwargs: Any) -> Any:
        try:
            return apply(*args, **kwargs)
        except module.ConfigCompositionException as error:
            config = kwargs.get("cfg", args[-1] if args else None)
            cure = _cure(str(error), config)
            if cure is None:
                raise
            raise module.ConfigCompositionException(cure) from None

    loader._apply_overrides_to_config = staticmethod(apply_naming_nearest)


def _cure(refusal: str, config: Any) -> str | None:
    found = _REFUSED.match(refusal)
    if found is None or config is None:
        return None
    from omegaconf import OmegaConf

    from amir_verl.config import AmirConfig, nearest

    in_algorithm, name = found.groups()
    place = "algorithm.amir" if in_algorithm else "amir"
    node = OmegaConf.select(config, place)
    preset = "advantage" if in_algorithm else "grpo"
    if node is None:
        return f"amir-verl: {place}.{name} needs a preset of AMIR: add +amir@_global_={preset}"
    known = [str(key) for key in node] if in_algorithm else AmirConfig.names()
    return f"amir-verl: {place}.{name} is no setting of AMIR; {nearest(name, known)}"
