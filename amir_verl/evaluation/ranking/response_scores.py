"""Length-normalised log-probability of given responses under a model.

Shape suffixes: _B sequences of a batch, _T tokens, _V vocabulary.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

Messages = Sequence[dict[str, str]]


class ResponseScorer:
    """A causal language model that scores responses to chat prompts.

    The score of a response is the mean log-probability of its tokens and the end-of-turn token after the
    prompt under the chat template: `l_i` of the preference loss without a reference policy.
    """

    def __init__(
        self, model: str, *, device: str | None = None, dtype: str = "auto", batch_tokens: int = 4096
    ):
        """Load `model` (directory or hub name).

        Args:
            device: torch device; by default a GPU if there is one.
            dtype: of the weights, such as bfloat16; `auto` as saved.
            batch_tokens: tokens of one forward pass, padding included; one sequence may exceed it.

        Raises:
            ValueError: no such directory, or no chat template.
        """
        if not Path(model).is_dir() and (Path(model).is_absolute() or model.startswith(".")):
            raise ValueError(f"{model}: no such model directory")
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        if not self.tokenizer.chat_template:
            raise ValueError(f"{model}: its tokenizer has no chat template")
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).to(self.device).eval()
        self.batch_tokens = batch_tokens

    def scores(
        self, prompts: Sequence[Messages], responses: Sequence[Sequence[str]], *, description: str = "scoring"
    ) -> list[list[float]]:
        """Scores in the shape of `responses`: one list per prompt, one score per response."""
        sequences: list[tuple[list[int], int]] = []  # token ids, length of the prompt
        for messages, group in zip(prompts, responses, strict=True):
            prompt = self._prompt_ids(messages)
            sequences += [(prompt + self._response_ids(response), len(prompt)) for response in group]
        flat = [0.0] * len(sequences)
        with tqdm(total=len(sequences), desc=description, unit=" responses") as progress:
            for chosen in self._batches([len(ids) for ids, _ in sequences]):
                for i, score in zip(chosen, self._batch_scores([sequences[i] for i in chosen]), strict=True):
                    flat[i] = score
                progress.update(len(chosen))
        ordered = iter(flat)
        return [[next(ordered) for _ in group] for group in responses]

    def _prompt_ids(self, messages: Messages) -> list[int]:
        text = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _response_ids(self, response: str) -> list[int]:
        ids = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of sequences of similar length, longest first: if memory runs out, it does so at once."""
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if batch and (len(batch) + 1) * lengths[batch[0]] > self.batch_tokens:
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    @torch.inference_mode()
    def _batch_scores(self, sequences: Sequence[tuple[list[int], int]]) -> list[float]:
        longest = max(len(ids) for ids, _ in sequences)
        ids_BT = torch.zeros(len(sequences), longest, dtype=torch.long)
        seen_BT = torch.zeros_like(ids_BT)
        scored_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, (ids, prompt_length) in enumerate(sequences):
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            seen_BT[row, : len(ids)] = 1
            scored_BT[row, prompt_length : len(ids)] = True
        ids_BT, seen_BT, scored_BT = (x.to(self.device) for x in (ids_BT, seen_BT, scored_BT))
        logits_BTV = self.model(input_ids=ids_BT, attention_mask=seen_BT).logits[:, :-1].float()
        log_prob_BT = -torch.nn.functional.cross_entropy(
            logits_BTV.transpose(1, 2), ids_BT[:, 1:], reduction="none"
        )
        scored_BT = scored_BT[:, 1:]
        return ((log_prob_BT * scored_BT).sum(1) / scored_BT.sum(1)).tolist()


def cut_prompt(messages: Messages, share: float) -> list[dict[str, str]]:
    """The prompt with only the first `share` of the words of its last message, at least one."""
    *before, last = messages
    words = last["content"].split()
    kept = max(1, round(share * len(words)))
    return [*before, last | {"content": " ".join(words[:kept])}]


def paraphrased_prompt(messages: Messages, paraphrase: Any) -> list[dict[str, str]]:
    """The prompt with `paraphrase` as its last message; a list of messages is the whole prompt."""
    if isinstance(paraphrase, list):
        return paraphrase
    *before, last = messages
    return [*before, last | {"content": str(paraphrase)}]
