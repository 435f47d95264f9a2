"""Prompts for real trainings in which each prompt says how its group is rewarded, sampled and answered."""

import json

import pandas as pd


def write_prompts(path, prompts):
    """A verl parquet of prompts, each a dict: `reward` (as degenerate_reward.py knows it), `n` responses."""
    rows = [
        {
            "data_source": "arithmetic",
            "prompt": [{"role": "user", "content": f"{index}+{index + 1}=?"}],
            "reward_model": {"style": "rule", "ground_truth": str(2 * index + 1)},
            "extra_info": {"index": index, **prompt},
            "__rollout_n__": prompt["n"],
        }
        for index, prompt in enumerate(prompts)
    ]
    pd.DataFrame(rows).to_parquet(path)
    return path


def read_metrics(path):
    return {record["step"]: record["data"] for record in map(json.loads, path.read_text().splitlines())}
