#!/usr/bin/env bash
# One recipe twice, with the same seed and data, without AMIR and with it; then the page that compares the two.
#   ALGO=amir_grpo|amir_gspo bash recipes/run_baseline_pair.sh [recipes/qwen2.5_3b.sh] [verl overrides]
# Without a recipe: recipes/tiny_cpu.sh, a tiny model on this machine's CPU, with DATA=countdown|arithmetic|gsm8k.
# Every variable of the recipe counts for both. A run that is complete is kept: the same command goes on where it ended.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

recipe=$HERE/tiny_cpu.sh
case ${1:-} in
  '' | *=*) ;; # an override of the default recipe
  *)
    recipe=$1
    [ -f "$recipe" ] || refuse "usage: ALGO=amir_grpo|amir_gspo bash recipes/run_baseline_pair.sh [RECIPE] [verl overrides], got '$recipe'"
    shift ;;
esac
task=
if [ "$(basename "$recipe")" = tiny_cpu.sh ] && [ -z "${TINY:-}" ]; then
  export DATA=${DATA:-countdown}
  task=$DATA-
fi
ALGO=${ALGO:-amir_grpo}
case $ALGO in amir_grpo | amir_gspo) ;; *) refuse "ALGO must be amir_grpo or amir_gspo, got '$ALGO'" ;; esac
export SEED=${SEED:-0}
PAIR=$(realpath -m "${OUT:-outputs/pair/$(basename "$recipe" .sh)-$task$ALGO${AMIR_PRESET:+-$AMIR_PRESET}-seed$SEED}")
baseline=${ALGO#amir_}
# One metrics file for two runs would mix them.
unset VERL_FILE_LOGGER_PATH

for algorithm in "$baseline" "$ALGO"; do
  if [ "${DRY_RUN:-0}" = 0 ] && [ -e "$PAIR/$algorithm/complete" ]; then
    echo "$PAIR/$algorithm: complete, kept"
    continue
  fi
  ALGO=$algorithm OUT=$PAIR/$algorithm bash "$recipe" "$@"
  [ "${DRY_RUN:-0}" != 0 ] || touch "$PAIR/$algorithm/complete"
done
[ "${DRY_RUN:-0}" = 0 ] || exit 0

find_python
"$PYTHON" -m amir_verl.cli.report "$PAIR/$baseline" "$PAIR/$ALGO" --names "${baseline^^}" "AMIR-${baseline^^}" --out "$PAIR/report"
