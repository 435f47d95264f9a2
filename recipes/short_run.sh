# What the runs of minutes share (tiny_cpu.sh, ranked.sh), after common.sh: sourced, never run.

short_run() { # project, experiment; RANKS, OUT, TRAIN, VAL and sizes -> CLUSTER, DATASET, ACTOR, ROLLOUT, TRAINER; it saves nothing
  export RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
  export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$(realpath -m "$OUT")/metrics.jsonl}
  LATEST= GPUS=$RANKS
  choose_cluster
  DATASET=(
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
  )
  ROLLOUT=(
    actor_rollout_ref.rollout.n="$GROUP"
    actor_rollout_ref.rollout.max_model_len=$((PROMPT_LENGTH + RESPONSE_LENGTH))
  )
  TRAINER=(
    'trainer.logger=[console,file]'
    trainer.project_name="$1"
    trainer.experiment_name="$2"
    trainer.total_training_steps="$STEPS"
    trainer.total_epochs=1000
    trainer.val_before_train=True
    trainer.test_freq="$TEST_FREQ"
    trainer.save_freq=-1
    trainer.resume_mode=disable
    trainer.default_local_dir="$OUT/checkpoints"
  )
}
