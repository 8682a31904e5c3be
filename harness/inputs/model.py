"""Where the model comes from (demo, folder, hub or its cache), and whether it can be loaded."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import DEMO_MODEL, RunConfig
from harness.errors import UsageError
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION

SHIPPED_CONFIG_FOLDER = Path(__file__).parent / "data" / "llama3_1_8b_instruct"
HUB_TIMEOUT_S = 5.0  # a closed machine should say so at once; the hub's own client retries for 25 s
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
WEIGHT_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
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
    revision: (
        str | None
    )  # the commit of a hub model; None for a folder, or where the newest is taken
    vocab_size: int
    max_position_embeddings: int
    eos_token_ids: tuple[int, ...]
    bos_token_id: int | None
    has_tokenizer: bool
    unofficial_because: str | None  # a sentence for the report; None: the official model
    source: str  # where it came from, for people
    config: dict[str, Any] = field(repr=False)  # config.json
    special_token_ids: frozenset[int] = frozenset()  # ids that no ordinary text holds

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


def resolve_model(config: RunConfig) -> ModelSource:
    """Finds the model of `--model` and checks that it can be loaded, without loading it.

    The hub is asked only for what is not on this machine. Raises UsageError: folder missing or
    incomplete, gated model without a token or without access, unknown repository, no network.
    """
    dummy = config.weights == "dummy"
    folder = Path(config.model).expanduser()
    if config.model == DEMO_MODEL:
        return _demo_source()
    if folder.is_dir():
        return _folder_source(config.model, folder, needs_weights=not dummy)
    if _looks_like_a_folder(config.model):
        raise UsageError(
            f"--model {config.model}: there is no such folder; give one with config.json, weights "
            f"and tokenizer, or a hub name such as {OFFICIAL_MODEL}."
        )
    if config.model_repo == OFFICIAL_MODEL and dummy:
        return _shipped_source(config.model)
    return _hub_source(config.model, config.model_repo, needs_weights=not dummy)


def load_tokenizer(source: ModelSource) -> Any:
    """The model's own tokenizer. Raises UsageError where there is none or it cannot be read."""
    if not source.has_tokenizer:
        raise UsageError(
            f"--model {source.requested} has no tokenizer here, so text cannot be read or written; "
            "use --dataset synthetic, or --weights real."
        )
    from transformers import AutoTokenizer

    where: dict[str, Any] = {"local_files_only": True}
    if not Path(source.path).is_dir():
        where = {"revision": source.revision, "token": _hub_token()}
    try:
        return AutoTokenizer.from_pretrained(source.path, **where)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--model {source.requested}: its tokenizer cannot be loaded ({first_line(error)}); "
            "give a folder with tokenizer.json and tokenizer_config.json."
        ) from error


def encode(
    tokenizer: Any, texts: Sequence[str], *, add_special_tokens: bool = True
) -> list[list[int]]:
    """What `tokenizer.encode` gives for each text, nothing cut off."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        verbose=False,  # no warning for prompts above the tokenizer's model_max_length
    )
    token_ids: list[list[int]] = encoded["input_ids"]
    return token_ids


def decode(tokenizer: Any, answers: Sequence[Sequence[int]]) -> list[str]:
    """Token ids to texts without special tokens, as the official evaluation does."""
    texts: list[str] = tokenizer.batch_decode(
        [list(ids) for ids in answers], skip_special_tokens=True
    )
    return texts


def _demo_source() -> ModelSource:
    from harness.inputs.demo_model import ensure_demo_model

    return _read_source(
        DEMO_MODEL,
        ensure_demo_model(),
        unofficial_because=(
            "The model is the tiny demo model with random weights, not Llama-3.1-8B-Instruct."
        ),
        source="the demo model, built on this machine",
    )


def _shipped_source(requested: str) -> ModelSource:
    return _read_source(
        requested,
        SHIPPED_CONFIG_FOLDER,
        unofficial_because=None,  # --weights dummy is a departure of its own
        source=f"the config.json of {OFFICIAL_MODEL} shipped with this program, random weights",
    )


def _folder_source(requested: str, folder: Path, *, needs_weights: bool) -> ModelSource:
    """A folder has no name to go by: with the official shape, the user's word is taken for it."""
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"--model {requested}: the folder has no config.json; give the folder of a model "
            "in the hub's format."
        )
    if needs_weights:
        _check_folder(requested, folder)
    found = _read_source(requested, folder, unofficial_because=None, source=f"the folder {folder}")
    if not _has_official_shape(found):
        sentence = f"The model is {folder}, whose config.json is not that of Llama-3.1-8B-Instruct."
        return replace(found, unofficial_because=sentence)
    word = f"the folder {folder}, taken at the user's word to hold {OFFICIAL_MODEL}"
    return replace(found, source=word)


def _check_folder(requested: str, folder: Path) -> None:
    missing = _missing_weights(folder)
    if missing:
        raise UsageError(
            f"--model {requested}: the folder has no weights ({missing}); complete the download, "
            "or use --weights dummy for timing alone."
        )
    if not _has_tokenizer(folder):
        raise UsageError(
            f"--model {requested}: the folder has no tokenizer ({' or '.join(TOKENIZER_FILES)}); "
            "copy it from the model's page, or use --weights dummy with --dataset synthetic."
        )


def _hub_source(requested: str, repo: str, *, needs_weights: bool) -> ModelSource:
    """The local cache first: a model once downloaded needs neither network nor token."""
    from huggingface_hub.errors import HFValidationError

    official = repo == OFFICIAL_MODEL
    revision = OFFICIAL_MODEL_REVISION if official else None
    because = None if official else f"The model is {repo}, not {OFFICIAL_MODEL}."
    try:
        cached = _cached_snapshot(repo, revision)
    except HFValidationError as error:
        raise UsageError(
            f"--model {requested}: neither a folder nor a hub name such as {OFFICIAL_MODEL}."
        ) from error
    if cached and (not needs_weights or (not _missing_weights(cached) and _has_tokenizer(cached))):
        where = f"{repo} at revision {cached.name[:8]}, from the hub's local cache"
        found = _read_source(requested, cached, unofficial_because=because, source=where)
        return replace(found, revision=cached.name)
    token = _hub_token()
    _check_access(requested, repo, revision, token)
    snapshot = _download_small_files(requested, repo, revision, token)
    where = f"{repo} at revision {snapshot.name[:8]}, from the hub"
    found = _read_source(requested, snapshot, unofficial_because=because, source=where)
    return replace(found, path=repo, revision=snapshot.name)


def _cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's local cache that holds this model's config.json. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def _check_access(requested: str, repo: str, revision: str | None, token: str | None) -> None:
    """One short request for config.json; where it is refused, vLLM's download would be, too."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    url = hf_hub_url(repo, "config.json", revision=revision)
    page = f"https://huggingface.co/{repo}"
    at = f" at revision {revision}" if revision else ""
    try:
        get_hf_file_metadata(url, token=token or False, timeout=HUB_TIMEOUT_S)
    except GatedRepoError as error:
        if token:
            text = (
                f"the token given has no access to {repo}; accept the licence at {page} with the "
                "token's account and wait for the approval, or use --model demo."
            )
        else:
            text = (
                f"{repo} is gated and there is no token; accept the licence at {page} and set "
                "HF_TOKEN in .env, or use --model demo."
            )
        raise UsageError(f"--model {requested}: {text}") from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"--model {requested}: the hub has no model {repo} (or it is private and HF_TOKEN "
            "does not open it), and there is no such folder; correct the name."
        ) from error
    except (RevisionNotFoundError, EntryNotFoundError) as error:
        raise UsageError(
            f"--model {requested}: {repo} has no config.json{at}; give a model in the hub's format."
        ) from error
    except OfflineModeIsEnabled as error:
        raise UsageError(
            f"--model {requested}: {repo}{at} is not in the hub's local cache and HF_HUB_OFFLINE "
            "is set; unset it, or give --model FOLDER."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = "check HF_TOKEN" if status in (401, 403) else "try again later"
        raise UsageError(
            f"--model {requested}: the hub refused {repo} (HTTP {status}); {hint}, or give "
            "--model FOLDER."
        ) from error
    except transport_errors() as error:
        raise UsageError(
            f"--model {requested}: the hub cannot be reached ({type(error).__name__}) and "
            f"{repo}{at} is not in its local cache; download it elsewhere and give --model FOLDER, "
            "or use --model demo."
        ) from error


def _download_small_files(
    requested: str, repo: str, revision: str | None, token: str | None
) -> Path:
    """config.json and what else describes the model, a few kilobytes; returns their folder."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    def download(name: str) -> Path:
        return Path(hf_hub_download(repo, name, revision=revision, token=token or False))

    try:
        snapshot = download("config.json").parent
        for name in ("generation_config.json", "tokenizer_config.json"):
            with suppress(EntryNotFoundError):  # not every model has them
                download(name)
    except transport_errors() as error:
        raise UsageError(
            f"--model {requested}: the download of {repo} broke off ({first_line(error)}); try "
            "again."
        ) from error
    return snapshot


def transport_errors() -> tuple[type[Exception], ...]:
    """Failed connections. The hub's client moved from requests (OSError) to httpx to httpx2."""
    found: list[type[Exception]] = [OSError]
    for name in ("httpx", "httpx2"):
        with suppress(ImportError):
            found.append(importlib.import_module(name).HTTPError)
    return tuple(found)


def _hub_token() -> str | None:
    """The user's token. HF_TOKEN is set from its older name, which vLLM does not read."""
    older = os.environ.get("HUGGINGFACE_HUB_TOKEN")
    if older and not os.environ.get("HF_TOKEN"):
        os.environ["HF_TOKEN"] = older
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def _read_source(
    requested: str, folder: Path, *, unofficial_because: str | None, source: str
) -> ModelSource:
    config = _read_json(requested, folder / "config.json")
    generation: dict[str, Any] = {}
    if (folder / "generation_config.json").is_file():
        generation = _read_json(requested, folder / "generation_config.json")
    absent = [key for key in SHAPE_KEYS if not isinstance(config.get(key), int)]
    if absent:
        raise UsageError(
            f"--model {requested}: its config.json has no {absent[0]}; only models of Llama's "
            f"kind, such as {OFFICIAL_MODEL}, can run."
        )
    eos = _token_ids(generation.get("eos_token_id")) or _token_ids(config.get("eos_token_id"))
    bos = _token_ids(generation.get("bos_token_id")) or _token_ids(config.get("bos_token_id"))
    return ModelSource(
        requested=requested,
        path=str(folder),
        revision=None,
        vocab_size=config["vocab_size"],
        max_position_embeddings=config["max_position_embeddings"],
        eos_token_ids=eos,
        bos_token_id=bos[0] if bos else None,
        has_tokenizer=_has_tokenizer(folder),
        unofficial_because=unofficial_because,
        source=source,
        config=config,
        special_token_ids=frozenset(eos + bos) | _added_tokens(requested, folder),
    )


def _read_json(requested: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--model {requested}: {path.name} cannot be read ({first_line(error)}); download it "
            "again."
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"--model {requested}: {path.name} is not a JSON object; download it again."
        )
    return content


def _token_ids(value: Any) -> tuple[int, ...]:
    """Configs write one id, a list of them, or null."""
    if isinstance(value, int):
        return (value,)
    return tuple(value) if isinstance(value, list) else ()


def _added_tokens(requested: str, folder: Path) -> frozenset[int]:
    """Ids of the special tokens. Newer tokenizers list them in tokenizer.json alone."""
    added: list[Any] = []
    if (folder / "tokenizer_config.json").is_file():
        config = _read_json(requested, folder / "tokenizer_config.json")
        added = list(config.get("added_tokens_decoder") or ())
    if not added and (folder / "tokenizer.json").is_file():
        tokens = _read_json(requested, folder / "tokenizer.json").get("added_tokens") or ()
        added = [token["id"] for token in tokens]
    return frozenset(map(int, added))


def _missing_weights(folder: Path) -> str | None:
    """What weight files a folder lacks, in words; None when it has them all."""
    for name in WEIGHT_INDEXES:
        if (folder / name).is_file():
            shards = set(_read_json(str(folder), folder / name).get("weight_map", {}).values())
            absent = sorted(shard for shard in shards if not (folder / shard).is_file())
            return f"{len(absent)} of {len(shards)} shards missing" if absent else None
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
        return None
    return "no *.safetensors and no *.bin"


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _has_official_shape(found: ModelSource) -> bool:
    official = _read_source("", SHIPPED_CONFIG_FOLDER, unofficial_because=None, source="")
    same_shape = all(found.config.get(key) == official.config[key] for key in SHAPE_KEYS)
    return same_shape and set(found.eos_token_ids) == set(official.eos_token_ids)


def _looks_like_a_folder(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.count("/") > 1


def first_line(error: Exception) -> str:
    """An error's first line, for the middle of a sentence; the hub's client writes paragraphs."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
