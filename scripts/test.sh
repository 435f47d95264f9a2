#!/usr/bin/env bash
# Every check: lint, format, and all tests, real trainings included. bash scripts/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv}
PYTHON=${PYTHON:-$VENV/bin/python}
if [ "$PYTHON" = "$VENV/bin/python" ] && [ "$(cat "$VENV/.amir-verl-cpu" 2>/dev/null)" != "$(git hash-object pyproject.toml)" ]; then
  bash scripts/install.sh cpu "$VENV"
fi

"$PYTHON" -m ruff check -q .
"$PYTHON" -m ruff format -q --check .
VERL_PLATFORM=cpu "$PYTHON" -m pytest -q "$@"
