"""What the plugin adds to `import verl`; every process of a run pays it, Ray's workers included.

python -m benchmarks.import_time [--quick]

Fresh interpreters in turn, with the plugin and with verl's plugins turned off.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.measure import Times, machine, ratio, verdict

PLUGINS = {"with": "amir_verl", "without": "none"}


def import_verl(plugins: str) -> tuple[float, float]:
    """Import verl in a fresh interpreter; seconds by the clock and on the CPU.

    `plugins` is what VERL_USE_EXTERNAL_PLUGINS takes.
    """
    environment = os.environ | {"VERL_USE_EXTERNAL_PLUGINS": plugins}
    check = "import sys, verl; print('amir_verl.plugin' in sys.modules)"
    wall, cpu = time.perf_counter(), _children()
    run = subprocess.run(
        [sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True
    )
    wall, cpu = time.perf_counter() - wall, _children() - cpu
    loaded = run.stdout.split()[-1] == "True"
    if loaded != (plugins != "none"):
        sys.exit("import verl does not load the plugin here: is amir-verl installed in this environment?")
    return wall, cpu


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 repeats")
    args = parser.parse_args()
    repeats = 3 if args.quick else args.repeats
    print(f"import verl with the plugin and without, {repeats} fresh interpreters each")
    print(machine())

    times = {name: Times([], []) for name in PLUGINS}
    for turn in range(repeats + 1):
        for name in PLUGINS if turn % 2 == 0 else reversed(PLUGINS):
            wall, cpu = import_verl(PLUGINS[name])
            if turn:  # the first turn fills the disk cache
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
    for name, seconds in times.items():
        wall, cpu = statistics.median(seconds.wall), statistics.median(seconds.cpu)
        print(f"  {name:<8} {wall:6.2f} s by the clock, {cpu:6.2f} s on the CPU, medians")
    print(f"with / without, by the clock: {ratio(times['with'].wall, times['without'].wall):.3f}")
    for clock in ("wall", "cpu"):
        pairs = zip(getattr(times["with"], clock), getattr(times["without"], clock), strict=True)
        added = sorted(a - b for a, b in pairs)
        what = "by the clock" if clock == "wall" else "on the CPU"
        line = verdict(f"seconds added to import verl, {what}", statistics.median(added), at_most=0.5)
        print(f"{line} ({added[0]:+.2f} to {added[-1]:+.2f})")


if __name__ == "__main__":
    main()
