# What fits a card: sourced by common.sh.

detect_gpus() { # -> GPUS, GPU_MEMORY_GB where the user did not say
  local found=
  [ "$PLATFORM" = cpu ] || found=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | grep -E '^ *[0-9]+ *$' || true)
  if [ -z "${GPU_MEMORY_GB:-}" ]; then
    if [ -n "$found" ]; then
      GPU_MEMORY_GB=$(sort -n <<<"$found" | head -n 1 | awk '{ print int(($1 + 1023) / 1024) }') # MiB, the smallest card
    else
      GPU_MEMORY_GB=80
      [ "$PLATFORM" = cpu ] || echo "$(basename "$0"): no nvidia-smi here: GPU_MEMORY_GB=80 is assumed" >&2
    fi
  fi
  [ -n "${GPUS:-}" ] || GPUS=$(awk 'NF' <<<"${found:-1}" | wc -l)
}

# GPU_MEMORY_GB, PARAMETERS (millions), VOCABULARY, LORA_RANK, GPUS, NNODES, lengths -> OFFLOAD, TOKENS, TP, UTILISATION.
# In MB: float32 weights, gradients and Adam's two moments are 16 bytes a parameter over all GPUs (with LoRA 4, and
# 16 for the adapters); the update needs up to 14 bytes a token and vocabulary entry for logits and their gradients
# (float32 softmax without flash-attn) and 2 to 4 GB for gathered layers. docs/recipes.md has the figures.
choose_memory() {
  local gpu=$((GPU_MEMORY_GB * 1000)) longest=$((PROMPT_LENGTH + RESPONSE_LENGTH)) ranks=$((GPUS * NNODES))
  local state free tokens weights level
  if [ "$LORA_RANK" = 0 ]; then
    state=$((16 * PARAMETERS / ranks))
  else
    state=$(((4 * PARAMETERS + LORA_RANK * PARAMETERS / 100) / ranks))
  fi
  for level in none swap cpu; do
    case $level in
      none) free=$((state <= gpu * 35 / 100 ? gpu * 9 / 10 - state - 2000 : 0)) ;; # stays beside vLLM
      swap) free=$((gpu * 9 / 10 - state - 2000)) ;;                             # on the host while vLLM samples
      cpu) free=$((gpu * 9 / 10 - 4000)) ;;                                      # on the host, streamed by layers
    esac
    [ "$free" -gt 0 ] || free=0
    tokens=$((free * 1000 / (14 * VOCABULARY / 1000) / 1024 * 1024))
    [ "${OFFLOAD:-$level}" = "$level" ] || continue
    [ "$tokens" -lt "$longest" ] && [ -z "${OFFLOAD:-}" ] && [ "$level" != cpu ] && continue
    break
  done
  case ${OFFLOAD:=$level} in none | swap | cpu) ;; *) refuse "OFFLOAD must be none, swap or cpu, got '$OFFLOAD'" ;; esac
  [ "$tokens" -le 16384 ] || tokens=16384
  [ "$tokens" -ge "$longest" ] || [ "$longest" -gt 16384 ] || [ -n "${TOKENS:-}" ] ||
    refuse "a sequence of $longest tokens needs more than a $GPU_MEMORY_GB GB card for the update: shorten RESPONSE_LENGTH, or set TOKENS to try"
  TOKENS=${TOKENS:-$((tokens > longest ? tokens : longest))}

  if [ -z "${TP:-}" ]; then
    TP=1
    while [ $((2 * PARAMETERS / TP)) -gt $((gpu * 45 / 100)) ] && [ $((GPUS % (2 * TP))) = 0 ]; do TP=$((2 * TP)); done
  fi
  if [ -z "${UTILISATION:-}" ]; then
    local percent=75
    [ "$OFFLOAD" != none ] || percent=$((85 - 100 * state / gpu))
    [ "$percent" -le 75 ] || percent=75
    weights=$((2 * PARAMETERS / TP))
    [ $((weights + 2000)) -lt $((gpu * percent / 100)) ] ||
      refuse "vLLM's weights alone take $((weights / 1000)) GB of a $GPU_MEMORY_GB GB card: use more GPUS, or set UTILISATION to try"
    UTILISATION=0.$percent
  fi
}
