"""Trainings on prompts that say how their own groups are sampled, answered and rewarded."""

import os
from collections import defaultdict

import pandas as pd
from trainings import HERE, json_lines, train

PATH = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]])  # the latter as tests/conftest.py has set it
SHAPED_ANSWERS = [
    f"actor_rollout_ref.rollout.agent.agent_loop_config_path={HERE}/shaped_answers.yaml",
    "actor_rollout_ref.rollout.agent.default_agent_loop=shaped_answers",
    f"+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH={PATH}",
]
ALL_PROMPTS_IN_ORDER = ["data.shuffle=False", "trainer.val_before_train=False", "trainer.test_freq=-1"]


def write_prompts(path, groups):
    """A parquet of prompts for verl, one for each group: (responses, reward, answer).

    What the last two may be stands in degenerate_reward.py and shaped_answers.py.
    """
    rows = [
        {
            "data_source": "arithmetic",
            "prompt": [{"role": "user", "content": f"{index}+{index + 1}=?"}],
            "reward_model": {"style": "rule", "ground_truth": str(2 * index + 1)},
            "extra_info": {"index": index, "n": responses, "reward": reward, "answer": answer},
            "__rollout_n__": responses,
        }
        for index, (responses, reward, answer) in enumerate(groups)
    ]
    pd.DataFrame(rows).to_parquet(path)
    return path


def train_on(groups, tiny, out, *overrides, **variables):
    """A training on `groups` as write_prompts takes them; returns step -> metrics, step -> rows."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = write_prompts(out / "prompts.parquet", groups)
    metrics = train(
        "tiny_cpu",
        out,
        *ALL_PROMPTS_IN_ORDER,
        *SHAPED_ANSWERS,
        f"trainer.rollout_data_dir={out}/rollouts",
        *overrides,
        TINY=tiny,
        TRAIN=prompts,
        VAL=prompts,
        REWARD=HERE / "degenerate_reward.py",
        ALGO="amir_grpo",
        **variables,
    )
    return metrics, {step: json_lines(out / "rollouts" / f"{step}.jsonl") for step in metrics}


def final_scores(rows):
    """prompt -> scores of its sessions, each that of its last row; rows that pad the batch left out."""
    scores = defaultdict(dict)
    for row in rows:  # verl sorts them by prompt, session and output
        prompt, session, _ = row["uid"].rsplit("_", 2)
        if not prompt.startswith("pad"):
            scores[prompt][session] = row["score"]
    return [list(sessions.values()) for sessions in scores.values()]


def pairs_of_different_score(scores):
    return sum(better > worse for better in scores for worse in scores)
