#!/usr/bin/env bash
# Train a tiny model with AMIR-GRPO on CPU, from nothing: environment, model, data, training, picture.
#   bash scripts/quickstart.sh [verl overrides]        DATA=countdown|arithmetic|gsm8k, ARCH=qwen2|qwen3|gemma3, SEED, DRY_RUN=1
# .venv and outputs/ are kept and used again.
set -euo pipefail
cd "$(dirname "$0")/.."
source recipes/tiny_tasks.sh

VENV=${VENV:-.venv}
export DATA=${DATA:-countdown} ARCH=${ARCH:-qwen2} SEED=${SEED:-0} ALGO=${ALGO:-amir_grpo}
export OUT=${OUT:-outputs/quickstart} PYTHON=${PYTHON:-$VENV/bin/python}
choose_task

[ "$PYTHON" != "$VENV/bin/python" ] || bash scripts/install.sh cpu "$VENV" if-changed
[ "${DRY_RUN:-0}" = 0 ] || exec bash recipes/tiny_cpu.sh "$@"
make_task

"$PYTHON" -m amir_verl.demo.follow --metrics "$OUT/metrics.jsonl" --log "$OUT/train.log" --steps "$STEPS" -- \
  bash recipes/tiny_cpu.sh "$@"
"$PYTHON" -m amir_verl.demo.summary "$OUT" --picture "$OUT/curves.png" --title "$ALGO, $ARCH, $DATA"
