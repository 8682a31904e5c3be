"""A model as its config files describe it: its shape, its size in memory, its special tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.inputs import model_files, quantization
from harness.inputs.quantization import Quantization
from harness.rounds import OFFICIAL_MODEL

SHIPPED_CONFIG_FOLDER = Path(__file__).parent / "data" / "llama3_1_8b_instruct"
# What a model is sized by. Together they tell Llama-3.1-8B from other sizes and from Llama-3; its
# EOS ids tell Instruct from the base model.
SHAPE_KEYS = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
)


@dataclass(frozen=True)
class ModelSource:
    """A model that can be loaded, and what its config.json says of it."""

    requested: str  # as typed after --model
    path: str  # a local folder, or a hub repository for vLLM to download
    revision: str | None  # the commit of a hub model; None: a folder, or the newest commit
    vocab_size: int
    max_position_embeddings: int
    eos_token_ids: tuple[int, ...]
    bos_token_id: int | None
    has_tokenizer: bool
    unofficial_because: str | None  # a sentence for the report; None: the official model
    source: str  # where it came from, for people
    config: dict[str, Any] = field(repr=False)  # config.json
    special_token_ids: frozenset[int] = frozenset()  # ids that no ordinary text holds
    quantization: Quantization | None = None  # before it came here; None: bf16 as published
    tokenizer_folder: str | None = None  # where its tokenizer lies; None: with the model

    @property
    def shape(self) -> dict[str, int]:
        """Its sizes by plain names; a report counts the work of a token by them."""
        hidden, heads = self.config["hidden_size"], self.config["num_attention_heads"]
        return {
            "layers": self.config["num_hidden_layers"],
            "hidden": hidden,
            "inner": self.config["intermediate_size"],
            "heads": heads,
            "kv_heads": self.config["num_key_value_heads"],
            "head_size": int(self.config.get("head_dim") or hidden // heads),
            "vocabulary": self.vocab_size,
        }

    @property
    def parameter_count(self) -> int:
        """Parameters of a Llama of this shape: 8,030,261,248 for Llama-3.1-8B."""
        shape, hidden = self.shape, self.shape["hidden"]
        all_heads = 2 * shape["heads"] + 2 * shape["kv_heads"]  # q and o; k and v
        attention = hidden * shape["head_size"] * all_heads
        mlp = 3 * hidden * shape["inner"]
        norms = 2 * hidden
        tables = 1 if self.config.get("tie_word_embeddings") else 2
        layers = shape["layers"] * (attention + mlp + norms)
        return layers + hidden + tables * self.vocab_size * hidden

    def loaded_bytes(self, precision: str) -> int:
        """Bytes of all weights in memory: 16,060,522,496 for Llama-3.1-8B in bf16.

        Of a checkpoint that came quantised, those of its files; where they are not here yet, as
        many as its number format takes, the embeddings and the output layer staying 16 bits.
        """
        if self.quantization is None:
            return self.weights_bytes(1 if precision == "fp8" else 2)
        if self.quantization.stored_bytes is not None:
            return self.quantization.stored_bytes
        tables = 2 * self.vocab_size * self.config["hidden_size"]
        bits = self.quantization.bits or quantization.HALF_BITS
        return int(self.weights_bytes(bits / 8) + tables * (2 - bits / 8))

    def kv_bytes_per_token(self, bytes_per_value: int) -> int:
        """Bytes of one token's keys and values: 131,072 for Llama-3.1-8B in bf16."""
        shape = self.shape
        return 2 * shape["kv_heads"] * shape["head_size"] * shape["layers"] * bytes_per_value

    def weights_bytes(self, bytes_per_parameter: float) -> int:
        """Bytes of all weights: 2 bytes a parameter for bf16 and fp16, about 1 for fp8."""
        return int(self.parameter_count * bytes_per_parameter)

    @property
    def least_weights_bytes(self) -> int:
        """What the files of the weights hold at least: 4 bits a parameter where quantised."""
        return self.weights_bytes(0.5 if "quantization_config" in self.config else 2)


def read_source(
    requested: str, folder: Path, *, unofficial_because: str | None, source: str
) -> ModelSource:
    """The model that the config files of a folder describe. Refuses one not of Llama's kind."""
    config = model_files.read_object(requested, folder / "config.json")
    generation: dict[str, Any] = {}
    if (folder / "generation_config.json").is_file():
        generation = model_files.read_object(requested, folder / "generation_config.json")
    absent = [key for key in SHAPE_KEYS if not _is_size(config.get(key))]
    if absent:
        raise UsageError(
            f"--model {requested}: its config.json has no {absent[0]}; only models of Llama's "
            f"kind, such as {OFFICIAL_MODEL}, can run."
        )
    eos, bos = (
        model_files.token_ids(generation.get(name)) or model_files.token_ids(config.get(name))
        for name in ("eos_token_id", "bos_token_id")
    )
    return ModelSource(
        requested=requested,
        path=str(folder),
        revision=None,
        vocab_size=config["vocab_size"],
        max_position_embeddings=config["max_position_embeddings"],
        eos_token_ids=eos,
        bos_token_id=bos[0] if bos else None,
        has_tokenizer=model_files.has_tokenizer(folder),
        unofficial_because=unofficial_because,
        source=source,
        config=config,
        special_token_ids=frozenset(eos + bos) | model_files.added_tokens(requested, folder),
        quantization=quantization.read(requested, folder, config),
    )


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def has_official_shape(model: ModelSource) -> bool:
    """Whether its config files say the sizes of Llama-3.1-8B and the end tokens of Instruct."""
    official = read_source("", SHIPPED_CONFIG_FOLDER, unofficial_because=None, source="")
    same_shape = all(model.config.get(key) == official.config[key] for key in SHAPE_KEYS)
    return same_shape and set(model.eos_token_ids) == set(official.eos_token_ids)
