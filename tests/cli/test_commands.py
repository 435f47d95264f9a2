"""`amir-verl`: its subcommands, and the same from a wheel, away from any checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from amir_verl.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: amir-verl {name} ")


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train"])
    assert ended.value.code == 2
    assert "invalid choice: 'train'" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom amir_verl.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(str({'torch', 'verl', 'vllm', 'pandas', 'pyarrow'} & sys.modules.keys() or 0))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.strip()) == (1, "0")


def test_a_mistake_is_one_line_with_the_commands_name(tmp_path, capsys):
    assert main(["prepare", "gsm8kk", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("amir-verl prepare: unknown set 'gsm8kk'") and said.count("\n") == 1


def test_recipes_are_written_and_changed_ones_kept(tmp_path, capsys):
    there = tmp_path / "mine"
    assert main(["recipes", "--to", str(there)]) == 0
    shipped = {path.name: path.read_text() for path in (ROOT / "recipes").glob("*.sh")}
    assert {path.name: path.read_text() for path in there.iterdir()} == shipped
    (there / "common.sh").write_text("# mine\n")
    assert main(["recipes", "--to", str(there)]) == 1
    assert "holds other versions of common.sh" in capsys.readouterr().err
    assert (there / "common.sh").read_text() == "# mine\n"
    assert main(["recipes", "--to", str(there), "--force"]) == 0
    assert (there / "common.sh").read_text() == shipped["common.sh"]


@pytest.mark.slow
def test_a_wheel_has_all_of_it(tmp_path):
    """Built, unpacked, and used with this environment's packages but not this checkout."""
    source = tmp_path / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in files.stdout.split("\0")[:-1]:
        if (ROOT / name).exists() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).unlink(missing_ok=True)
            if (ROOT / name).is_symlink():
                (source / name).symlink_to((ROOT / name).readlink())
            else:
                (source / name).write_bytes((ROOT / name).read_bytes())
    build = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *build, str(source)], check=True, timeout=300)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    work = tmp_path / "work"
    (work / "model").mkdir(parents=True)
    (work / "model" / "config.json").write_text("{}")
    for name in ("train", "test"):
        (work / f"{name}.parquet").touch()
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= {"PYTHONPATH": str(installed), "PYTHON": sys.executable}

    def run(*command, **variables):
        ended = subprocess.run(
            command, cwd=work, env=environment | variables, capture_output=True, text=True, timeout=240
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    cli = [sys.executable, "-m", "amir_verl.cli.main"]
    where = run(sys.executable, "-c", "import amir_verl; print(amir_verl.__file__)")
    assert where.startswith(str(installed))
    run(*cli, "recipes", "--to", "scripts")
    inputs = {
        "MODEL": "model",
        "TRAIN": "train.parquet",
        "VAL": "test.parquet",
        "GPUS": "1",
        "DRY_RUN": "args",
    }
    made = run("bash", "scripts/qwen2.5_3b.sh", GPU_MEMORY_GB="80", **inputs)
    assert f"hydra.run.dir={work}/outputs/" in made
    assert "reward.custom_reward_function.path=pkg://reward_fns.calibrated_reward" in made
    assert str(ROOT) not in made
    tiny = run("bash", "scripts/tiny_cpu.sh", **inputs, TINY="model")
    assert "+platform=cpu" in tiny.split("\0")
    ranked = run("bash", "scripts/ranked.sh", **inputs)
    assert "+amir@_global_=ranked" in ranked.split("\0")
