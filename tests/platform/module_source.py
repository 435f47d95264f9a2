"""The text of other projects' modules."""

import importlib.util
from pathlib import Path


def source_of(module: str) -> str:
    """The text of a module that is not imported for it (importing vLLM takes seconds)."""
    package, _, rest = module.partition(".")
    root = Path(importlib.util.find_spec(package).origin).parent
    path = root / (rest.replace(".", "/") + ".py") if rest else root / "__init__.py"
    return (path if path.exists() else path.with_suffix("") / "__init__.py").read_text()
