#!/usr/bin/env bash
# A real AMIR-GRPO training on a machine without a GPU, from nothing: environment, tiny model, data, training, picture.
#   bash scripts/quickstart.sh [verl overrides]        DATA=gsm8k, ARCH=qwen2|qwen3|gemma3, SEED
# What it makes is kept in .venv and outputs/ and used again.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=${DATA:-arithmetic}
ARCH=${ARCH:-qwen2}
VENV=${VENV:-.venv}
OUT=${OUT:-outputs/quickstart}
PYTHON=${PYTHON:-$VENV/bin/python}

case $DATA in arithmetic | gsm8k) ;; *) echo "DATA must be arithmetic or gsm8k, got '$DATA'" >&2; exit 2 ;; esac

if [ "$PYTHON" = "$VENV/bin/python" ] && [ "$(cat "$VENV/.amir-verl-cpu" 2>/dev/null)" != "$(git hash-object pyproject.toml)" ]; then
  bash scripts/install.sh cpu "$VENV"
fi

export ALGO=${ALGO:-amir_grpo} SEED=${SEED:-0} PYTHON OUT
export TINY=outputs/tiny/$ARCH-seed$SEED
if [ "$DATA" = gsm8k ]; then
  export TRAIN=outputs/data/gsm8k_train.parquet VAL=outputs/data/gsm8k_test.parquet
  export STEPS=${STEPS:-5} PROMPTS=${PROMPTS:-4} GROUP=${GROUP:-4} PROMPT_LENGTH=${PROMPT_LENGTH:-1536} RESPONSE_LENGTH=${RESPONSE_LENGTH:-48}
  # Right answers are rare for a model of this size; the shaped reward also grades the format, so there are pairs.
  export REWARD=reward_fns/calibrated_reward.py
  EXTRA=(
    +reward.custom_reward_function.reward_kwargs.calibrated=False
    data.filter_overlong_prompts=True data.val_max_samples=16 trainer.test_freq=5
  )
  if [ ! -e "$VAL" ]; then
    # The authors' files beside the checkout, else the hub.
    source=${GSM8K:-hub}
    [ -n "${GSM8K:-}" ] || [ ! -d ../shared/data/gsm8k ] || source=../shared/data/gsm8k
    "$PYTHON" scripts/prepare_data.py gsm8k --source "$source" --out outputs/data
  fi
else
  export STEPS=${STEPS:-30}
  EXTRA=()
fi
"$PYTHON" scripts/make_tiny.py --architecture "$ARCH" --seed "$SEED" --out "$TINY"

mkdir -p "$OUT"
"$PYTHON" -m amir_verl.demo.follow --metrics "$OUT/metrics.jsonl" --log "$OUT/train.log" --steps "$STEPS" -- \
  bash recipes/tiny_cpu.sh ${EXTRA[@]+"${EXTRA[@]}"} "$@"
"$PYTHON" -m amir_verl.demo.summary "$OUT/metrics.jsonl" --picture "$OUT/curves.png" --title "$ALGO, $ARCH, $DATA"
