#!/usr/bin/env bash
# Which of verl's own main_ppo scripts take an AMIR preset: their command lines, from a checkout of verl, trained by
# none (python3 is a stand-in), composed alone and with each preset.
#   bash scripts/verl_scripts.sh VERL_CHECKOUT [--save FILE]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common.sh"
find_python
cd "$HERE/.."
export VERL_PLATFORM=${VERL_PLATFORM:-cpu} # composing needs no accelerator
exec "$PYTHON" -m benchmarks.verl_scripts "$@"
