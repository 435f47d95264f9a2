"""Ranked files as verl's dataset: group sizes, unranked responses, and the checks before Ray."""

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import collate_fn

from amir_verl.data.prepare_ranked import write_ranked
from amir_verl.data.ranked import parse_ranked
from amir_verl.demo.model import build_tokenizer
from amir_verl.ranked.checks import check_ranked_run
from amir_verl.ranked.dataset import RankedDataset
from amir_verl.trainer import preflight
from amir_verl.trainer.preflight import amir_config
from amir_verl.trainer.run_checks import files_yet_to_be_made

ROWS = [
    {"prompt": "1+1=?", "responses": ["2", "3", "4", "5"], "rankings": [0, 1, 2, 3]},
    {"prompt": "1+2=?", "responses": ["3", "4", "5", "6"], "rankings": [None, 1, 0, 1]},
    {"prompt": "1+3=?", "responses": ["4", "5"], "rankings": [1, 0]},
    {"prompt": "1+4=?", "responses": ["5", "6", "7"], "rankings": [None, 0, None]},
    {"prompt": "1+5=?", "responses": ["6", "7"], "rankings": [None, None]},
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranked")
    write_ranked([parse_ranked(row) for row in ROWS], folder, share=0.0, seed=0)
    return folder / "ranked_train.parquet"


@pytest.fixture(scope="module")
def dataset(file, tmp_path_factory):
    settings = {"cache_dir": str(tmp_path_factory.mktemp("cache")), "filter_overlong_prompts_workers": None}
    return RankedDataset(
        data_files=[str(file)], tokenizer=build_tokenizer(), config=OmegaConf.create(settings), processor=None
    )


def test_a_prompt_has_as_many_rollouts_as_ranked_responses(dataset):
    assert [dataset[i]["__rollout_n__"] for i in range(len(dataset))] == [4, 3, 2]


def test_unranked_responses_are_left_out_with_their_rank(dataset):
    given = dataset[1]["extra_info"]
    assert (given["responses"], given["rankings"]) == (["4", "5", "6"], [1, 0, 1])


def test_prompts_with_nothing_to_compare_are_left_out_and_counted(file, tmp_path, capsys):
    settings = OmegaConf.create({"cache_dir": str(tmp_path), "filter_overlong_prompts_workers": None})
    rows = RankedDataset(data_files=[str(file)], tokenizer=build_tokenizer(), config=settings, processor=None)
    assert [row["raw_prompt"][0]["content"] for row in rows] == ["1+1=?", "1+2=?", "1+3=?"]
    assert "left out 2 prompts with fewer than two ranked responses" in capsys.readouterr().out


def test_verls_batch_carries_the_group_sizes(dataset):
    batch = collate_fn([dataset[i] for i in range(3)])
    np.testing.assert_array_equal(batch["__rollout_n__"], [4, 3, 2])
    assert set(batch["agent_name"]) == {"ranked_replay"}


def check_run(config):
    """The checks as the plugin composes them."""
    with files_yet_to_be_made():  # the model's
        preflight.settle_run(config, mode_checks={"amir_ranked": check_ranked_run})


def ranked_run(file, *overrides, n=4):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(
            "ppo_trainer",
            overrides=[
                "+amir=ranked",
                f"actor_rollout_ref.rollout.n={n}",
                f"data.train_files={file}",
                f"data.val_files={file}",
                *overrides,
            ],
        )


def test_the_preset_is_dpo_on_mean_log_probabilities(file):
    config = ranked_run(file)
    check_run(config)
    settings = amir_config(config)
    assert (settings.policy_weight, settings.lambda_schedule, settings.lambda_value) == (0, "constant", 1)
    assert (settings.reference, settings.reward_margin, settings.beta) == ("policy", 0, 2)
    actor = config.actor_rollout_ref.actor
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.entropy_coeff) == (True, 0, 0)
    assert config.trainer.v1.trainer_mode == "amir_ranked"


@pytest.mark.parametrize("n", [4, 8])
def test_groups_up_to_n_are_taken(file, n):
    check_run(ranked_run(file, n=n))


@pytest.mark.parametrize("n", [2, 3])
def test_a_group_above_n_is_refused_with_the_n_to_set(file, n):
    message = f"{file} row 1 has 4 ranked responses, more than actor_rollout_ref.rollout.n={n}: set "
    with pytest.raises(ValueError, match=f"^{message}actor_rollout_ref.rollout.n=4$"):
        check_run(ranked_run(file, n=n))


@pytest.mark.parametrize("where", ["train", "val"])
def test_a_file_without_rankings_is_refused_by_name(file, tmp_path, where):
    other = tmp_path / "plain.parquet"
    other.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"plain\.parquet holds no ranked responses: `amir-verl prepare-"):
        check_run(ranked_run(file, f"data.{where}_files={other}"))


@pytest.mark.parametrize(
    "override",
    [
        "actor_rollout_ref.rollout.calculate_log_probs=True",
        "algorithm.rollout_correction.bypass_mode=True",
    ],
)
def test_log_probabilities_of_a_rollout_are_not_to_be_had(file, override):
    with pytest.raises(ValueError, match=r"^given responses have no log-probabilities of a rollout"):
        check_run(ranked_run(file, override))


def test_the_policy_weight_of_zero_wants_a_constant_lambda(file):
    with pytest.raises(ValueError, match=r"^amir\.policy_weight=0 leaves amir\.lambda_schedule=grad_ratio"):
        check_run(ranked_run(file, "amir.lambda_schedule=grad_ratio"))
    check_run(ranked_run(file, "amir.lambda_schedule=grad_ratio", "amir.policy_weight=0.5"))
