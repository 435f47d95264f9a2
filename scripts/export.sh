#!/usr/bin/env bash
# `amir-verl export CHECKPOINT OUT` from a checkout; bash scripts/export.sh --help says more.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"
find_python
exec "$PYTHON" -m amir_verl.cli.export "$@"
