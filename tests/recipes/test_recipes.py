"""Every recipe, algorithm and cluster composes and passes the checks that verl makes before it starts.

The scripts are asked for their overrides (DRY_RUN=args) and composed in this process: a dry run each would
import verl a hundred times.
"""

import itertools

import pytest
from omegaconf import OmegaConf
from recipe_overrides import ACTOR, overrides_of, settings_of

from amir_verl.cli.composition import composed_run
from amir_verl.cli.dry_run import check_run

MODELS = ["qwen2.5_3b", "qwen2.5_7b", "gemma3_4b"]
ALGORITHMS = ["grpo", "amir_grpo", "gspo", "amir_gspo"]
CLUSTERS = {
    "one GPU": {"GPUS": "1"},
    "eight GPUs": {"GPUS": "8"},
    "two nodes": {"GPUS": "8", "NNODES": "2", "RAY_ADDRESS": "10.0.0.1:6379"},
}
FACTORS = {
    "recipe": [*MODELS, "tiny_cpu"],
    "algorithm": ALGORITHMS,
    "LoRA": ["0", "16"],
    "cluster": list(CLUSTERS),
}


def pairwise(factors):
    """Runs in which any two values of two factors meet: again and again the one with the most new pairs."""
    everything = [dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())]
    pairs = {id(run): set(itertools.combinations(run.items(), 2)) for run in everything}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        best = max(everything, key=lambda run: len(pairs[id(run)] & missing))
        missing -= pairs[id(best)]
        chosen.append(best)
    return chosen


def test_any_two_choices_together_pass_verls_own_checks(recipes):
    runs = pairwise(FACTORS)
    assert len(runs) < 24  # of 96
    made = recipes(
        [
            (
                run["recipe"],
                [],
                {"ALGO": run["algorithm"], "LORA_RANK": run["LoRA"]} | CLUSTERS[run["cluster"]],
            )
            for run in runs
        ]
    )
    for run, process in zip(runs, made, strict=True):
        config, algorithm, cluster = (
            check_run(overrides_of(process)),
            run["algorithm"],
            CLUSTERS[run["cluster"]],
        )
        loss = config.actor_rollout_ref.actor.policy_loss.loss_mode
        assert loss == {"grpo": "vanilla"}.get(algorithm, algorithm), run
        mode = "amir_sync" if algorithm.startswith("amir_") else "sync"
        assert config.trainer.v1.trainer_mode == mode, run
        assert config.algorithm.adv_estimator == "grpo"
        assert config.actor_rollout_ref.model.lora_rank == int(run["LoRA"]), run
        assert config.actor_rollout_ref.actor.strategy == "fsdp2"
        assert config.actor_rollout_ref.rollout.name == "vllm"
        assert config.trainer.n_gpus_per_node == int(cluster["GPUS"]), run
        assert config.trainer.nnodes == int(cluster.get("NNODES", "1")), run
        assert config.ray_kwargs.ray_init.get("address") == cluster.get("RAY_ADDRESS"), run


PUBLISHED = {
    "reward.custom_reward_function.path": "pkg://reward_fns.calibrated_reward",
    "actor_rollout_ref.rollout.n": "8",
    "data.max_prompt_length": "1024",
    "data.max_response_length": "1024",
    f"{ACTOR}.optim.lr": "5e-6",
    f"{ACTOR}.optim.lr_scheduler_type": "cosine",
    f"{ACTOR}.optim.lr_warmup_steps_ratio": "0.1",
    f"{ACTOR}.optim.weight_decay": "0.1",
    "trainer.total_training_steps": "1000",
}
TOKEN_CLIP = {"clip_ratio_low": "0.2", "clip_ratio_high": "0.2", "loss_agg_mode": "token-mean"}
SEQUENCE_CLIP = {
    "clip_ratio_low": "0.0003",
    "clip_ratio_high": "0.0004",
    "loss_agg_mode": "seq-mean-token-mean",
}


def test_the_published_settings_are_the_defaults(recipes):
    runs = list(itertools.product(MODELS, ALGORITHMS))
    made = recipes([(name, [], {"ALGO": algorithm}) for name, algorithm in runs])
    for (name, algorithm), process in zip(runs, made, strict=True):
        settings = settings_of(process)
        clip = SEQUENCE_CLIP if algorithm.endswith("gspo") else TOKEN_CLIP
        expected = PUBLISHED | {f"{ACTOR}.{key}": value for key, value in clip.items()}
        assert {key: settings.get(key) for key in expected} == expected, (name, algorithm)
        assert settings["actor_rollout_ref.model.use_remove_padding"] == "True"


@pytest.mark.parametrize("name", ["qwen2.5_3b", "tiny_cpu"])
@pytest.mark.parametrize("algorithm", ["amir_grpo", "amir_gspo"])
def test_the_papers_preset(recipe, name, algorithm):
    made = recipe(name, ALGO=algorithm, AMIR_PRESET="paper", REWARD="pkg://reward_fns.calibrated_reward")
    config = check_run(overrides_of(made))
    assert (config.amir.beta, config.amir.reward_margin) == (0.2, 2.0)
    assert (config.amir.lambda_schedule, config.amir.lambda_value) == ("loss_ratio", 0.01)
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == algorithm


def test_variables_reach_verl_and_overrides_win(recipe, files):
    made = recipe(
        "qwen2.5_3b",
        f"{ACTOR}.optim.lr=3e-6",
        ALGO="amir_gspo",
        AMIR_BETA="0.5",
        AMIR_PULL="chosen",
        AMIR_PAIR_MINING="topk",
        LR="1e-6",
        STEPS="7",
        PROMPTS="32",
        MINI_BATCH="16",
        GROUP="4",
        KL_COEF="0.01",
        CLIP_HIGH="0.002",
        SEED="3",
        TRAIN=f"{files}/train.parquet,{files}/more.parquet",
    )
    config = check_run(overrides_of(made))
    actor = config.actor_rollout_ref.actor
    assert (config.amir.beta, config.amir.pull, config.amir.pair_mining) == (0.5, "chosen", "topk")
    assert actor.optim.lr == 3e-6
    assert (config.trainer.total_training_steps, config.data.train_batch_size) == (7, 32)
    assert (actor.ppo_mini_batch_size, config.actor_rollout_ref.rollout.n) == (16, 4)
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.clip_ratio_high) == (True, 0.01, 0.002)
    assert (config.data.seed, config.actor_rollout_ref.rollout.seed, actor.data_loader_seed) == (3, 3, 3)
    assert list(config.data.train_files) == [f"{files}/train.parquet", f"{files}/more.parquet"]


def test_amirs_settings_do_not_reach_the_baseline(recipe):
    for variables in ({"AMIR_BETA": "0.5"}, {"AMIR_PRESET": "paper"}):
        config = check_run(overrides_of(recipe("qwen2.5_3b", ALGO="grpo", **variables)))
        assert OmegaConf.select(config, "amir") is None


def test_gemma_trains_its_language_model_alone(recipe):
    config = composed_run(overrides_of(recipe("gemma3_4b", LORA_RANK="16")))
    assert config.actor_rollout_ref.model.exclude_modules == ".*(vision_tower|multi_modal_projector).*"
    assert config.actor_rollout_ref.rollout.engine_kwargs.vllm == {"limit_mm_per_prompt": {"image": 0}}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"ALGO": "grpo"}, "qwen2.5-3b-grpo-full-train-n8-lr5e-6-seed0"),
        ({"ALGO": "grpo", "AMIR_PRESET": "paper"}, "qwen2.5-3b-grpo-full-train-n8-lr5e-6-seed0"),
        (
            {"ALGO": "amir_gspo", "AMIR_PRESET": "paper", "LORA_RANK": "16", "SEED": "2", "LR": "1e-6"},
            "qwen2.5-3b-amir_gspo-paper-lora16-train-n8-lr1e-6-seed2",
        ),
        ({"AMIR_PRESET": "chosen"}, "qwen2.5-3b-amir_grpo-chosen-full-train-n8-lr5e-6-seed0"),
        ({"NAME": "mine"}, "mine"),
    ],
)
def test_a_run_is_named_by_what_ran(recipe, variables, name):
    settings = settings_of(recipe("qwen2.5_3b", **variables))
    assert (settings["trainer.project_name"], settings["trainer.experiment_name"]) == ("amir-verl", name)


@pytest.mark.parametrize(
    ("variables", "logger"),
    [
        ({}, "[console,file]"),
        ({"WANDB_MODE": "offline"}, "[console,file,wandb]"),
        ({"WANDB_API_KEY": "a secret"}, "[console,file,wandb]"),
        ({"WANDB_API_KEY": "a secret", "WANDB": "0"}, "[console,file]"),
        ({"WANDB": "1"}, "[console,file,wandb]"),
        ({"LOGGER": "[console,tensorboard]", "WANDB": "1"}, "[console,tensorboard]"),
    ],
)
def test_weights_and_biases_when_the_shell_is_set_up_for_it(recipe, variables, logger):
    made = recipe("qwen2.5_3b", RAY_ADDRESS="auto", **variables)
    assert settings_of(made)["trainer.logger"] == logger
    assert "secret" not in made.stdout
