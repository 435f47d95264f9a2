"""Real trainings for the tests: verl's trainer with Ray, TransferQueue, FSDP2 and vLLM, on a tiny model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# verl waits for ever on a vLLM engine that has died, so no training may run without a limit.
LIMIT_SECONDS = 420


def run(command, *, log, env=None, limit=LIMIT_SECONDS):
    """Run a command in a process group of its own, its output into `log`; ends the whole group afterwards."""
    with open(log, "wb") as sink:
        child = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=sink, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        try:
            return child.wait(limit)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def train(tiny, out, *overrides, **environment):
    """One training by recipes/tiny_cpu.sh; returns step -> metrics. Fails with the end of the log."""
    env = {
        **os.environ,
        "PYTHON": sys.executable,
        "TINY": str(tiny),
        "OUT": str(out),
        "REWARD": str(Path(__file__).with_name("digit_reward.py")),
        "VERL_FILE_LOGGER_PATH": str(out / "metrics.jsonl"),
        **{name: str(value) for name, value in environment.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    log = out / "train.log"
    status = run(["bash", "recipes/tiny_cpu.sh", *overrides], log=log, env=env)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:])
    assert status == 0, f"training ended with {status}:\n{tail}"
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {record["step"]: record["data"] for record in records}
