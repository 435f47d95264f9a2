#!/usr/bin/env bash
# The tiny model on a machine without a GPU, through verl's own trainer: Ray, TransferQueue, FSDP2, vLLM's CPU build.
# ALGO=grpo|amir_grpo|gspo|amir_gspo DATA=countdown|arithmetic|gsm8k bash recipes/tiny_cpu.sh [verl overrides]
# Makes the model and the data that are missing, those of scripts/quickstart.sh. TINY without DATA: the model in that
# folder, made by amir_verl.demo.make_tiny, on the sums in it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$HERE/short_run.sh"
source "$HERE/tiny_tasks.sh"

ALGO=${ALGO:-amir_grpo}
ARCH=${ARCH:-qwen2}                        # of the model that DATA makes: qwen2, qwen3 or gemma3
SEED=${SEED:-0}
TASK=()
[ -n "${TINY:-}" ] || DATA=${DATA:-countdown}
[ -z "${DATA:-}" ] || choose_task
TRAIN=${TRAIN:-$TINY/train.parquet}
VAL=${VAL:-$TINY/validation.parquet}
OUT=${OUT:-outputs/tiny_cpu/$ALGO}
STEPS=${STEPS:-40}
TEST_FREQ=${TEST_FREQ:-10}
RANKS=${RANKS:-1}                          # a node
NNODES=${NNODES:-1}
PROMPTS=${PROMPTS:-16}
GROUP=${GROUP:-8}
LORA_RANK=${LORA_RANK:-0}                  # 0 trains the whole model
LR=${LR:-1e-4}
PROMPT_LENGTH=${PROMPT_LENGTH:-64}
RESPONSE_LENGTH=${RESPONSE_LENGTH:-32}
REWARD=${REWARD:-pkg://reward_fns.math_reward}

find_python
PLATFORM=cpu
choose_platform
whole_numbers LORA_RANK NNODES RANKS STEPS PROMPTS GROUP PROMPT_LENGTH RESPONSE_LENGTH SEED
choose_algorithm
choose_lora
if [ "${DRY_RUN:-0}" = 0 ]; then
  rm -rf "$OUT/validation" # of an earlier run; a run here starts from the beginning
  [ -z "${DATA:-}" ] || make_task
elif [ -n "${DATA:-}" ]; then
  [ -e "$TINY/config.json" ] && [ -e "$TRAIN" ] || MADE_FIRST="the model in $TINY and data"
fi
[ -n "${MADE_FIRST:-}" ] || [ -e "$TINY/config.json" ] || refuse "no model in $TINY: $PYTHON -m amir_verl.demo.make_tiny --task $([ "${DATA:-}" = countdown ] && echo countdown || echo arithmetic) --seed $SEED --out $TINY"

MODEL=$TINY
export HF_HUB_OFFLINE=1
short_run amir-tiny "$ALGO"
DATASET+=(reward.custom_reward_function.path="$REWARD")
ROLLOUT+=(actor_rollout_ref.rollout.seed="$SEED")
TRAINER+=(trainer.validation_data_dir="$OUT/validation")
launch +platform=cpu \
  "${DATASET[@]}" "${ACTOR[@]}" "${LORA[@]+"${LORA[@]}"}" "${ROLLOUT[@]}" "${ALGORITHM[@]}" \
  "${CLUSTER[@]}" "${TRAINER[@]}" "${TASK[@]+"${TASK[@]}"}" "$@"
