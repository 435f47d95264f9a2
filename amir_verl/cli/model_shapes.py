"""What of a model's shape decides how much memory it needs, and the shapes of the recipes' models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# model_type of a published config.json -> (bias in q, k and v; norm of q and k; norms a layer)
_FAMILIES = {
    "qwen2": (True, False, 2),
    "qwen3": (False, True, 2),
    "llama": (False, False, 2),
    "mistral": (False, False, 2),
    "gemma3_text": (False, True, 4),
}
# Gemma 3's published files leave out what equals the class's default (transformers 5, Gemma3TextConfig).
_GEMMA3_TEXT = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a dense decoder, under the names of a Hugging Face config.json.

    Attributes:
        frozen: parameters beside the language model (a vision tower), which text does not train.
        frozen_maps: of these, those of linear maps (they can be held in four bits), and the number of maps.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    frozen: int = 0
    frozen_maps: tuple[int, int] = (0, 0)

    @property
    def query_size(self) -> int:
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Of keys, and again of values."""
        return self.num_key_value_heads * self.head_dim

    @property
    def embedding_parameters(self) -> int:
        """Of one table of embeddings; tied, it is the output layer too."""
        return self.vocab_size * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        bias, head_norms, norms = _FAMILIES[self.model_type]
        attention = 2 * self.hidden_size * (self.query_size + self.key_value_size)
        return (
            attention
            + 3 * self.hidden_size * self.intermediate_size
            + bias * (self.query_size + 2 * self.key_value_size)
            + head_norms * 2 * self.head_dim
            + norms * self.hidden_size
        )

    @property
    def parameters(self) -> int:
        """All of them, the frozen ones too."""
        tables = 1 if self.tie_word_embeddings else 2
        layers = self.num_hidden_layers * self.layer_parameters
        return tables * self.embedding_parameters + layers + self.hidden_size + self.frozen

    @property
    def layer_maps(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of every linear map of a layer."""
        return (
            (self.hidden_size, self.query_size),
            (self.hidden_size, self.key_value_size),
            (self.hidden_size, self.key_value_size),
            (self.query_size, self.hidden_size),
            (self.hidden_size, self.intermediate_size),
            (self.hidden_size, self.intermediate_size),
            (self.intermediate_size, self.hidden_size),
        )

    @property
    def layer_map_parameters(self) -> int:
        """Weights of a layer's linear maps, without biases and norms."""
        return sum(inputs * outputs for inputs, outputs in self.layer_maps)

    def lora_parameters(self, rank: int) -> int:
        """Adapters of this rank on every linear map of the layers (verl's `target_modules=all-linear`)."""
        return self.num_hidden_layers * rank * sum(inputs + outputs for inputs, outputs in self.layer_maps)

    @property
    def kv_cache_bytes(self) -> int:
        """Of one token in bfloat16; at most, since Gemma 3's sliding layers keep 1,024 tokens."""
        return self.num_hidden_layers * 2 * self.key_value_size * 2


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape in a published config.json.

    Raises:
        ValueError: a family that is not known here, or a config that lacks a size.
    """
    text = config.get("text_config") or config
    family = text.get("model_type", "none")
    if family not in _FAMILIES:
        raise ValueError(f"models of type {family} are not reckoned (known: {', '.join(_FAMILIES)})")
    # `tie_word_embeddings` of a model with a vision tower stands at the top; transformers' default is True.
    sizes = {"tie_word_embeddings": config.get("tie_word_embeddings", True)}
    if family == "gemma3_text":
        sizes |= _GEMMA3_TEXT
    sizes |= {name: text[name] for name in ModelShape.__annotations__ if text.get(name) is not None}
    sizes.setdefault("num_key_value_heads", sizes.get("num_attention_heads"))
    if "head_dim" not in sizes and {"hidden_size", "num_attention_heads"} <= sizes.keys():
        sizes["head_dim"] = sizes["hidden_size"] // sizes["num_attention_heads"]
    if missing := [
        name for name in ModelShape.__annotations__ if sizes.get(name) is None and "frozen" not in name
    ]:
        raise ValueError(f"the model's config.json lacks {', '.join(missing)}")
    if vision := config.get("vision_config"):
        sizes["frozen"] = _siglip_parameters(vision, sizes["hidden_size"])
        sizes["frozen_maps"] = _siglip_maps(vision)
    return ModelShape(**sizes)


def _siglip_parameters(vision: Mapping[str, Any], text_size: int) -> int:
    """Gemma 3's vision tower and the map from it to the language model."""
    size, inner = vision["hidden_size"], vision["intermediate_size"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    embeddings = 3 * vision["patch_size"] ** 2 * size + size + patches * size
    layer = 4 * (size * size + size) + 2 * size * inner + inner + size + 2 * 2 * size
    return embeddings + vision["num_hidden_layers"] * layer + 2 * size + size * text_size + size


def _siglip_maps(vision: Mapping[str, Any]) -> tuple[int, int]:
    """Weights of the tower's linear maps, and how many: attention's four and the MLP's two a layer."""
    size, inner, layers = (vision[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    return layers * (4 * size * size + 2 * size * inner), 6 * layers


def _qwen(hidden: int, intermediate: int, layers: int, heads: int, groups: int, **sizes: Any) -> ModelShape:
    return ModelShape(
        model_type="qwen2",
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=hidden // heads,
        **sizes,
    )


_SIGLIP = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "image_size": 896,
    "patch_size": 14,
}

# As published: huggingface.co/Qwen and huggingface.co/google, config.json of each.
PUBLISHED: dict[str, ModelShape] = {
    "qwen2.5-0.5b": _qwen(896, 4864, 24, 14, 2, vocab_size=151_936, tie_word_embeddings=True),
    "qwen2.5-1.5b": _qwen(1536, 8960, 28, 12, 2, vocab_size=151_936, tie_word_embeddings=True),
    "qwen2.5-3b": _qwen(2048, 11008, 36, 16, 2, vocab_size=151_936, tie_word_embeddings=True),
    "qwen2.5-7b": _qwen(3584, 18944, 28, 28, 4, vocab_size=152_064, tie_word_embeddings=False),
    "gemma3-1b": shape_of(
        {
            "model_type": "gemma3_text",
            "vocab_size": 262_144,
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
        }
    ),
    "gemma3-4b": shape_of(
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 2560,
                "intermediate_size": 10_240,
                "num_hidden_layers": 34,
            },
            "vision_config": _SIGLIP,
        }
    ),
}
