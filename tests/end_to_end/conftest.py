"""Tiny models, and questions, for real trainings."""

import json

import pytest

from amir_verl.cli import prepare
from amir_verl.demo import make_tiny


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Folder of an untrained tiny model by architecture, made when first asked for."""
    folder = tmp_path_factory.mktemp("tiny")
    sizes = ["--steps", "0", "--hidden-size", "64", "--train", "128", "--validation", "16"]

    def get(architecture):
        out = folder / architecture
        assert not make_tiny.main(["--architecture", architecture, "--out", str(out), *sizes])
        return out

    return get


@pytest.fixture(scope="session")
def questions(tmp_path_factory):
    """Made-up questions in the form of GSM8K's files, with the prompts of the calibrated reward."""
    source, out = tmp_path_factory.mktemp("authors"), tmp_path_factory.mktemp("gsm8k")
    for split, first in (("train", 2), ("test", 50)):
        rows = [
            {
                "question": f"A pen has {sheep} sheep and {sheep + 3} goats. How many animals is that?",
                "answer": f"{sheep} + {sheep + 3} = <<{sheep}+{sheep + 3}={2 * sheep + 3}>>{2 * sheep + 3}\n"
                f"#### {2 * sheep + 3}",
            }
            for sheep in range(first, first + 16)
        ]
        (source / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert not prepare.main(["gsm8k", "--source", str(source), "--calibrated", "--out", str(out)])
    return out
