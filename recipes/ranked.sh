#!/usr/bin/env bash
# Training from given responses with rankings, through verl's own trainer. As it stands: the tiny model and a
# generated ranked set, without a GPU. For your own: MODEL, TRAIN and VAL (files of scripts/prepare_ranked.py).
# SEED=1 bash recipes/ranked.sh [verl overrides]
set -euo pipefail
cd "$(dirname "$0")/.."

MODEL=${MODEL:-outputs/tiny/qwen2}
SEED=${SEED:-0}                  # of the generated set, its split, and the order of training
OUT=${OUT:-outputs/ranked/seed_$SEED}
TRAIN=${TRAIN:-$OUT/data/ranked_train.parquet}
VAL=${VAL:-$OUT/data/ranked_validation.parquet}
STEPS=${STEPS:-60}
TEST_FREQ=${TEST_FREQ:-10}
RANKS=${RANKS:-1}
PROMPTS=${PROMPTS:-16}
GROUP=${GROUP:-4}                # the most ranked responses of a prompt
LR=${LR:-5e-4}
BETA=${BETA:-2.0}
POLICY_WEIGHT=${POLICY_WEIGHT:-0}  # 1: the likelihood of the best-ranked responses too
LORA_RANK=${LORA_RANK:-0}        # 0 trains the whole model
PROMPT_LENGTH=${PROMPT_LENGTH:-64}
RESPONSE_LENGTH=${RESPONSE_LENGTH:-32}
PLATFORM=${PLATFORM:-cpu}        # cpu or gpu
PYTHON=${PYTHON:-.venv/bin/python}

if [ "$MODEL" = outputs/tiny/qwen2 ]; then
  "$PYTHON" scripts/make_tiny.py --out "$MODEL"
fi
if [ "$TRAIN" = "$OUT/data/ranked_train.parquet" ] && [ ! -e "$TRAIN" ]; then
  "$PYTHON" -m amir_verl.demo.graded_sums --out "$OUT/data/graded_sums.jsonl" --seed "$SEED"
  "$PYTHON" scripts/prepare_ranked.py "$OUT/data/graded_sums.jsonl" --out "$OUT/data" --seed "$SEED"
fi

mkdir -p "$OUT"
OUT=$(realpath "$OUT")
if [ -d "$MODEL" ]; then
  export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}  # all that is needed is here
fi
export RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$OUT/metrics.jsonl}

case $PLATFORM in
  cpu)
    export VERL_PLATFORM=cpu
    MACHINE=(+platform=cpu ray_kwargs.ray_init.num_gpus="$RANKS")
    ;;
  gpu) MACHINE=(actor_rollout_ref.rollout.name=vllm actor_rollout_ref.actor.use_dynamic_bsz=True) ;;
  *) echo "PLATFORM must be cpu or gpu, got '$PLATFORM'" >&2; exit 2 ;;
esac
DATA=(
  data.train_files="$TRAIN"
  data.val_files="$VAL"
  data.train_batch_size="$PROMPTS"
  data.max_prompt_length="$PROMPT_LENGTH"
  data.max_response_length="$RESPONSE_LENGTH"
  data.seed="$SEED"
)
AMIR=(
  +amir=ranked
  amir.beta="$BETA"
  amir.policy_weight="$POLICY_WEIGHT"
)
ACTOR=(
  actor_rollout_ref.model.path="$MODEL"
  actor_rollout_ref.actor.optim.lr="$LR"
  actor_rollout_ref.actor.ppo_mini_batch_size="$PROMPTS"
  actor_rollout_ref.actor.data_loader_seed="$SEED"
  actor_rollout_ref.rollout.n="$GROUP"
  actor_rollout_ref.rollout.max_model_len=$((PROMPT_LENGTH + RESPONSE_LENGTH))
)
if [ "$LORA_RANK" != 0 ]; then
  ACTOR+=(
    actor_rollout_ref.model.lora_rank="$LORA_RANK"
    actor_rollout_ref.model.lora_alpha=$((2 * LORA_RANK))
    actor_rollout_ref.model.target_modules=all-linear
  )
fi
TRAINER=(
  trainer.n_gpus_per_node="$RANKS"
  trainer.nnodes=1
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

exec "$PYTHON" -m verl.trainer.main_ppo \
  "${MACHINE[@]}" "${AMIR[@]}" "${DATA[@]}" "${ACTOR[@]}" "${TRAINER[@]}" "$@"
