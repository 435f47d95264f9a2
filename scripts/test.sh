#!/usr/bin/env bash
# The checks, in tiers; pytest arguments may follow each.
#   bash scripts/test.sh          lint, format and all tests, real trainings included
#   bash scripts/test.sh fast     the same without the tests that start Ray or vLLM, and a part of long tables
#   bash scripts/test.sh numeric  the mathematics as other processors compute it, and on a busy machine
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv}
PYTHON=${PYTHON:-$VENV/bin/python}
[ "$PYTHON" != "$VENV/bin/python" ] || bash scripts/install.sh cpu "$VENV" if-changed

tier=all
case ${1:-} in fast | numeric) tier=$1; shift ;; esac
export AMIR_TESTS=$tier # the fast tier looks at every fourth row of long tables (tests/tiers.py)

if [ "$tier" = numeric ]; then
  busy=()
  trap 'kill "${busy[@]}" 2>/dev/null || true' EXIT
  for setting in ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE MKL_ENABLE_INSTRUCTIONS=SSE4_2 \
    OMP_NUM_THREADS=1 OMP_NUM_THREADS=2 BUSY=yes; do
    if [ "$setting" = BUSY=yes ]; then
      for _ in $(seq "$(nproc)"); do (while :; do :; done) & busy+=($!); done
    fi
    echo "$setting"
    env "$setting" "$PYTHON" -m pytest -q -m "not slow" -p no:cacheprovider tests/objective tests/ranked tests/trainer "$@"
  done
  exit
fi

"$PYTHON" -m ruff check -q .
"$PYTHON" -m ruff format -q --check .
# A file's tests stay in one process, whose fixtures they share. Two processes also for the trainings: most of a
# training's start keeps one core busy.
[ "$tier" = all ] || set -- -m "not slow" "$@"
exec "$PYTHON" -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder "$@"
