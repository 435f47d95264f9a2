#!/usr/bin/env bash
# Turn a verl checkpoint into a Hugging Face model: merged weights (LoRA too), tokenizer, generation config, model card.
#
#   bash scripts/export.sh CHECKPOINT OUT
#
# CHECKPOINT: the checkpoint directory of a run (its latest step), global_step_N, or the actor in it; one you trust,
# since verl's checkpoints are pickles. OUT: a directory that is not there yet; it appears whole or not at all.
# Environment, all optional:
#   RUN_DIR     run directory with verl's metrics file, for the card (default: the directory above the checkpoints)
#   CONFIG      verl's resolved configuration (default: the .hydra/config.yaml in the run directory)
#   EVALUATION  evaluation.json of scripts/evaluate.py
#   BASE_MODEL  hub name of the base model (default: the model path of the configuration)
#   PUSH_TO     org/name on the hub, with a token in HF_TOKEN; PRIVATE=0 makes the repository public
set -euo pipefail

[[ $# -eq 2 ]] || { echo "usage: bash scripts/export.sh CHECKPOINT OUT" >&2; exit 2; }
checkpoint=$1 out=${2%/}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

[[ ! -e $out ]] || { echo "export: $out is already there" >&2; exit 2; }
actor=$("$python" -m amir_verl.export.model_export find "$checkpoint")

mkdir -p "$(dirname "$out")"
partial=$(mktemp -d "$(dirname "$out")/.export.XXXXXX")
trap 'rm -rf "$partial"' EXIT
# Only the push sees the token.
env -u HF_TOKEN "$python" -m verl.model_merger merge --backend fsdp --local_dir "$actor" --target_dir "$partial"
env -u HF_TOKEN "$python" -m amir_verl.export.model_export finish "$partial" "$actor" "$(basename "$out")"
chmod -R u+rwX,go+rX "$partial"  # mktemp and safetensors keep others out
mv -T "$partial" "$out"
echo "export: wrote $out"
if [[ -n ${PUSH_TO:-} ]]; then
    "$python" -m amir_verl.export.model_export push "$out" "$PUSH_TO"
fi
