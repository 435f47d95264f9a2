"""The `main_ppo` scripts of a verl checkout: their command lines, and what one override makes of each.

    bash scripts/verl_scripts.sh VERL [--save FILE]

Each script runs with stand-ins for `python3`, `uv`, `ray` and for every command that touches files or the
network: nothing is trained, and what would have been handed to `verl.trainer.main_ppo` is written down. Then
each command line is composed, alone and with each preset, and put through the checks of settings.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from amir_verl.cli.composition import composed, read_command_line
from amir_verl.trainer.announcement import what_is_on
from amir_verl.trainer.preflight import check_run
from amir_verl.trainer.preset import LOSS, check_choices, let_preset_win
from amir_verl.trainer.run_checks import check_names

MAIN = "verl.trainer.main_ppo"
PRESETS = ("grpo", "gspo", "advantage")
LAUNCHERS = ("python", "python3", "uv", "ray", "torchrun")
SILENT = (
    *("rm", "mkdir", "mv", "cp", "ln", "touch", "chmod", "sleep", "kill", "pkill", "git", "pip", "pip3"),
    *("wget", "curl", "hf", "huggingface-cli", "nvidia-smi", "npu-smi"),
)
STAND_IN = f"""#!/bin/bash
words="$*"
while [ $# -gt 0 ]; do
  case $1 in
    {MAIN} | {MAIN}_sync) shift; [ -e "$CAPTURED" ] || printf '%s\\0' "$@" >"$CAPTURED"; exit 0 ;;
  esac
  shift
done
case $words in
  *torch_npu*) exit 1 ;;  # no such accelerator
  *"python3 -" | *get_device_name*) echo cuda ;;  # a program that names the device
esac
exit 0
"""
HOME = "/home/user"  # what a script makes of $HOME is the same on every machine
# What some scripts leave to the user.
WANTED = {
    "DATA_ROOT": "/data",
    "HDFS_ROOT": "/data",
    "RAY_DATA_HOME": "/data",
    "INFER_BACKEND": "vllm",
    "LORA_ADAPTER_PATH": "/models/adapter",
    "KIMI_K2_6_MODEL_PATH": "/models/kimi_k2_6",
    "USE_DUMMY_MODEL": "False",
}


def scripts(checkout: Path) -> list[str]:
    """Every shell script of the examples and tests that starts `main_ppo`, relative to the checkout."""
    files = sorted(path for room in ("examples", "tests") for path in (checkout / room).rglob("*.sh"))
    return [str(path.relative_to(checkout)) for path in files if "main_ppo" in path.read_text()]


def capture(checkout: Path, script: str) -> list[str] | None:
    """The arguments that a script hands to `main_ppo` first; None where it never gets there."""
    with tempfile.TemporaryDirectory() as folder:
        stubs = Path(folder) / "bin"
        stubs.mkdir()
        for name in (*LAUNCHERS, *SILENT, "tee"):
            text = STAND_IN if name in LAUNCHERS else "#!/bin/sh\nexit 0\n"
            (stubs / name).write_text("#!/bin/sh\nexec cat\n" if name == "tee" else text)
            (stubs / name).chmod(0o755)
        captured = Path(folder) / "captured"
        (Path(folder) / "limits").write_text("ulimit() { :; }\n")
        environment = WANTED | {
            "PATH": f"{stubs}:/usr/bin:/bin",
            "HOME": HOME,
            "BASH_ENV": f"{folder}/limits",
            "CAPTURED": str(captured),
        }
        subprocess.run(
            ["bash", script],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        if not captured.exists():
            return None
        return captured.read_text().split("\0")[:-1]


class Verdict(NamedTuple):
    """What becomes of a command line.

    Attributes:
        refusal: why it does not compose or is no run for AMIR; None where it is sound.
        said: what AMIR says of the run at its start.
        left_out: settings that this verl does not have, left out.
    """

    refusal: str | None
    said: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def verdict(words: Sequence[str], preset: str | None) -> Verdict:
    """Compose a command line of `main_ppo`, with a preset first, and check its settings; no file is read."""
    added = [f"+amir@_global_={preset}"] if preset else []
    words, left_out = list(words), []
    while True:
        try:
            run = composed(read_command_line([*words, *added]))
            break
        except ValueError as error:
            # Command lines of a checkout that is not of this very version.
            unknown = re.match(r"Could not override '([^']+)'", str(error))
            kept = [word for word in words if not unknown or word.partition("=")[0] != unknown[1]]
            if len(kept) == len(words):
                return Verdict(str(error), left_out=tuple(left_out))
            words, left_out = kept, [*left_out, unknown[1]]
    if preset is None:
        return Verdict(None, left_out=tuple(left_out))
    try:
        check_choices(run.choices)
        changed = let_preset_win(run.run)
        settings = check_run(run.run)
        check_names(run.run, settings)
    except ValueError as error:
        return Verdict(str(error), left_out=tuple(left_out))
    said = [changed] if changed else []
    return Verdict(None, (*said, what_is_on(run.run, settings)), tuple(left_out))


def pack(source: str, lines: Mapping[str, Sequence[str]]) -> str:
    """Command lines as JSON, each word once: {source, words, scripts: {name: places in words}}."""
    counts = Counter(word for line in lines.values() for word in line)
    words = [word for word, _ in counts.most_common()]
    place = {word: index for index, word in enumerate(words)}
    scripts = {name: [place[word] for word in line] for name, line in lines.items()}
    rows = [f"{json.dumps(name)}: {json.dumps(line)}" for name, line in scripts.items()]
    return (
        f'{{"source": {json.dumps(source)},\n"words": {json.dumps(words, indent=0)},\n"scripts": {{\n'
        + ",\n".join(rows)
        + "\n}}\n"
    )


def unpack(text: str) -> dict[str, list[str]]:
    """Command lines by script, as `pack` wrote them."""
    packed = json.loads(text)
    return {name: [packed["words"][place] for place in line] for name, line in packed["scripts"].items()}


def is_gspo(words: Sequence[str]) -> bool:
    """Whether a command line trains with verl's GSPO loss."""
    return f"{LOSS}=gspo" in words


def table(lines: Mapping[str, Sequence[str]]) -> str:
    """With which command lines each preset composes, and why others are refused."""
    rows = []
    for preset in PRESETS:
        tried = {name: words for name, words in lines.items() if preset != "gspo" or is_gspo(words)}
        found = {name: verdict(words, preset) for name, words in tried.items()}
        alone = {name for name in tried if not found[name].refusal or not verdict(lines[name], None).refusal}
        good = [name for name in alone if found[name].refusal is None]
        as_written = sum(not found[name].left_out for name in good)
        rows.append(
            f"+amir@_global_={preset}: {len(tried)} scripts tried, {len(alone)} compose without AMIR, "
            f"{len(good)} with it ({as_written} as written, the others without settings that this verl lacks)"
        )
        reasons = Counter(re.sub(r", got \d+$", "", found[name].refusal) for name in alone - set(good))
        rows += [f"    refused {count}: {reason}" for reason, count in reasons.most_common()]
        rows += [
            f"    not even without AMIR {name}: {found[name].refusal}"
            for name in sorted(tried.keys() - alone)
        ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verl", type=Path, help="a checkout of verl, or a file of --save")
    parser.add_argument("--save", type=Path, help="write the command lines that were captured")
    parser.add_argument("--source", default="", help="what the file says of where they come from")
    args = parser.parse_args(arguments)
    yaml.SafeLoader = yaml.CSafeLoader  # what OmegaConf reads with: hundreds of compositions are ahead
    if args.verl.is_file():
        lines = unpack(args.verl.read_text())
    else:
        captured = {script: capture(args.verl, script) for script in scripts(args.verl)}
        lines = {name: words for name, words in captured.items() if words is not None}
        print(f"{len(captured)} scripts, of {len(lines)} the command line", flush=True)
    if args.save:
        args.save.write_text(pack(args.source, lines))
    print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
