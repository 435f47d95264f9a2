#!/usr/bin/env bash
# Gemma 3 4B (instruction-tuned) with calibrated rewards, text alone.
#   MODEL=google/gemma-3-4b-it ALGO=grpo|amir_grpo|gspo|amir_gspo bash recipes/gemma3_4b.sh [verl overrides]
# LORA_RANK=16, LOAD_IN_4BIT=1, GPUS=8, NNODES=2 RAY_ADDRESS=..., DRY_RUN=1; every variable and what it fits on: docs/recipes.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

RECIPE=gemma3-4b
HUB_ID=google/gemma-3-4b-it
DOWNLOAD="9 GB (its licence must be accepted there first)"
MODEL_OVERRIDES=(
  # verl 0.9.1 knows no processor of Gemma 3 (utils/tokenizer/tokenizer.py:209), so prompts go through the tokenizer's
  # chat template, which puts the system prompt into the user's turn. vLLM is told not to reserve room for images.
  +actor_rollout_ref.rollout.engine_kwargs.vllm.limit_mm_per_prompt.image=0
  # Adapters in the language model alone: without images the vision tower gets no gradient.
  "actor_rollout_ref.model.exclude_modules='.*(vision_tower|multi_modal_projector).*'"
)

run_recipe "$@"
