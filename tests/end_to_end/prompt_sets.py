"""Prompts that say how their own groups are sampled, answered and rewarded."""

import pandas as pd


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
