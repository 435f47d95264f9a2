"""An agent that answers in the shape its prompt asks for in `extra_info["answer"]`."""

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


class ShapedAnswers(SingleTurnAgentLoop):
    async def run(self, sampling_params, **kwargs) -> AgentLoopOutput | list[AgentLoopOutput]:
        output = await super().run(sampling_params, **kwargs)
        shape = kwargs["extra_info"]["answer"]
        if shape == "in parts":
            return in_parts(output)
        if shape == "by a tool":  # no token of the model's own
            output.response_mask = [0] * len(output.response_mask)
        if shape == "nothing":
            output.response_ids, output.response_mask, output.response_logprobs = [], [], []
        return output


def in_parts(output: AgentLoopOutput) -> list[AgentLoopOutput]:
    """The answer as two outputs of one session: the second follows on the first."""
    half = len(output.response_ids) // 2
    if half == 0:
        return [output]
    first, second = output.model_copy(deep=True), output.model_copy(deep=True)
    second.prompt_ids = output.prompt_ids + output.response_ids[:half]
    for part, tokens in ((first, slice(None, half)), (second, slice(half, None))):
        part.response_ids = output.response_ids[tokens]
        part.response_mask = output.response_mask[tokens]
        part.response_logprobs = output.response_logprobs and output.response_logprobs[tokens]
    return [first, second]
