#!/usr/bin/env bash
# Training from given responses with rankings, through verl's own trainer. As it stands: the tiny model and a
# generated ranked set, without a GPU. For your own: MODEL, TRAIN and VAL (files of `amir-verl prepare-ranked`).
# SEED=1 bash recipes/ranked.sh [verl overrides]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

MODEL=${MODEL:-outputs/tiny/qwen2}
SEED=${SEED:-0} # of the generated set, its split, and the order of training
OUT=$(realpath -m "${OUT:-outputs/ranked/seed_$SEED}")
TRAIN=${TRAIN:-$OUT/data/ranked_train.parquet}
VAL=${VAL:-$OUT/data/ranked_validation.parquet}
STEPS=${STEPS:-60}
TEST_FREQ=${TEST_FREQ:-10}
RANKS=${RANKS:-1}
NNODES=${NNODES:-1}
PROMPTS=${PROMPTS:-16}
GROUP=${GROUP:-4} # the most ranked responses of a prompt
LR=${LR:-5e-4}
BETA=${BETA:-2.0}
POLICY_WEIGHT=${POLICY_WEIGHT:-0} # 1: the likelihood of the best-ranked responses too
LORA_RANK=${LORA_RANK:-0}         # 0 trains the whole model
PROMPT_LENGTH=${PROMPT_LENGTH:-64}
RESPONSE_LENGTH=${RESPONSE_LENGTH:-32}
PLATFORM=${PLATFORM:-cpu} # cpu or gpu
GPUS=$RANKS LATEST=

choose_platform
find_python
whole_numbers LORA_RANK NNODES RANKS STEPS PROMPTS GROUP PROMPT_LENGTH RESPONSE_LENGTH SEED
choose_lora
export RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$OUT/metrics.jsonl}
choose_cluster

if [ "${DRY_RUN:-0}" = 0 ]; then
  [ "$MODEL" != outputs/tiny/qwen2 ] || "$PYTHON" -m amir_verl.demo.make_tiny --out "$MODEL"
  if [ "$TRAIN" = "$OUT/data/ranked_train.parquet" ] && [ ! -e "$TRAIN" ]; then
    "$PYTHON" -m amir_verl.demo.graded_sums --out "$OUT/data/graded_sums.jsonl" --seed "$SEED"
    "$PYTHON" -m amir_verl.cli.prepare_ranked "$OUT/data/graded_sums.jsonl" --out "$OUT/data" --seed "$SEED"
  fi
fi
[ ! -d "$MODEL" ] || export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} # all that is needed is here

case $PLATFORM in
  cpu) MACHINE=(+platform=cpu) ;;
  gpu) MACHINE=(actor_rollout_ref.rollout.name=vllm actor_rollout_ref.actor.use_dynamic_bsz=True) ;;
esac
AMIR=(
  +amir=ranked
  amir.beta="$BETA"
  amir.policy_weight="$POLICY_WEIGHT"
)
DATA=(
  data.train_files="$TRAIN"
  data.val_files="$VAL"
  data.train_batch_size="$PROMPTS"
  data.max_prompt_length="$PROMPT_LENGTH"
  data.max_response_length="$RESPONSE_LENGTH"
  data.seed="$SEED"
)
ACTOR=(
  actor_rollout_ref.model.path="$MODEL"
  actor_rollout_ref.actor.optim.lr="$LR"
  actor_rollout_ref.actor.ppo_mini_batch_size="$PROMPTS"
  actor_rollout_ref.actor.data_loader_seed="$SEED"
  actor_rollout_ref.rollout.n="$GROUP"
  actor_rollout_ref.rollout.max_model_len=$((PROMPT_LENGTH + RESPONSE_LENGTH))
)
TRAINER=(
  'trainer.logger=[console,file]'
  trainer.project_name=amir-ranked
  trainer.experiment_name="seed_$SEED"
  trainer.total_training_steps="$STEPS"
  trainer.total_epochs=1000
  trainer.val_before_train=True
  trainer.test_freq="$TEST_FREQ"
  trainer.save_freq=-1
  trainer.resume_mode=disable
  trainer.default_local_dir="$OUT/checkpoints"
)
launch "${MACHINE[@]}" "${AMIR[@]}" "${DATA[@]}" "${ACTOR[@]}" "${LORA[@]+"${LORA[@]}"}" "${CLUSTER[@]}" "${TRAINER[@]}" "$@"
