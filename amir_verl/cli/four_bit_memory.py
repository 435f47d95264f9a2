"""Bytes of a frozen base in four bits, as platform/four_bit_weights.py makes it."""

from typing import NamedTuple

from amir_verl.cli.model_shapes import ModelShape

PLAIN = 2  # bytes of a weight that stays in bfloat16: embeddings, norms, biases, the output layer
BLOCK, BLOCKS = 64, 256  # weights that share a scale, scales that share another
# Tables of a map: float32 values of the 16 codes and of the 256 of a scale, and the scales' offset.
TABLES = 4 * (16 + 256 + 1)


class FourBitBase(NamedTuple):
    """Bytes of the whole base.

    Attributes:
        sharded: packed weights, and those that stay as they are; FSDP2 splits them over all cards.
        copied: scales, of which every card has all.
    """

    sharded: float
    copied: float


def four_bit_base(shape: ModelShape, *, plain: int = PLAIN) -> FourBitBase:
    """The base of a model; `plain` bytes a weight that is not packed."""
    frozen, frozen_count = shape.frozen_maps
    packed = shape.num_hidden_layers * shape.layer_map_parameters + frozen
    maps = shape.num_hidden_layers * len(shape.layer_maps) + frozen_count
    blocks = packed / BLOCK
    return FourBitBase(
        sharded=packed / 2 + plain * (shape.parameters - packed),
        copied=blocks + 4 * blocks / BLOCKS + TABLES * maps,
    )


def four_bit_gathered(shape: ModelShape) -> float:
    """What the update holds beside the shards: the root, two gathered layers, and one dequantized map."""
    small = shape.layer_parameters - shape.layer_map_parameters
    layer = shape.layer_map_parameters / 2 + PLAIN * small
    largest = max(inputs * outputs for inputs, outputs in shape.layer_maps)
    return PLAIN * shape.embedding_parameters + 2 * layer + PLAIN * largest
