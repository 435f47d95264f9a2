#!/usr/bin/env bash
# Qwen2.5-3B-Instruct with calibrated rewards, sequences packed.
#   MODEL=Qwen/Qwen2.5-3B-Instruct ALGO=grpo|amir_grpo|gspo|amir_gspo bash recipes/qwen2.5_3b.sh [verl overrides]
# LORA_RANK=16, LOAD_IN_4BIT=1, GPUS=8, NNODES=2 RAY_ADDRESS=..., DRY_RUN=1; every variable and what it fits on: docs/recipes.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

RECIPE=qwen2.5-3b
HUB_ID=Qwen/Qwen2.5-3B-Instruct
DOWNLOAD="6 GB"
MODEL_OVERRIDES=()

run_recipe "$@"
