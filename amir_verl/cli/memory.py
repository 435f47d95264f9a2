"""How much memory a training run needs: arithmetic in bytes, before anything starts.

`estimate` reckons a given run; memory_plan.py chooses what the user left open. Runs are as the recipes make
them: FSDP2 that computes in bfloat16 on float32 weights, gradient checkpointing, packed sequences, vLLM.
"""

from dataclasses import dataclass

from amir_verl.cli.four_bit_memory import four_bit_base, four_bit_gathered
from amir_verl.cli.model_shapes import ModelShape

GB = 10**9
OFFLOAD = ("none", "swap", "cpu")
MOST_TOKENS = 16_384  # a micro-batch beyond this gains no speed
# Of a card: the rest is for CUDA's context, NCCL and what the allocator cannot use.
USABLE = 0.9
ENGINE_OWN = 1.5 * GB  # vLLM's CUDA graphs and activations
WEIGHT = 4  # bytes of a parameter in float32, frozen ones too
TRAINED = 12  # its float32 gradient and Adam's two moments


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One run on its cards. Bytes of one card, unless another unit is said.

    Attributes:
        card: memory of the smallest card.
        offload: where weights, gradients and moments lie. none: on the card; swap: on the host while vLLM
            samples; cpu: always on the host.
        tokens: the most tokens of a micro-batch on one card.
        longest: tokens of the longest sequence.
        state: the card's share of weights, gradients and moments, wherever they lie.
        working: gathered layers in bfloat16, and the largest gradient before it is reduced.
        activations: layer inputs kept by gradient checkpointing, the layer that is recomputed, the mask.
        logits: of the micro-batch in the update, with log-softmax and their gradients.
        scoring: of the pass of old log-probabilities and entropy, which has no gradients.
        adam: what Adam's step needs beside the state.
        engine: vLLM's share of the card; 0 where responses are given.
        kv_cache_tokens: tokens (not bytes) that vLLM's cache holds, on all cards of one replica.
        host: RAM of one node.
    """

    shape: ModelShape
    card: float
    gpus: int
    nodes: int
    lora_rank: int
    four_bit: bool
    offload: str
    tokens: int
    longest: int
    tensor_parallel: int
    utilisation: float
    flash_attention: bool
    temperature: float
    samples: bool
    reference: bool
    state: float
    working: float
    activations: float
    logits: float
    scoring: float
    adam: float
    engine: float
    kv_cache_tokens: int
    host: float

    @property
    def resident(self) -> float:
        """State on the card during the update."""
        return 0.0 if self.offload == "cpu" else self.state

    @property
    def update(self) -> float:
        """Peak of the card between two rollouts: of the update, the pass before it, or Adam's step."""
        return self.resident + max(self.working + self.activations + self.logits, self.scoring, self.adam)

    @property
    def sampling(self) -> float:
        """Peak of the card while vLLM samples."""
        return self.engine + (self.state if self.offload == "none" else 0.0)

    @property
    def problems(self) -> list[str]:
        """What does not fit, a phrase each; empty if all does."""
        found = []
        if self.tokens < self.longest:
            found.append(f"a sequence has {self.longest} tokens, a micro-batch {self.tokens}")
        if self.update > USABLE * self.card:
            found.append(f"the update needs {in_gb(self.update)} of {in_gb(USABLE * self.card)} GB")
        if self.sampling > 0.95 * self.card:
            found.append(f"vLLM and the state need {in_gb(self.sampling)} of {in_gb(0.95 * self.card)} GB")
        if self.samples and self.kv_cache_tokens < self.longest:
            found.append(f"vLLM's weights leave room for {self.kv_cache_tokens} tokens")
        return found


def estimate(
    shape: ModelShape,
    *,
    card: float,
    gpus: int = 1,
    nodes: int = 1,
    lora_rank: int = 0,
    four_bit: bool = False,
    offload: str = "none",
    tokens: int = MOST_TOKENS,
    longest: int = 2048,
    tensor_parallel: int = 1,
    utilisation: float = 0.5,
    flash_attention: bool = True,
    temperature: float = 1.0,
    samples: bool = True,
    reference: bool = False,
) -> Estimate:
    """Reckon a run.

    Args:
        card: bytes of the smallest card.
        gpus: cards a node.
        lora_rank: 0 trains the whole model.
        four_bit: whether the base under the adapters is in four bits.
        flash_attention: whether flash-attn is installed.
        temperature: of sampling; verl copies the logits unless it is 1.
        samples: whether vLLM runs; not where responses are given (`+amir=ranked`).
        reference: whether there is a reference policy. verl keeps its weights on the host, and takes the
            model without its adapters for it where it has some.
    """
    ranks = gpus * nodes
    trained = shape.lora_parameters(lora_rank) if lora_rank else shape.parameters - shape.frozen
    weights = shape.parameters + (trained if lora_rank else 0)
    state = (WEIGHT * weights + TRAINED * trained) / ranks
    if four_bit:
        base = four_bit_base(shape)
        state = (base.sharded + (WEIGHT + TRAINED) * trained) / ranks + base.copied
    # Beside adapters vLLM keeps its weights while it sleeps, on the host (verl, vllm_async_server.py:1303).
    asleep = 2 * shape.parameters / tensor_parallel * gpus if lora_rank and samples else 0.0
    passes = _passes(
        shape,
        tokens,
        lora_rank=lora_rank,
        four_bit=four_bit,
        flash_attention=flash_attention,
        temperature=temperature,
    )
    return Estimate(
        shape=shape,
        card=card,
        gpus=gpus,
        nodes=nodes,
        lora_rank=lora_rank,
        four_bit=four_bit,
        offload=offload,
        tokens=tokens,
        longest=longest,
        tensor_parallel=tensor_parallel,
        utilisation=utilisation,
        flash_attention=flash_attention,
        temperature=temperature,
        samples=samples,
        reference=reference,
        state=state,
        **passes,
        # torch's AdamW goes over all tensors at once (foreach): the root of each second moment, in float32.
        adam=0.0 if offload == "cpu" else WEIGHT * trained / ranks,
        engine=utilisation * card if samples else 0.0,
        kv_cache_tokens=_kv_cache_tokens(shape, card=card, utilisation=utilisation, split=tensor_parallel),
        host=_host(shape, state=state, gpus=gpus, offload=offload, four_bit=four_bit, asleep=asleep)
        + (WEIGHT * shape.parameters / nodes if reference and not lora_rank else 0.0),
    )


def _passes(
    shape: ModelShape,
    tokens: int,
    *,
    lora_rank: int,
    four_bit: bool,
    flash_attention: bool,
    temperature: float,
) -> dict[str, float]:
    """`working`, `activations`, `logits` and `scoring` of a micro-batch of so many tokens."""
    # FSDP2 keeps the root (embeddings or output layer) gathered, and one layer beside the one at work.
    plain = 2 * (shape.embedding_parameters + 2 * shape.layer_parameters)
    gathered = four_bit_gathered(shape) if four_bit else plain
    # A gradient in bfloat16, and its float32 copy that is reduced.
    gradient = 0 if lora_rank else 6 * max(shape.embedding_parameters, shape.layer_parameters)
    inputs = 2 * shape.hidden_size * shape.num_hidden_layers
    # The one layer that is recomputed: norms in float32 and their casts, residuals, queries, keys and values
    # before and after the rotation, the MLP's products and gradients. Fitted to what torch allocates.
    layer = (
        20 * shape.hidden_size + 8 * (shape.query_size + shape.key_value_size) + 10 * shape.intermediate_size
    )
    if four_bit:  # peft copies what each map gives
        layer += 2 * sum(outputs for _, outputs in shape.layer_maps)
    # Without flash-attn packed sequences need a mask of tokens x tokens: a byte, and two where it is added.
    mask = 0 if flash_attention else 3 * tokens**2
    # Temperature 1 alone spares verl a copy of the bfloat16 logits.
    copy = 0 if temperature == 1.0 else 2
    # bfloat16 logits; without flash-attn's kernel a float32 log-softmax too.
    update = copy + (2 if flash_attention else 6)
    # bfloat16 logits, float32 softmax, float32 product (verl/utils/torch_functional.py:243).
    entropy = copy + 10
    return {
        "working": gathered + gradient,
        "activations": tokens * (inputs + layer) + mask,
        "logits": tokens * update * shape.vocab_size,
        "scoring": gathered + mask + tokens * (layer / 2 + entropy * shape.vocab_size),
    }


def _kv_cache_tokens(shape: ModelShape, *, card: float, utilisation: float, split: int) -> int:
    room = utilisation * card - 2 * shape.parameters / split - ENGINE_OWN
    return max(0, int(room * split / shape.kv_cache_bytes))


def _host(
    shape: ModelShape, *, state: float, gpus: int, offload: str, four_bit: bool, asleep: float
) -> float:
    # Each card of a model with tied embeddings loads the whole of it; else one a node does. Weights that are
    # quantized go from the file to the card one by one.
    loading = 0 if four_bit else WEIGHT * shape.parameters * (gpus if shape.tie_word_embeddings else 1)
    moved = state * gpus
    return max(loading, {"none": asleep, "swap": max(asleep, moved), "cpu": asleep + moved}[offload])


def in_gb(size: float) -> str:
    """Whole gigabytes."""
    return f"{size / GB:.0f}"
