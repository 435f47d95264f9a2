"""What the README and the pages under docs/ say about this repository is true: names, links, paths."""

import ast
import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from amir_verl.cli.main import COMMANDS
from amir_verl.config import AmirConfig
from amir_verl.evaluation import ranking_metrics

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FOLDERS = ("amir_verl", "benchmarks", "docs", "hydra_plugins", "recipes", "reward_fns", "scripts", "tests")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
MODULE = re.compile(r"\b(?:amir_verl|benchmarks|reward_fns)(?:\.\w+)+\b(?<!\.md)")
TEST_FILE = re.compile(r"\btest_\w+\.py\b")
METRIC = re.compile(r"amir/[a-z][a-z_]*")
# What workers report and the driver turns into amir/grad_ratio and amir/engine_gap.
NOT_LOGGED = {"amir/policy_square", "amir/preference_square", "amir/drift_min"}
COMMAND = re.compile(r"amir-verl ([a-z][a-z-]+)")


def by_page(pattern: re.Pattern) -> list:
    """A test parameter for every page in which `pattern` occurs, with all that it finds there."""
    found = [(page, sorted(set(pattern.findall(page.read_text())))) for page in PAGES]
    return [pytest.param(page, hits, id=page.name) for page, hits in found if hits]


def rows(page: Path) -> dict[str, list[str]]:
    """The cells of every table row on a page, by each name in backticks in its first cell."""
    table = {}
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|"):
            table |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells)
    return table


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def strings(folder: Path) -> set[str]:
    """Every string literal of the Python files of a folder, docstrings among them as one string each."""
    nodes = (node for file in folder.rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def is_module(name: str) -> bool:
    """Whether a dotted name is a package or a module of this repository."""
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def test_the_readme_fits_on_ninety_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize(("page", "targets"), by_page(LINK))
def test_every_relative_link_leads_somewhere(page: Path, targets: list[str]):
    broken = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize(("page", "paths"), by_page(PATH))
def test_every_path_of_the_repository_exists(page: Path, paths: list[str]):
    # A full stop or a slash may end the sentence or the folder.
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("./")))] == []


@pytest.mark.parametrize(("page", "names"), by_page(TEST_FILE))
def test_every_test_file_that_a_page_names_exists(page: Path, names: list[str]):
    assert [name for name in names if not list((ROOT / "tests").rglob(name))] == []


@pytest.mark.parametrize(("page", "names"), by_page(COMMAND))
def test_every_command_that_a_page_names_exists(page: Path, names: list[str]):
    assert set(names) <= set(COMMANDS)


@pytest.mark.parametrize(("page", "names"), by_page(MODULE))
def test_every_dotted_name_can_be_imported(page: Path, names: list[str]):
    missing = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        if is_module(name):
            continue
        if not is_module(module) or not hasattr(importlib.import_module(module), attribute):
            missing.append(name)
    assert missing == []


def test_every_setting_has_its_row_and_default():
    table = rows(ROOT / "docs" / "settings.md")
    for setting in fields(AmirConfig):
        assert f"amir.{setting.name}" in table
        if setting.name not in ("lambda_min", "lambda_max"):  # those two have the schedule's
            assert table[f"amir.{setting.name}"][1].strip("`") == str(setting.default).lower(), setting.name


def test_no_row_for_a_setting_that_is_not_there():
    named = {name for name in rows(ROOT / "docs" / "settings.md") if name.startswith("amir.")}
    assert named == {f"amir.{setting.name}" for setting in fields(AmirConfig)}


def test_every_preset_has_its_row():
    presets = {
        f"+amir@_global_={file.stem}" for file in (ROOT / "amir_verl" / "conf" / "amir").glob("*.yaml")
    }
    assert presets <= set(rows(ROOT / "docs" / "settings.md"))


def test_every_metric_in_the_code_has_its_row_and_every_row_its_metric():
    logged = {text for text in strings(ROOT / "amir_verl") if METRIC.fullmatch(text)}
    named = {name for name in rows(ROOT / "docs" / "settings.md") if name.startswith("amir/")}
    assert logged >= NOT_LOGGED
    assert named == logged - NOT_LOGGED


def test_every_ranking_metric_has_its_row():
    logged = {f"val-ranked/{name}" for name in ranking_metrics([[1.0, 0.0]], [[0, 1]])}
    own = re.findall(r"\{PREFIX\}(\w+)", (ROOT / "amir_verl/ranked/trainer.py").read_text())
    assert own
    assert logged | {f"val-ranked/{name}" for name in own} <= set(rows(ROOT / "docs" / "settings.md"))
