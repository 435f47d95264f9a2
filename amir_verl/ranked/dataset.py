"""Ranked responses as verl's dataset sees them (the rows of `amir-verl prepare-ranked`)."""

from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from amir_verl.data.ranked import ranked_responses


class RankedDataset(RLHFDataset):
    """verl's dataset, with one rollout per ranked response of a prompt.

    Drops unranked responses, and prompts with fewer than two ranked ones: those make no pair, and no ranking
    metric is defined on them.
    """

    def _read_files_and_tokenize(self) -> None:
        super()._read_files_and_tokenize()
        total = len(self.dataframe)
        counts = [len(ranked_responses(info)[0]) for info in self.dataframe["extra_info"]]
        self.dataframe = self.dataframe.select([row for row, count in enumerate(counts) if count >= 2])
        if len(self.dataframe) < total:
            print(f"left out {total - len(self.dataframe)} prompts with fewer than two ranked responses")

    def __getitem__(self, item: int) -> dict[str, Any]:
        row = super().__getitem__(item)
        responses, ranks = ranked_responses(row["extra_info"])
        row["extra_info"] = row["extra_info"] | {"responses": responses, "rankings": ranks}
        # verl reads a prompt's group size here (trainer/ppo/v1/agent_loop_tq.py:115).
        row["__rollout_n__"] = len(responses)
        return row
