"""A training that is killed anywhere goes on from its last whole checkpoint and leaves no process behind.

python -m benchmarks.survival [--kills 10] [--seed 0] [--ranks 2] --out FOLDER

A real training of a tiny random model (recipes/tiny_cpu.sh, a checkpoint every second step) is started; the
driver, its task runner, an FSDP worker or the vLLM engine gets SIGKILL, at any moment or while a checkpoint
is written; what is left of the run is looked at; and the same command is started again, to be killed next.
What is whole is judged here by reading every file, not by the plugin's mark. Called again with the same
folder, it goes on where it was stopped.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.measure import machine
from benchmarks.run_processes import Run, end, find, shared_memory, start, wait_until_gone

REPOSITORY = Path(__file__).resolve().parents[1]
KINDS = ("driver", "task runner", "worker", "engine")
MOMENTS = ("any time", "while saving")
WARM_UP = 1000  # steps over which lambda grows: its share of the target tells at which step it is
SAVE_FREQ = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10, help="in all, with those already in the folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=2, help="FSDP workers")
    parser.add_argument("--width", type=int, default=256, help="hidden size of the model")
    parser.add_argument("--limit", type=float, default=600, help="seconds for a run to start or to save")
    parser.add_argument("--end-limit", type=float, default=150, help="seconds for a killed run to be gone")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, logs and the table so far")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    rows_file = out / "kills.jsonl"
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()] if rows_file.exists() else []

    print(f"{args.kills} kills, {args.ranks} FSDP ranks, a checkpoint every {SAVE_FREQ} steps; {machine()}")
    print(HEAD, flush=True)
    for row in rows:
        print(line(row), flush=True)
    memory = shared_memory()
    try:
        for row in kill_and_resume(out, plan(args.kills, args.seed)[len(rows) :], len(rows), args):
            rows.append(row)
            with rows_file.open("a") as table:
                table.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
    except KeyboardInterrupt:
        sys.exit(f"stopped after {len(rows)} of {args.kills} kills; the same command goes on")
    new = [size for name, size in shared_memory().items() if name not in memory]
    if new:
        print(f"shared memory left in /dev/shm: {len(new)} segments, {sum(new) / 2**20:.1f} MiB in use")
    ended = [row["ended"] for row in rows if row["ended"] is not None]
    print(f"a killed run ended after {statistics.median(ended):.0f} s (median), {max(ended):.0f} s at most")
    good = sum(passed(row) for row in rows)
    print(f"{good} of {len(rows)} continue from the last whole checkpoint and leave no process behind")
    sys.exit(good != len(rows))


def plan(kills: int, seed: int) -> list[tuple[str, str, float]]:
    """What to kill, when, and where in that time, as a share; each kind at either moment, then all again."""
    rng = random.Random(seed)
    cases, chosen = list(itertools.product(KINDS, MOMENTS)), []
    while len(chosen) < kills:
        chosen += [(kind, moment, rng.random()) for kind, moment in rng.sample(cases, k=len(cases))]
    return chosen[:kills]


def kill_and_resume(out: Path, cases: list, number: int, args: argparse.Namespace):
    """Yields a row for each kill, after the run that followed it has made a step."""
    checkpoints = out / "checkpoints"
    if not cases:
        return
    run = launch(out, number, args)
    try:
        first_step(run, out, limit=args.limit)
        for kind, moment, share in cases:
            number += 1
            row = {"number": number, "kind": kind, "moment": moment}
            kill(run, checkpoints, kind, moment, share, limit=args.limit)
            row["ended"], row["gone"], left = wait_until_gone(run, limit=args.end_limit)
            row["left"] = sorted(left.values())
            end(run)
            row |= judge(checkpoints, args.ranks)
            row["reason"] = last_words(run.log)
            began = time.monotonic()
            run = launch(out, number, args)
            record = first_step(run, out, limit=args.limit)
            row["resumed"] = record["step"] - 1
            # Measured in the update, so it is off by rounding.
            row["lambda_steps"] = round(record["data"]["amir/grad_ratio"] * WARM_UP)
            row["restart"] = time.monotonic() - began
            prune(checkpoints, row["resumed"])
            yield row
    finally:
        end(run)


def launch(out: Path, number: int, args: argparse.Namespace) -> Run:
    """The same command every time; what changes is the marker, the log and the file of metrics."""
    model = out / "model"
    if not (model / "config.json").exists():
        command = [sys.executable, "-m", "amir_verl.demo.make_tiny", "--out", str(model), "--steps", "0"]
        sizes = ["--hidden-size", str(args.width), "--train", "256", "--validation", "16"]
        subprocess.run([*command, *sizes], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    metrics = out / "metrics.jsonl"
    metrics.unlink(missing_ok=True)
    environment = {
        "ALGO": "amir_grpo",
        "PYTHON": sys.executable,
        "TINY": str(model),
        "OUT": str(out),
        "REWARD": str(Path(__file__).with_name("digit_reward.py")),
        "VERL_FILE_LOGGER_PATH": str(metrics),
        "STEPS": "100000",
        "RANKS": str(args.ranks),
        "PROMPTS": "4",
        "GROUP": "4",
        "LR": "1e-6",
    }
    overrides = [
        f"amir.lambda_warmup_steps={WARM_UP}",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        f"trainer.save_freq={SAVE_FREQ}",
        "trainer.max_actor_ckpt_to_keep=2",
        "trainer.resume_mode=auto",
        f"hydra.run.dir={out / 'hydra'}",
    ]
    return start(
        ["bash", "recipes/tiny_cpu.sh", *overrides],
        name=f"{os.getpid()}-{number}",
        cwd=REPOSITORY,
        environment=environment,
        log=out / f"run_{number}.log",
    )


def first_step(run: Run, out: Path, *, limit: float) -> dict[str, Any]:
    """The metrics of the first step that the run makes."""
    metrics = out / "metrics.jsonl"

    def step() -> dict[str, Any] | None:
        lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
        return json.loads(lines[0]) if lines and lines[0].endswith("\n") else None

    return wait(step, run, "made no step", limit=limit, pause=0.25)


def kill(run: Run, checkpoints: Path, kind: str, moment: str, share: float, *, limit: float) -> None:
    """Kill one process of the kind, once the run has saved a checkpoint of its own."""
    before = newest(checkpoints)
    began = time.monotonic()
    wait(lambda: newest(checkpoints) > before, run, "saved nothing", limit=limit, pause=0.05)
    pids = find(run, kind)
    if not pids:
        raise RuntimeError(f"no process of the kind {kind} in {run.name}")
    pid = pids[int(share * len(pids))]
    step_seconds = min(3.0, (time.monotonic() - began) / SAVE_FREQ + 0.2)
    if moment == "any time":
        time.sleep(share * 2 * SAVE_FREQ * step_seconds)
    else:
        # A folder appears when its saving begins; on the machine of the figures it then takes some 50 ms.
        before = newest(checkpoints)
        wait(lambda: newest(checkpoints) > before, run, "saved nothing", limit=limit, pause=0.0005)
        time.sleep(0.04 * share)
    os.kill(pid, signal.SIGKILL)


def wait(look: Any, run: Run, failure: str, *, limit: float, pause: float) -> Any:
    """What `look` finds, at last; RuntimeError if the run ends before or the limit passes."""
    start = time.monotonic()
    while not (found := look()):
        if run.process.poll() is not None or time.monotonic() - start > limit:
            raise RuntimeError(f"the run {failure}: {run.log}\n{last_words(run.log)}")
        time.sleep(pause)
    return found


def newest(checkpoints: Path) -> int:
    return max(steps_in(checkpoints), default=0)


def steps_in(checkpoints: Path) -> list[int]:
    return sorted(int(path.name.rpartition("_")[2]) for path in checkpoints.glob("global_step_*"))


def judge(checkpoints: Path, ranks: int) -> dict[str, Any]:
    """The last whole checkpoint, by reading its files; and those after it, which are not."""
    whole = [step for step in steps_in(checkpoints) if is_whole(checkpoints / f"global_step_{step}", ranks)]
    last = max(whole, default=0)
    return {"whole": last, "half": [step for step in steps_in(checkpoints) if step > last]}


def is_whole(folder: Path, ranks: int) -> bool:
    """Whether every file of every rank can be read to its end, and the plugin has written its own."""
    actor = [
        f"actor/{part}_world_size_{ranks}_rank_{rank}.pt"
        for part in ("model", "optim", "extra_state")
        for rank in range(ranks)
    ]
    try:
        for name in (*actor, "data.pt"):
            with zipfile.ZipFile(folder / name) as archive:
                # torch's files are zip archives with checksums.
                if archive.testzip() is not None:
                    return False
        json.loads((folder / "amir.json").read_text())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return True


def prune(checkpoints: Path, resumed: int) -> None:
    """verl counts only the checkpoints of its own process: those of earlier runs would pile up."""
    for step in steps_in(checkpoints):
        if step < resumed:
            shutil.rmtree(checkpoints / f"global_step_{step}")


def last_words(log: Path) -> str:
    """The line with which a run ended: its last error."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [text for text in lines if "Error" in text and not text.startswith("\x1b")]
    return (errors or lines or [""])[-1][:200]


def passed(row: dict[str, Any]) -> bool:
    """Resumed from the last whole checkpoint, lambda's count too, and nothing of the killed run was left."""
    return row["resumed"] == row["whole"] == row["lambda_steps"] - 1 and row["gone"] is not None


HEAD = (
    f"{'':>3} {'killed':<12}{'when':<14}{'last whole':>10}{'half':>6}{'resumed at':>11}{'lambda at':>10}"
    f"{'ended s':>8}{'all gone s':>11}{'restart s':>10}  left behind"
)


def line(row: dict[str, Any]) -> str:
    half = ",".join(map(str, row["half"])) or "-"
    ended, gone = (f"{row[name]:.0f}" if row[name] is not None else "never" for name in ("ended", "gone"))
    return (
        f"{row['number']:>3} {row['kind']:<12}{row['moment']:<14}{row['whole']:>10}{half:>6}"
        f"{row['resumed']:>11}{row['lambda_steps'] - 1:>10g}{ended:>8}{gone:>11}{row['restart']:>10.0f}  "
        f"{'; '.join(row['left']) or 'nothing'}{'' if passed(row) else '  FAILED'}"
    )


if __name__ == "__main__":
    main()
