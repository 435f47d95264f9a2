"""Whether a function that a run names by its file is there and takes what verl hands it, without running the
file.

verl imports it first inside a Ray actor. Here its source is parsed: what cannot be told that way (a name
that is imported, made by a call, or put there by `import *`) is left to verl.
"""

import ast
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from amir_verl.config import nearest


def find_function(setting: str, path: str, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The definition of `name` in the module `path`, as verl reads paths: a file, `file://` or `pkg://`.

    Returns:
        None where it is no plain function of that file.

    Raises:
        ValueError: no such file, no Python, or no such name; one line that begins with `setting`.
    """
    file = _file_of(setting, path)
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_text())
    except SyntaxError as error:
        raise ValueError(f"{setting}={path} line {error.lineno} is no Python: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{setting}={path} cannot be read: {error}") from None
    names: dict[str, ast.stmt] = {}
    for statement in _statements(tree.body):
        for found in _names(statement):
            if found == "*":
                return None
            names[found] = statement
    if name not in names:
        raise ValueError(f"{setting}={path} has no {name}; {nearest(name, _public(names))}")
    node = names[name]
    return node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None


def check_call(
    setting: str,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    *,
    handed: Iterable[str],
    extra: Iterable[str],
    never: str | None = None,
) -> None:
    """Refuse a function that the call `function(**handed, **extra)` does not fit.

    Args:
        setting: the setting that `extra` comes from.
        handed: the names that verl hands over.
        extra: the names that the user adds.
        never: a `**` argument of this name takes only what verl adds, no name of the user's.

    Raises:
        ValueError: one line with the argument that is missing or unknown.
    """
    if function.decorator_list:
        return  # what is called is then another function
    arguments = function.args
    handed, extra = list(handed), list(extra)
    named = [one.arg for one in (*arguments.args, *arguments.kwonlyargs)]
    open_ended = arguments.kwarg is not None
    missing = [name for name in handed if name not in named]
    if missing and not open_ended:
        raise ValueError(
            f"{function.name} takes no {missing[0]}: verl calls it with {', '.join(handed)} by name"
        )
    if not open_ended or arguments.kwarg.arg == never:
        for name in extra:
            if name not in named:
                own = [one for one in named if one not in handed]
                raise ValueError(f"{setting}.{name} is no setting of {function.name}; {nearest(name, own)}")


def _file_of(setting: str, path: str) -> Path | None:
    if not path.startswith("pkg://"):
        file = Path(path.removeprefix("file://"))
        if not file.is_file():
            raise ValueError(f"{setting}: no file {file}")
        return file
    module = path.removeprefix("pkg://").replace("/", ".")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(f"{setting}: no module {module}")
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _statements(body: list[ast.stmt]) -> Iterable[ast.stmt]:
    """Statements of a module, those under `if`, `try` and `with` among them."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers"):
            inner = getattr(statement, part, [])
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _statements([one for one in inner if isinstance(one, ast.stmt)])
                for handler in (one for one in inner if isinstance(one, ast.ExceptHandler)):
                    yield from _statements(handler.body)


def _names(statement: ast.stmt) -> Iterable[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]
