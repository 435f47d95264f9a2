#!/usr/bin/env bash
# verl's own CPU tests with plugins off and on: nothing of verl may behave otherwise because amir-verl is installed.
#   bash scripts/verl_tests.sh [quick]   quick: trainer, advantage, losses and config alone
# The tests come with verl's source distribution, which lacks those of tests/trainer/config and tests/workers.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv}
PYTHON=$(realpath -s "${PYTHON:-$VENV/bin/python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case ${1:-} in
  quick) tests=(tests/trainer tests/test_base_config_on_cpu.py) ;;
  "") tests=(tests/trainer tests/plugin tests/tools tests/test_{base_config,protocol,protocol_v2}_on_cpu.py
    tests/checkpoint_engine/test_global_steps_on_cpu.py tests/experimental) ;;
  *) echo "usage: bash scripts/verl_tests.sh [quick]" >&2; exit 2 ;;
esac

"$PYTHON" -m pip download -q --disable-pip-version-check --no-binary :all: --no-deps --dest "$work" verl==0.9.1
tar xzf "$work"/verl-0.9.1.tar.gz -C "$work"
mkdir "$work/run"
mv "$work/verl-0.9.1/tests" "$work/run"
# Their pytest plugin, for this run alone.
"$PYTHON" -m pip install -q --disable-pip-version-check --no-deps --target "$work/plugins" "pytest-asyncio>=1.0"
cd "$work/run"
# Or "on" would be off as well, and nothing could differ.
cat >tests/conftest.py <<'CONFTEST'
import os
import sys

import verl  # noqa: F401

assert ("amir_verl.plugin" in sys.modules) == (os.environ["VERL_USE_EXTERNAL_PLUGINS"] == "auto")
CONFTEST
mapfile -t files < <(find "${tests[@]}" -name "test_*.py" \( -name "*on_cpu.py" -o -path "*/trainer/*" -o -path "*/plugin/*" \) | sort)
for plugins in none auto; do
  # Exit status 1: some tests failed, which the comparison below judges.
  env -u VERL_PLATFORM PYTHONPATH="$work/plugins" VERL_USE_EXTERNAL_PLUGINS=$plugins "$PYTHON" -m pytest \
    -q -p no:cacheprovider --junitxml="$work/$plugins.xml" "${files[@]}" >"$work/$plugins.log" 2>&1 ||
    [ $? = 1 ] || { tail -40 "$work/$plugins.log"; exit 1; }
done

"$PYTHON" - "$work/none.xml" "$work/auto.xml" <<'COMPARE'
import collections
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(path):
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        found[case.get("classname") or "", case.get("name")] = kinds.pop() if kinds else "passed"
    return found


off, on = map(outcomes, sys.argv[1:])
tables = collections.defaultdict(lambda: ([0, 0], [0, 0]))
for side, found in enumerate((off, on)):
    for (file, _), outcome in found.items():
        name = ".".join(part for part in file.split(".") if not part.startswith("Test"))
        tables[name][side][outcome not in ("passed", "skipped")] += 1
print(f"{'tests of verl 0.9.1':<78}{'off: ran':>9}{'failed':>7}{'on: ran':>9}{'failed':>7}")
for name, ((good, bad), (good_on, bad_on)) in sorted(tables.items()):
    print(f"{name:<78}{good + bad:>9}{bad:>7}{good_on + bad_on:>9}{bad_on:>7}")
if not off:
    sys.exit("no test ran")
different = [case for case in sorted(off.keys() | on.keys()) if off.get(case) != on.get(case)]
for case in different:
    print("DIFFERENT", ".".join(case), "off:", off.get(case, "missing"), "on:", on.get(case, "missing"))
print(f"{len(off)} tests of verl, {len(different)} with another outcome under the plugin")
sys.exit(bool(different))
COMPARE
