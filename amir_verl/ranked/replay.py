"""The agent loop `ranked_replay`: given responses instead of sampled ones."""

from typing import Any

from verl.experimental.agent_loop.agent_loop import (
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
    register,
)


@register("ranked_replay")
class RankedReplay(AgentLoopBase):
    """Rollout number i of a prompt returns its i-th given response, with minus its rank as reward.

    Tokens: the prompt under the chat template, then the response and the end-of-sequence token, cut at the
    response length like a sample that runs too long. The rows come from `RankedDataset`.
    """

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        given, place = row["extra_info"], int(row["session_id"])
        prompt_ids = await self.ct_build_initial_tokens(list(row["raw_prompt"]))
        ids = self.tokenizer(given["responses"][place], add_special_tokens=False)["input_ids"]
        response_ids = [*ids, self.tokenizer.eos_token_id][: self.rollout_config.response_length]
        # verl counts staleness from the weights that sampled. Nothing was sampled: report the current ones.
        version = max(int(row["global_steps"]) - 1, 0)
        return AgentLoopOutput(
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            response_mask=[1] * len(response_ids),
            reward_score=-float(given["rankings"][place]),
            num_turns=2,
            metrics=AgentLoopMetrics(),
            extra_fields={"min_global_steps": version, "max_global_steps": version},
        )
