"""The house as the code has it: its rooms, their floors, no import upward, and the names that stay."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("amir_verl", "reward_fns")
# A room imports itself and what lies on a floor below.
FLOORS = (
    {"amir_verl", "amir_verl.config", "amir_verl.conf", "reward_fns"},
    {"amir_verl.objective", "amir_verl.recovery", "amir_verl.platform", "amir_verl.data"},
    {"amir_verl.trainer", "amir_verl.evaluation"},
    {"amir_verl.ranked", "amir_verl.export", "amir_verl.demo"},
    {"amir_verl.plugin", "amir_verl.cli"},
)
# Evaluation has four rooms, one above the other.
EVALUATION = ("metrics", "sampling", "comparison", "ranking")
ROOMS = {
    *(f"amir_verl.{name}" for name in ("objective", "trainer", "recovery", "ranked", "cli", "data")),
    *(f"amir_verl.evaluation.{name}" for name in EVALUATION),
    *(f"amir_verl.{name}" for name in ("export", "demo", "platform")),
}
STANDARD_LIBRARY = sys.stdlib_module_names
PUBLIC = {
    "amir_verl": ("AmirConfig", "amir_loss"),
    "amir_verl.evaluation": ("pass_at_k", "ranking_metrics"),
    "reward_fns.math_reward": ("compute_score",),
    "reward_fns.calibrated_reward": ("compute_score",),
}


def modules():
    """Dotted name and file of every module of the packages."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(file):
    """Dotted names that a file imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name):
    return name.split(".")[0] in PACKAGES


def floor(name):
    """Floor and room of a module: the longest name in FLOORS that it begins with."""
    found = [
        (len(room), level, room)
        for level, rooms in enumerate(FLOORS)
        for room in rooms
        if name == room or name.startswith(f"{room}.")
    ]
    _, level, room = max(found)
    return level, room


def evaluation_floor(name):
    """Which of evaluation's rooms; the package itself only hands on names of all."""
    room = name.removeprefix("amir_verl.evaluation.").split(".")[0]
    return EVALUATION.index(room) if room in EVALUATION else len(EVALUATION)


def test_the_rooms_are_the_thirteen():
    found = set()
    for name, file in modules():
        if name.startswith("amir_verl.") and file.stem != "__init__" and file.parent != ROOT / "amir_verl":
            found.add(name.rpartition(".")[0])
    assert found == ROOMS
    assert len(ROOMS) == 13


def test_every_module_has_its_floor():
    """One that lies loose in the package would be on the ground floor and could be imported by all."""
    loose = {file.name for _, file in modules() if file.parent == ROOT / "amir_verl"}
    assert loose == {"__init__.py", "config.py", "plugin.py"}


def test_no_import_runs_upward():
    upward, seen = [], 0
    for name, file in modules():
        level, room = floor(name)
        for target in filter(ours, imports(file)):
            seen += 1
            target_level, target_room = floor(target)
            if name == "amir_verl" and target_room in ("amir_verl.config", "amir_verl.objective"):
                continue  # the names that it hands on, for type checkers
            inside = target_room == room == "amir_verl.evaluation"
            if (target_room != room and target_level >= level) or (
                inside and evaluation_floor(target) > evaluation_floor(name)
            ):
                upward.append(f"{name} imports {target}")
    assert seen > 300 and not upward


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("amir_verl.objective", ["amir_verl.trainer", "verl", "omegaconf", "numpy"]),
        ("amir_verl.recovery", ["amir_verl.trainer", "verl", "torch"]),
        ("amir_verl.trainer", ["amir_verl.ranked"]),
    ],
)
def test_what_a_room_knows_nothing_of(room, forbidden):
    """Said of the three rooms by name, whatever FLOORS has."""
    seen = {target for name, file in modules() if name.startswith(room) for target in imports(file)}
    assert seen
    for name in forbidden:
        assert not [target for target in seen if f"{target}.".startswith(f"{name}.")]


def test_the_objective_needs_torch_and_the_settings_alone():
    for name, file in modules():
        if name.startswith("amir_verl.objective"):
            for target in imports(file):
                top = target.split(".")[0]
                known = ("amir_verl.config.", "amir_verl.objective.")
                assert top == "torch" or top in STANDARD_LIBRARY or target.startswith(known), target


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names]
)
def test_public_names_stay_where_they_are(module, name):
    assert callable(getattr(importlib.import_module(module), name))


def test_the_plugins_table_names_files_that_exist():
    """Moment, what verl calls, our file: a newcomer's first page."""
    docstring = ast.get_docstring(ast.parse((ROOT / "amir_verl/plugin.py").read_text()))
    rows = [line.strip("| ").split(" | ") for line in docstring.splitlines() if line.startswith("|")]
    assert rows[0] == ["moment", "what verl calls", "our file"]
    assert len(rows) > 8
    for _, _, files in rows[2:]:
        room = ROOT / "amir_verl"
        for file in files.replace(";", ",").split(", "):
            if "/" in file:
                room = ROOT / "amir_verl" / file.rpartition("/")[0]
            assert (room / file.rpartition("/")[2]).exists(), file
