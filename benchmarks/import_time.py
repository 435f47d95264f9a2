"""What the plugin adds to `import verl`, which every process of a run pays, Ray's workers too.

python -m benchmarks.import_time [--quick]

Fresh interpreters in turns, with the plugin and with verl's plugins turned off.
"""

import argparse
import os
import statistics
import subprocess
import sys
from functools import partial

from benchmarks.measure import interleaved, machine, ratio, verdict


def import_verl(plugins: str) -> None:
    """Import verl in a fresh interpreter; `plugins` as VERL_USE_EXTERNAL_PLUGINS takes it."""
    environment = os.environ | {"VERL_USE_EXTERNAL_PLUGINS": plugins}
    check = "import sys, verl; print('amir_verl.plugin' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True
    )
    found, expected = run.stdout.split()[-1], str(plugins != "none")
    if found != expected:
        sys.exit(f"import verl with plugins={plugins}: plugin loaded {found}; is amir-verl installed here?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 repeats")
    args = parser.parse_args()
    repeats = 3 if args.quick else args.repeats
    print(f"import verl with the plugin and without, {repeats} fresh interpreters each")
    print(machine())
    times = interleaved(
        {"with": partial(import_verl, "amir_verl"), "without": partial(import_verl, "none")}, repeats=repeats
    )
    for name, seconds in times.items():
        print(f"  {name:<8} {statistics.median(seconds.wall):6.2f} s, median")
    print(f"with / without: {ratio(times['with'].wall, times['without'].wall):.3f}")
    pairs = zip(times["with"].wall, times["without"].wall, strict=True)
    difference = statistics.median(a - b for a, b in pairs)
    print(verdict("seconds added to import verl", difference, at_most=0.5))


if __name__ == "__main__":
    main()
