"""Tiny models for real trainings."""

import sys

import pytest
from trainings import run


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Folder of an untrained tiny model by architecture, made when first asked for."""
    folder = tmp_path_factory.mktemp("tiny")

    def make(architecture):
        out = folder / architecture
        command = [sys.executable, "scripts/make_tiny.py", "--architecture", architecture, "--out", str(out)]
        options = ["--steps", "0", "--hidden-size", "64", "--train", "128", "--validation", "16"]
        assert run([*command, *options], log=folder / f"{architecture}.log") == 0
        return out

    made = {}

    def get(architecture):
        if architecture not in made:
            made[architecture] = make(architecture)
        return made[architecture]

    return get
