#!/usr/bin/env bash
# Training from given responses with rankings, through verl's own trainer. As it stands: the tiny model and a
# generated ranked set, without a GPU. For your own: MODEL, TRAIN and VAL (files of `amir-verl prepare-ranked`).
# SEED=1 bash recipes/ranked.sh [verl overrides]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$HERE/short_run.sh"

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

choose_platform
find_python
whole_numbers LORA_RANK NNODES RANKS STEPS PROMPTS GROUP PROMPT_LENGTH RESPONSE_LENGTH SEED
choose_lora
short_run amir-ranked "seed_$SEED"

if [ "${DRY_RUN:-0}" = 0 ]; then
  [ "$MODEL" != outputs/tiny/qwen2 ] || "$PYTHON" -m amir_verl.demo.make_tiny --out "$MODEL"
  if [ "$TRAIN" = "$OUT/data/ranked_train.parquet" ] && [ ! -e "$TRAIN" ]; then
    "$PYTHON" -m amir_verl.demo.graded_sums --out "$OUT/data/graded_sums.jsonl" --seed "$SEED"
    "$PYTHON" -m amir_verl.cli.prepare_ranked "$OUT/data/graded_sums.jsonl" --out "$OUT/data" --seed "$SEED"
  fi
else
  [ "$MODEL" != outputs/tiny/qwen2 ] || [ -e "$MODEL/config.json" ] || MADE_FIRST="the model in $MODEL"
  [ "$TRAIN" != "$OUT/data/ranked_train.parquet" ] || [ -e "$TRAIN" ] || MADE_FIRST="${MADE_FIRST:+$MADE_FIRST and }the data in $OUT/data"
fi
[ ! -d "$MODEL" ] || export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} # all that is needed is here

case $PLATFORM in
  cpu) MACHINE=(+platform=cpu) ;;
  gpu) MACHINE=(actor_rollout_ref.rollout.name=vllm actor_rollout_ref.actor.use_dynamic_bsz=True) ;;
esac
AMIR=(
  +amir@_global_=ranked
  amir.beta="$BETA"
  amir.policy_weight="$POLICY_WEIGHT"
)
launch "${MACHINE[@]}" "${AMIR[@]}" "${DATASET[@]}" "${ACTOR[@]}" "${LORA[@]+"${LORA[@]}"}" "${ROLLOUT[@]}" "${CLUSTER[@]}" "${TRAINER[@]}" "$@"
