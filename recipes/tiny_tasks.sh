# What a tiny model trains on: DATA=countdown|arithmetic|gsm8k. Sourced, never run.
# choose_task sets what of TINY, TRAIN, VAL, REWARD and the sizes is not set, and TASK, verl overrides; make_task
# makes the model and the data that are missing.

choose_task() { # DATA, ARCH, SEED
  case ${DATA:=countdown} in
    countdown)
      TINY=${TINY:-outputs/tiny/countdown-$ARCH-seed$SEED}
      REWARD=${REWARD:-pkg://amir_verl.demo.countdown}
      STEPS=${STEPS:-60} TEST_FREQ=${TEST_FREQ:-20}
      PROMPT_LENGTH=${PROMPT_LENGTH:-16} RESPONSE_LENGTH=${RESPONSE_LENGTH:-8}
      TASK=(
        actor_rollout_ref.rollout.val_kwargs.do_sample=True # each of a problem's eight rows once
        actor_rollout_ref.rollout.val_kwargs.temperature=1.0
      ) ;;
    arithmetic)
      TINY=${TINY:-outputs/tiny/$ARCH-seed$SEED}
      STEPS=${STEPS:-30}
      TASK=() ;;
    gsm8k)
      TINY=${TINY:-outputs/tiny/$ARCH-seed$SEED}
      TRAIN=${TRAIN:-outputs/data/gsm8k_train.parquet} VAL=${VAL:-outputs/data/gsm8k_test.parquet}
      STEPS=${STEPS:-5} TEST_FREQ=${TEST_FREQ:-5} PROMPTS=${PROMPTS:-4} GROUP=${GROUP:-4}
      PROMPT_LENGTH=${PROMPT_LENGTH:-1536} RESPONSE_LENGTH=${RESPONSE_LENGTH:-48}
      # A model of this size is hardly ever right; the shaped reward also grades the format, so there are pairs.
      if [ -z "${REWARD:-}" ]; then
        REWARD=pkg://reward_fns.calibrated_reward
        TASK=(+reward.custom_reward_function.reward_kwargs.calibrated=False)
      fi
      TASK+=(data.filter_overlong_prompts=True data.val_max_samples=16) ;;
    *)
      echo "DATA must be countdown, arithmetic or gsm8k, got '$DATA'" >&2
      exit 2 ;;
  esac
}

make_task() { # after choose_task; PYTHON
  local task=$DATA
  if [ "$DATA" = gsm8k ]; then
    task=arithmetic # the model's warm-up
    if [ ! -e "$VAL" ]; then
      # The authors' files beside the checkout, else the hub.
      local source=${GSM8K:-hub}
      [ -n "${GSM8K:-}" ] || [ ! -d ../shared/data/gsm8k ] || source=../shared/data/gsm8k
      "$PYTHON" -m amir_verl.cli.main prepare gsm8k --source "$source" --out "$(dirname "$VAL")"
    fi
  fi
  # Threads that wait for each other cost a tiny model more than they give.
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$PYTHON" -m amir_verl.demo.make_tiny --task "$task" --architecture "$ARCH" --seed "$SEED" --out "$TINY"
}
