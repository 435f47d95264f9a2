"""Given responses with full or partial rankings: the format, its checks, and the parquet row for replay."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amir_verl.data.author_formats import checked_text

ROLES = ("system", "user", "assistant")
_MESSAGE = {"role", "content"}


@dataclass(frozen=True)
class RankedGroup:
    """One prompt and its given responses; `rankings[i]` ranks `responses[i]`, 0 is best, None is unranked."""

    prompt: tuple[tuple[str, str], ...]  # (role, content), a user message last
    responses: tuple[str, ...]
    rankings: tuple[int | None, ...]

    @property
    def pairs(self) -> int:
        """Pairs of responses with different ranks: what the preference term can learn from."""
        ranks = [rank for rank in self.rankings if rank is not None]
        return sum(a < b for a in ranks for b in ranks)


def parse_ranked(row: Mapping[str, Any]) -> RankedGroup:
    """`{"prompt", "responses", "rankings"}` as a `RankedGroup`; `ValueError` names the field that is wrong.

    `prompt` is text or a list of chat messages that ends with the user's. Responses keep their white space.
    Other fields of the row are ignored.
    """
    for field in ("prompt", "responses", "rankings"):
        if field not in row:
            raise ValueError(f"no field '{field}'")
    responses = _responses(row["responses"])
    rankings = row["rankings"]
    if not isinstance(rankings, list) or not all(_is_rank(rank) for rank in rankings):
        raise ValueError("field 'rankings' is not a list of integers from 0 (the best) or null")
    if len(rankings) != len(responses):
        raise ValueError(f"{len(responses)} responses but {len(rankings)} rankings")
    return RankedGroup(_messages(row["prompt"]), responses, tuple(rankings))


def _is_rank(rank: Any) -> bool:
    return rank is None or (isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < 2**31)


def _responses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError("field 'responses' is not a list of two or more texts")
    for response in value:
        checked_text(response, "responses")
    return tuple(value)


def _messages(value: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(value, str):
        checked_text(value, "prompt")
        return (("user", value),)
    if not isinstance(value, list) or not value:
        raise ValueError("field 'prompt' is neither text nor a list of chat messages")
    messages = []
    for message in value:
        if not isinstance(message, dict) or {key for key in message if message[key] is not None} != _MESSAGE:
            raise ValueError("field 'prompt': a message is not an object of 'role' and 'content' alone")
        if message["role"] not in ROLES:
            raise ValueError(f"field 'prompt': role {message['role']!r}, expected one of {', '.join(ROLES)}")
        checked_text(message["content"], "prompt.content")
        messages.append((message["role"], message["content"]))
    if messages[-1][0] != "user":
        raise ValueError(f"field 'prompt' ends with the {messages[-1][0]}, expected the user")
    return tuple(messages)


def ranked_row(group: RankedGroup, *, split: str, index: int) -> dict[str, Any]:
    """`group` as a row of `prepare_ranked.RANKED_SCHEMA`, for the agent loop `ranked_replay`."""
    return {
        "data_source": "ranked",
        "agent_name": "ranked_replay",
        "prompt": [{"role": role, "content": content} for role, content in group.prompt],
        "ability": "ranked",
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {
            "index": index,
            "split": split,
            "responses": list(group.responses),
            "rankings": list(group.rankings),
        },
    }


def ranked_responses(extra_info: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """Responses that have a rank, and their ranks (0 is best), in the order given."""
    pairs = zip(extra_info["responses"], extra_info["rankings"], strict=True)
    ranked = [(response, rank) for response, rank in pairs if rank is not None]
    return [response for response, _ in ranked], [rank for _, rank in ranked]


def validation_prompts(
    groups: Sequence[RankedGroup], *, share: float, seed: int
) -> set[tuple[tuple[str, str], ...]]:
    """A random `share` of the distinct prompts, at least one if `share` is above 0.

    By prompt, not by row: two rankings of one prompt never end up on both sides. The choice depends on the
    set of prompts and the seed, not on the order of rows.
    """
    if not 0 <= share < 1:
        raise ValueError(f"--validation-share is {share}, expected at least 0 and less than 1")
    prompts = sorted({group.prompt for group in groups})
    if share == 0:
        return set()
    if len(prompts) < 2:
        raise ValueError("one prompt cannot be split; give --validation-share 0")
    count = min(max(1, round(share * len(prompts))), len(prompts) - 1)
    return set(random.Random(seed).sample(prompts, count))


def group_findings(groups: Sequence[RankedGroup]) -> Iterator[str]:
    """Yield what a user should know about the groups, a line each; changes and drops nothing."""
    prompts = {group.prompt for group in groups}
    sizes = sorted({len(group.responses) for group in groups})
    ranks = [rank for group in groups for rank in group.rankings]
    yield f"responses a prompt: {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
    yield f"unranked responses: {sum(rank is None for rank in ranks)} of {len(ranks)}"
    yield f"pairs: {sum(group.pairs for group in groups)}"
    counts = {
        "rows without a pair (one rank at most)": sum(group.pairs == 0 for group in groups),
        "rows with ties": sum(_has_ties(group) for group in groups),
        "rows that repeat another row": len(groups) - len(set(groups)),
        "rows that share their prompt with an earlier row": len(groups) - len(prompts),
        "rows with one response twice": sum(_has_repeats(group) for group in groups),
        "of these, with different ranks for it": sum(_contradicts_itself(group) for group in groups),
    }
    yield from (f"{what}: {count}" for what, count in counts.items() if count)


def _has_ties(group: RankedGroup) -> bool:
    ranks = [rank for rank in group.rankings if rank is not None]
    return len(set(ranks)) < len(ranks)


def _has_repeats(group: RankedGroup) -> bool:
    return len(set(group.responses)) < len(group.responses)


def _contradicts_itself(group: RankedGroup) -> bool:
    ranked = {pair for pair in zip(group.responses, group.rankings, strict=True) if pair[1] is not None}
    return len({response for response, _ in ranked}) < len(ranked)
