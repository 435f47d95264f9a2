"""What of a run's memory the user left open: offload, tokens of a micro-batch, vLLM's share and split."""

from functools import partial

from amir_verl.cli.memory import ENGINE_OWN, MOST_TOKENS, OFFLOAD, USABLE, Estimate, estimate, in_gb
from amir_verl.cli.model_shapes import ModelShape

STAYS_BESIDE_ENGINE = 0.35  # the most of a card that the state may take and stay on it while vLLM samples


def plan(
    shape: ModelShape,
    *,
    card: float,
    gpus: int,
    nodes: int = 1,
    lora_rank: int = 0,
    four_bit: bool = False,
    longest: int,
    offload: str | None = None,
    tokens: int | None = None,
    tensor_parallel: int | None = None,
    utilisation: float | None = None,
    flash_attention: bool = True,
    temperature: float = 1.0,
    samples: bool = True,
    reference: bool = False,
) -> Estimate:
    """The run with what was left open (None) chosen: the least offload that leaves room for one sequence of
    full length, then as many tokens a micro-batch as fit, up to `MOST_TOKENS`.

    Raises:
        ValueError: nothing fits, or an offload that does not exist; one line with what to set.
    """
    if offload is not None and offload not in OFFLOAD:
        raise ValueError(f"OFFLOAD must be {', '.join(OFFLOAD[:-1])} or {OFFLOAD[-1]}, got '{offload}'")
    split = tensor_parallel or _split(shape, card=card, gpus=gpus)
    reckoned = partial(
        estimate,
        shape,
        card=card,
        gpus=gpus,
        nodes=nodes,
        lora_rank=lora_rank,
        four_bit=four_bit,
        longest=longest,
        tensor_parallel=split,
        flash_attention=flash_attention,
        temperature=temperature,
        samples=samples,
        reference=reference,
    )
    run = reckoned()

    def engine_share(level: str) -> float:
        beside = 85 - int(100 * run.state / card) if level == "none" else 75
        return min(75, beside) / 100

    engine = 0.0
    if samples:
        engine = 2 * shape.parameters / split + ENGINE_OWN + longest * shape.kv_cache_bytes / split

    def with_room(level: str) -> tuple[int, str]:
        crowded = offload is None and utilisation is None and engine > engine_share(level) * card
        if level == "none" and samples and (run.state > STAYS_BESIDE_ENGINE * card or crowded):
            return 0, level
        fitting = 0
        for amount in range(1024, MOST_TOKENS + 1, 1024):
            there = reckoned(offload=level, tokens=amount)
            if there.update > USABLE * card:
                break
            fitting = amount
        return fitting, level

    levels = [with_room(level) for level in ([offload] if offload else OFFLOAD)]
    fitting, chosen = next((level for level in levels if level[0] >= min(longest, MOST_TOKENS)), levels[-1])
    if tokens is None and fitting < min(longest, MOST_TOKENS):
        raise ValueError(
            f"a sequence of {longest} tokens needs more than a {in_gb(card)} GB card for the update: shorten "
            "RESPONSE_LENGTH, or set TOKENS to try"
        )
    if utilisation is None:
        utilisation = engine_share(chosen)
        if engine > utilisation * card:
            weights = in_gb(2 * shape.parameters / split)
            raise ValueError(
                f"vLLM's weights alone take {weights} GB of a {in_gb(card)} GB card: use more GPUS, or set "
                "UTILISATION to try"
            )
    return reckoned(offload=chosen, tokens=tokens or max(fitting, longest), utilisation=utilisation)


def _split(shape: ModelShape, *, card: float, gpus: int) -> int:
    """Cards that share vLLM's weights: doubled until they take at most 45 % of each."""
    split = 1
    while 2 * shape.parameters / split > 0.45 * card and gpus % (2 * split) == 0:
        split *= 2
    return split
