# What the recipes share; sourced by each, never run. Functions read environment variables (docs/recipes.md) and set an
# array of verl overrides; run_recipe puts them together for a model that is trained on GPUs.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SELF=$(basename "${BASH_SOURCE[1]}") # the script that sources this one

refuse() { echo "$SELF: $1" >&2; exit 2; }
case ${DRY_RUN:-0} in 0 | 1 | args) ;; *) refuse "DRY_RUN must be 0, 1 or args, got '$DRY_RUN'" ;; esac

find_python() { # -> PYTHON where the user did not say: the checkout's, the one here, or the shell's
  local candidate
  for candidate in "${HERE%/*}/.venv/bin/python" .venv/bin/python "$(command -v python3)"; do
    [ -n "${PYTHON:-}" ] || [ ! -x "$candidate" ] || PYTHON=$candidate
  done
  [ -n "${PYTHON:-}" ] || refuse "no python3 here: set PYTHON to one that has amir-verl"
}

choose_platform() { # PLATFORM
  case $PLATFORM in gpu) ;; cpu) export VERL_PLATFORM=cpu ;; *) refuse "PLATFORM must be gpu or cpu, got '$PLATFORM'" ;; esac
}

whole_numbers() { # names of variables
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^[0-9]{1,9}$ ]] || refuse "$name must be a whole number, got '${!name}'"
  done
}

choose_algorithm() { # ALGO, AMIR_PRESET, AMIR_<SETTING> -> ALGORITHM
  AMIR_PRESET=${AMIR_PRESET:-default}
  case $AMIR_PRESET in default | chosen | paper) ;; *) refuse "AMIR_PRESET must be default, chosen or paper, got '$AMIR_PRESET'" ;; esac
  case $ALGO-$AMIR_PRESET in
    grpo-*) ALGORITHM=(algorithm.adv_estimator=grpo) ;;
    gspo-*) ALGORITHM=(algorithm.adv_estimator=grpo actor_rollout_ref.actor.policy_loss.loss_mode=gspo) ;;
    amir_grpo-default) ALGORITHM=(+amir@_global_=grpo) ;;
    amir_gspo-default) ALGORITHM=(+amir@_global_=gspo) ;;
    amir_grpo-*) ALGORITHM=("+amir@_global_=$AMIR_PRESET") ;;
    amir_gspo-*) ALGORITHM=("+amir@_global_=$AMIR_PRESET" actor_rollout_ref.actor.policy_loss.loss_mode=amir_gspo) ;;
    *) refuse "ALGO must be grpo, amir_grpo, gspo or amir_gspo, got '$ALGO'" ;;
  esac
  local setting variable
  case $ALGO in
    amir_*)
      for setting in beta beta_scale pull reward_margin pair_mining rank_weighting lambda_schedule lambda_value lambda_target; do
        variable=AMIR_${setting^^}
        [ -z "${!variable:-}" ] || ALGORITHM+=("amir.$setting=${!variable}")
      done
      ;;
  esac
}

choose_lora() { # LORA_RANK, LORA_ALPHA, LOAD_IN_4BIT -> LORA; empty for full parameters
  LORA=()
  case ${LOAD_IN_4BIT:=0} in 0 | 1) ;; *) refuse "LOAD_IN_4BIT must be 0 or 1, got '$LOAD_IN_4BIT'" ;; esac
  [ "$LORA_RANK$LOAD_IN_4BIT" != 01 ] || refuse "LOAD_IN_4BIT=1 freezes the base: set LORA_RANK, such as LORA_RANK=16"
  [ "$LORA_RANK" != 0 ] || return 0
  LORA=(
    actor_rollout_ref.model.lora_rank="$LORA_RANK"
    actor_rollout_ref.model.lora_alpha="${LORA_ALPHA:-$((2 * LORA_RANK))}"
    actor_rollout_ref.model.target_modules=all-linear
  )
  [ "$LOAD_IN_4BIT" = 0 ] || LORA+=(+quantization=nf4)
}

choose_cluster() { # GPUS (a node), NNODES, RAY_ADDRESS, PLATFORM -> CLUSTER
  [ "$GPUS" -ge 1 ] && [ "$NNODES" -ge 1 ] || refuse "GPUS and NNODES must be 1 or more, got $GPUS and $NNODES"
  CLUSTER=(trainer.n_gpus_per_node="$GPUS" trainer.nnodes="$NNODES")
  if [ -z "${RAY_ADDRESS:-}" ]; then
    [ "$NNODES" = 1 ] || refuse "NNODES=$NNODES needs a Ray cluster that runs: 'ray start' on each node, then RAY_ADDRESS=HOST:PORT of the head (or auto on it)"
    [ "$PLATFORM" != cpu ] || CLUSTER+=(ray_kwargs.ray_init.num_gpus="$GPUS")
    return 0
  fi
  # Its nodes do not see this shell: what the run needs of its environment travels with the job.
  local environment=ray_kwargs.ray_init.runtime_env.env_vars
  CLUSTER+=(+ray_kwargs.ray_init.address="$RAY_ADDRESS" "+$environment.VERL_FILE_LOGGER_PATH=$VERL_FILE_LOGGER_PATH")
  [ -z "${HF_HUB_OFFLINE:-}" ] || CLUSTER+=("+$environment.HF_HUB_OFFLINE='$HF_HUB_OFFLINE'")
  [ -z "${WANDB_MODE:-}" ] || CLUSTER+=("+$environment.WANDB_MODE=$WANDB_MODE")
  if [ "$PLATFORM" = cpu ]; then
    # Ray takes no sizes for a cluster that is there.
    CLUSTER+=(
      "+$environment.VERL_PLATFORM=cpu" ray_kwargs.ray_init.num_cpus=null ray_kwargs.ray_init.num_gpus=null
      ray_kwargs.ray_init.object_store_memory=null ray_kwargs.ray_init.include_dashboard=null
    )
  fi
}

keep_metrics() { # verl's file logger empties its file: what a resumed run has behind it moves to metrics-to-STEP.jsonl
  [ -s "$VERL_FILE_LOGGER_PATH" ] && [ -e "$LATEST" ] || return 0
  local step kept
  step=$(<"$LATEST")
  kept=$(awk -F '[:,]' -v step="$step" '/^{"step":/ && $2 <= step' "$VERL_FILE_LOGGER_PATH")
  [ -z "$kept" ] || printf '%s\n' "$kept" >"${VERL_FILE_LOGGER_PATH%.jsonl}-to-$step.jsonl"
}

launch() { # "$@": the overrides, MADE_FIRST: what a run makes before. DRY_RUN=1 checks and prints the command; args: NUL after each
  case ${DRY_RUN:-0} in
    0) mkdir -p "$OUT" && keep_metrics && exec "$PYTHON" -m verl.trainer.main_ppo "$@" ;;
    1)
      [ -z "${MADE_FIRST:-}" ] || echo "$SELF: a run first makes $MADE_FIRST" >&2
      "$PYTHON" -m amir_verl.cli.dry_run ${MADE_FIRST:+--no-files} "$@" >&2 || exit
      local variable
      for variable in VERL_PLATFORM VERL_FILE_LOGGER_PATH HF_HUB_OFFLINE; do
        [ -z "${!variable:-}" ] || printf '%s=%q ' "$variable" "${!variable}"
      done
      printf '%q -m verl.trainer.main_ppo' "$PYTHON"
      printf ' \\\n  %q' "$@" && echo
      ;;
    args) printf '%s\0' "$@" ;;
  esac
}

need_model() { # MODEL: a folder, or a name on the hub that the user gave
  [ -n "${MODEL:-}" ] || refuse "MODEL is not set: a folder with $HUB_ID, or that name for verl to fetch $DOWNLOAD from the Hugging Face hub"
  if [ -d "$MODEL" ]; then
    [ -e "$MODEL/config.json" ] || refuse "no model in $MODEL: config.json is missing"
    MODEL=$(realpath "$MODEL")
    export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} # all that is needed is here
    return 0
  fi
  [[ $MODEL =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ && $MODEL != .* ]] || refuse "no model in $MODEL"
  local cache=${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}
  [ ! -d "$cache/models--${MODEL/\//--}/snapshots" ] || return 0
  case ${HF_HUB_OFFLINE:-0} in
    0 | false) echo "$(basename "$0"): $MODEL is no folder here: verl fetches it from the Hugging Face hub" >&2 ;;
    *) refuse "$MODEL is neither a folder nor in the hub's cache, and HF_HUB_OFFLINE=$HF_HUB_OFFLINE" ;;
  esac
}

need_data() { # name of the variable, its value: files, with commas between them -> FILES for verl
  local file missing=()
  FILES=
  IFS=, read -ra files <<<"$2"
  for file in "${files[@]}"; do
    [ -e "$file" ] || missing+=("$file")
    FILES+=${FILES:+,}$(realpath -m "$file")
  done
  FILES=[$FILES]
  [ ${#missing[@]} = 0 ] || refuse "$1: no ${missing[*]}: amir-verl prepare gsm8k --calibrated --out data (from the Hugging Face hub, or --source FOLDER)"
}

need_reward() { # REWARD: a file, or pkg://module
  case $REWARD in
    pkg://*) ;;
    *)
      [ -e "$REWARD" ] || refuse "REWARD: no $REWARD"
      REWARD=$(realpath "$REWARD")
      ;;
  esac
}

plan_memory() { # the card, the model, LoRA and lengths -> what of them is open, and FLASH (1: flash-attn is there)
  local name given=() planned
  for name in GPUS GPU_MEMORY_GB NNODES LORA_RANK LOAD_IN_4BIT PROMPT_LENGTH RESPONSE_LENGTH TEMPERATURE OFFLOAD TOKENS TP UTILISATION; do
    given+=("$name=${!name:-}")
  done
  planned=$("$PYTHON" -m amir_verl.cli.cards --prog "$SELF" "$RECIPE" "${given[@]}") || exit 2
  read -r GPUS GPU_MEMORY_GB OFFLOAD TOKENS TP UTILISATION FLASH <<<"$planned"
}

run_recipe() { # "$@": verl overrides, which win over everything here
  PLATFORM=${PLATFORM:-gpu}
  choose_platform
  find_python
  ALGO=${ALGO:-amir_grpo}
  LORA_RANK=${LORA_RANK:-0} # 0 trains the whole model
  NNODES=${NNODES:-1}
  TRAIN=${TRAIN:-data/gsm8k_train.parquet}
  VAL=${VAL:-data/gsm8k_test.parquet}
  REWARD=${REWARD:-pkg://reward_fns.calibrated_reward}
  # The settings of arXiv 2601.03661; the number of prompts a step is ours.
  STEPS=${STEPS:-1000}
  PROMPTS=${PROMPTS:-64}
  GROUP=${GROUP:-8}
  PROMPT_LENGTH=${PROMPT_LENGTH:-1024}
  RESPONSE_LENGTH=${RESPONSE_LENGTH:-1024}
  LR=${LR:-5e-6}
  LR_SCHEDULE=${LR_SCHEDULE:-cosine}
  WARMUP=${WARMUP:-0.1}
  WEIGHT_DECAY=${WEIGHT_DECAY:-0.1}
  MINI_BATCH=${MINI_BATCH:-$PROMPTS} # prompts an update: one update a step
  case $ALGO in
    *gspo) # of a sequence's ratio, which moves far less than a token's: arXiv 2507.18071, section 5.1
      CLIP_LOW=${CLIP_LOW:-0.0003} CLIP_HIGH=${CLIP_HIGH:-0.0004} LOSS_AGG=${LOSS_AGG:-seq-mean-token-mean} ;;
    *) CLIP_LOW=${CLIP_LOW:-0.2} CLIP_HIGH=${CLIP_HIGH:-0.2} LOSS_AGG=${LOSS_AGG:-token-mean} ;;
  esac
  KL_COEF=${KL_COEF:-0} # above 0: verl's KL loss against the reference policy
  TEMPERATURE=${TEMPERATURE:-1.0}
  VAL_SAMPLES=${VAL_SAMPLES:-4} # responses a validation problem; pass@k of the report needs k of them
  VAL_TEMPERATURE=${VAL_TEMPERATURE:-0.6}
  VAL_PROBLEMS=${VAL_PROBLEMS:--1} # -1: all
  TEST_FREQ=${TEST_FREQ:-50}
  SAVE_FREQ=${SAVE_FREQ:-100}
  KEEP=${KEEP:-2} # checkpoints
  SEED=${SEED:-0}
  whole_numbers LORA_RANK NNODES STEPS PROMPTS GROUP PROMPT_LENGTH RESPONSE_LENGTH MINI_BATCH VAL_SAMPLES SEED
  choose_algorithm
  choose_lora
  need_model
  need_data TRAIN "$TRAIN" && local train=$FILES
  need_data VAL "$VAL" && local validation=$FILES
  need_reward
  if [ "$PLATFORM" = cpu ]; then GPUS=${GPUS:-1} && whole_numbers GPUS; else plan_memory; fi

  # Says what ran: qwen2.5-3b-amir_grpo-paper-lora16-gsm8k-n8-lr5e-6-seed0
  local kind=full preset= set=${TRAIN%%,*}
  [ "$LORA_RANK" = 0 ] || kind=lora$LORA_RANK
  [ "$LOAD_IN_4BIT" = 0 ] || kind+=-4bit
  case $ALGO-$AMIR_PRESET in amir_*-default) ;; amir_*) preset=-$AMIR_PRESET ;; esac
  set=$(basename "$set" .parquet)
  NAME=${NAME:-$(tr -c 'A-Za-z0-9._+\n-' - <<<"$RECIPE-$ALGO$preset-$kind-${set%_train}-n$GROUP-lr$LR-seed$SEED")}
  PROJECT=${PROJECT:-amir-verl}
  OUT=$(realpath -m "${OUT:-outputs/$NAME}")
  # W&B when the environment is set up for it (or WANDB=1 after `wandb login`); the file is for `amir-verl report`.
  [ -n "${WANDB:-}" ] || { [ -z "${WANDB_API_KEY:-}${WANDB_MODE:-}" ] || WANDB=1; }
  LOGGER=${LOGGER:-[console,file$([ "${WANDB:-0}" = 0 ] || echo ,wandb)]}
  export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$OUT/metrics.jsonl}
  # The same command resumes from the last checkpoint, whose validation is behind it.
  LATEST=$OUT/checkpoints/latest_checkpointed_iteration.txt
  VAL_BEFORE_TRAIN=${VAL_BEFORE_TRAIN:-$([ -e "$LATEST" ] && echo False || echo True)}

  choose_cluster
  DATA=(
    data.train_files="$train"
    data.val_files="$validation"
    data.train_batch_size="$PROMPTS"
    data.val_max_samples="$VAL_PROBLEMS"
    data.max_prompt_length="$PROMPT_LENGTH"
    data.max_response_length="$RESPONSE_LENGTH"
    data.filter_overlong_prompts=True
    data.seed="$SEED"
    reward.custom_reward_function.path="$REWARD"
  )
  ACTOR=(
    actor_rollout_ref.model.path="$MODEL"
    actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.optim.lr_scheduler_type="$LR_SCHEDULE"
    actor_rollout_ref.actor.optim.lr_warmup_steps_ratio="$WARMUP"
    actor_rollout_ref.actor.optim.weight_decay="$WEIGHT_DECAY"
    actor_rollout_ref.actor.clip_ratio="$CLIP_LOW"
    actor_rollout_ref.actor.clip_ratio_low="$CLIP_LOW"
    actor_rollout_ref.actor.clip_ratio_high="$CLIP_HIGH"
    actor_rollout_ref.actor.loss_agg_mode="$LOSS_AGG"
    actor_rollout_ref.actor.ppo_mini_batch_size="$MINI_BATCH"
    actor_rollout_ref.actor.data_loader_seed="$SEED"
  )
  [ "$KL_COEF" = 0 ] || ACTOR+=(actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef="$KL_COEF")
  ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n="$GROUP"
    actor_rollout_ref.rollout.temperature="$TEMPERATURE"
    actor_rollout_ref.rollout.seed="$SEED"
    actor_rollout_ref.rollout.max_model_len=$((PROMPT_LENGTH + RESPONSE_LENGTH))
    actor_rollout_ref.rollout.val_kwargs.n="$VAL_SAMPLES"
    actor_rollout_ref.rollout.val_kwargs.do_sample=True
    actor_rollout_ref.rollout.val_kwargs.temperature="$VAL_TEMPERATURE"
  )
  TRAINER=(
    "trainer.logger=$LOGGER"
    trainer.project_name="$PROJECT"
    trainer.experiment_name="$NAME"
    trainer.total_training_steps="$STEPS"
    trainer.total_epochs=1000
    trainer.val_before_train="$VAL_BEFORE_TRAIN"
    trainer.test_freq="$TEST_FREQ"
    trainer.save_freq="$SAVE_FREQ"
    trainer.max_actor_ckpt_to_keep="$KEEP"
    hydra.run.dir="$OUT" # its .hydra/config.yaml: the settings, for `amir-verl export`
    trainer.default_local_dir="$OUT/checkpoints"
    trainer.validation_data_dir="$OUT/validation"
  )
  if [ "$PLATFORM" = cpu ]; then
    TOKENS=${TOKENS:-$((2 * (PROMPT_LENGTH + RESPONSE_LENGTH)))}
    MACHINE=(+platform=cpu)
    ATTENTION=${ATTENTION:-sdpa}
  else
    MACHINE=(
      actor_rollout_ref.rollout.tensor_model_parallel_size="$TP"
      actor_rollout_ref.rollout.gpu_memory_utilization="$UTILISATION"
    )
    case $OFFLOAD in
      swap) MACHINE+=(actor_rollout_ref.actor.fsdp_config.{param,optimizer}_offload=True) ;;
      cpu) MACHINE+=(actor_rollout_ref.actor.fsdp_config.offload_policy=True) ;;
    esac
    if [ "$FLASH" = 1 ]; then
      ATTENTION=${ATTENTION:-flash_attention_2}
    else
      ATTENTION=${ATTENTION:-sdpa} # packs too, with a mask of tokens times tokens
      echo "$SELF: flash-attn is missing: verl takes log-probabilities token by token, 1 to 2 minutes a step of 64 x 8 (scripts/install.sh gpu-kernels adds it)" >&2
    fi
  fi
  MACHINE+=(
    actor_rollout_ref.model.use_remove_padding="${PACKED:-True}"
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu="$TOKENS"
    ++actor_rollout_ref.model.override_config.attn_implementation="$ATTENTION"
  )
  launch "${MACHINE[@]}" "${ALGORITHM[@]}" "${DATA[@]}" "${ACTOR[@]}" "${MODEL_OVERRIDES[@]+"${MODEL_OVERRIDES[@]}"}" \
    "${LORA[@]+"${LORA[@]}"}" "${ROLLOUT[@]}" "${CLUSTER[@]}" "${TRAINER[@]}" "$@"
}
