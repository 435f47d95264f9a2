"""The agent loop returns given responses as verl would have sampled them, one a rollout."""

import asyncio

import pytest
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.utils.dataset.rl_dataset import RLHFDataset

from amir_verl.demo.model import build_tokenizer
from amir_verl.ranked.replay import RankedReplay

TOKENIZER = build_tokenizer()
MESSAGES = [{"role": "system", "content": "Add."}, {"role": "user", "content": "19+3=?"}]
GIVEN = {
    "responses": ["<think>9+3=12</think><answer>22</answer>", "<answer>22</answer>", "twelve", "12"],
    "rankings": [0, 1, 2, 2],
}


def replay(place, *, limit=64, step=7):
    async def run():
        loop = RankedReplay(
            trainer_config=DictConfigWrap(
                OmegaConf.create(
                    {"actor_rollout_ref": {"rollout": {"prompt_length": 64, "response_length": limit}}}
                )
            ),
            server_manager=None,
            tokenizer=TOKENIZER,
            processor=None,
            dataset_cls=RLHFDataset,
            data_config=DictConfigWrap(OmegaConf.create({})),
            hf_model_type="qwen2",
        )
        row = {"raw_prompt": MESSAGES, "extra_info": GIVEN, "session_id": place, "global_steps": step}
        return await loop.run({"temperature": 1.0}, data_source="ranked", **row)

    return asyncio.run(run())


@pytest.mark.parametrize("place", range(4))
def test_rollout_i_is_response_i_and_its_reward_minus_its_rank(place):
    output = replay(place)
    assert TOKENIZER.decode(output.response_ids[:-1]) == GIVEN["responses"][place]
    assert output.response_ids[-1] == TOKENIZER.eos_token_id
    assert output.response_mask == [1] * len(output.response_ids)
    assert output.reward_score == -GIVEN["rankings"][place]
    assert output.response_logprobs is None


def test_prompt_is_the_chat_template_up_to_the_assistants_turn():
    expected = (
        "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n19+3=?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert TOKENIZER.decode(replay(0).prompt_ids) == expected


@pytest.mark.parametrize(("limit", "text"), [(6, "twelve"), (3, "twe")])
def test_a_long_response_is_cut_and_then_does_not_end(limit, text):
    output = replay(2, limit=limit)
    assert TOKENIZER.decode(output.response_ids) == text
    assert len(output.response_mask) == limit


@pytest.mark.parametrize(("step", "version"), [(0, 0), (1, 0), (7, 6)])
def test_responses_count_as_of_the_weights_that_the_step_begins_with(step, version):
    fields = replay(0, step=step).extra_fields
    assert (fields["min_global_steps"], fields["max_global_steps"]) == (version, version)
