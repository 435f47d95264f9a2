#!/usr/bin/env bash
# The tiny model on a machine without a GPU, through verl's own trainer: Ray, TransferQueue, FSDP2, vLLM's CPU build.
# ALGO=grpo|amir_grpo|gspo|amir_gspo DATA=countdown|arithmetic|gsm8k bash recipes/tiny_cpu.sh [verl overrides]
# Without DATA: the model in TINY, a folder made by amir_verl.demo.make_tiny, on the sums in it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$HERE/tiny_tasks.sh"

ALGO=${ALGO:-amir_grpo}
ARCH=${ARCH:-qwen2}                        # of the model that DATA makes: qwen2, qwen3 or gemma3
SEED=${SEED:-0}
TASK=()
[ -z "${DATA:-}" ] || choose_task
TINY=${TINY:-outputs/tiny/qwen2}
TRAIN=${TRAIN:-$TINY/train.parquet}
VAL=${VAL:-$TINY/validation.parquet}
OUT=${OUT:-outputs/tiny_cpu/$ALGO}
STEPS=${STEPS:-40}
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
PLATFORM=cpu GPUS=$RANKS
choose_platform
whole_numbers LORA_RANK NNODES RANKS STEPS PROMPTS GROUP PROMPT_LENGTH RESPONSE_LENGTH SEED
choose_algorithm
choose_lora
if [ "${DRY_RUN:-0}" = 0 ]; then
  rm -rf "$OUT/validation" # of an earlier run; a run here starts from the beginning
  [ -z "${DATA:-}" ] || make_task
fi
[ -e "$TINY/config.json" ] || refuse "no model in $TINY: $PYTHON -m amir_verl.demo.make_tiny --task $([ "${DATA:-}" = countdown ] && echo countdown || echo arithmetic) --seed $SEED --out $TINY"

export HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$(realpath -m "$OUT")/metrics.jsonl}
choose_cluster

DATASET=(
  data.train_files="$TRAIN"
  data.val_files="$VAL"
  data.train_batch_size="$PROMPTS"
  data.max_prompt_length="$PROMPT_LENGTH"
  data.max_response_length="$RESPONSE_LENGTH"
  data.seed="$SEED"
  reward.custom_reward_function.path="$REWARD"
)
MODEL=(
  actor_rollout_ref.model.path="$TINY"
)
ACTOR=(
  actor_rollout_ref.actor.optim.lr="$LR"
  actor_rollout_ref.actor.ppo_mini_batch_size="$PROMPTS"
  actor_rollout_ref.actor.data_loader_seed="$SEED"
)
ROLLOUT=(
  actor_rollout_ref.rollout.n="$GROUP"
  actor_rollout_ref.rollout.seed="$SEED"
  actor_rollout_ref.rollout.max_model_len=$((PROMPT_LENGTH + RESPONSE_LENGTH))
)
TRAINER=(
  'trainer.logger=[console,file]'
  trainer.project_name=amir-tiny
  trainer.experiment_name="$ALGO"
  trainer.total_training_steps="$STEPS"
  trainer.total_epochs=1000
  trainer.val_before_train=True
  trainer.test_freq=10
  trainer.save_freq=-1
  trainer.resume_mode=disable
  trainer.default_local_dir="$OUT/checkpoints"
  trainer.validation_data_dir="$OUT/validation"
)

LATEST=
launch +platform=cpu \
  "${DATASET[@]}" "${MODEL[@]}" "${LORA[@]+"${LORA[@]}"}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${ALGORITHM[@]}" \
  "${CLUSTER[@]}" "${TRAINER[@]}" "${TASK[@]+"${TASK[@]}"}" "$@"
