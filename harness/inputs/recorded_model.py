"""The model of a finished run as far as words need it: config and tokenizer, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.config import STAND_INS, RunConfig
from harness.errors import UsageError
from harness.inputs import hub, model_files
from harness.inputs.model import resolve_model
from harness.inputs.model_source import ModelSource, read_source


def recorded_model(settings: RunConfig, recorded: Mapping[str, Any]) -> ModelSource:
    """The model that config.json names in its `model`, weights or not.

    The hub is asked only where its local cache lacks the tokenizer. Raises UsageError.
    """
    if settings.model in STAND_INS or settings.weights == "dummy":
        return resolve_model(settings)  # built here, or no more than a shape
    return read_source(
        settings.model, _folder(settings, recorded), unofficial_because=None, source="config.json"
    )


def _folder(settings: RunConfig, recorded: Mapping[str, Any]) -> Path:
    """Where the tokenizer lies. Raises UsageError."""
    path, revision = recorded["path"], recorded["revision"]
    folder = Path(path or "").expanduser()
    if _is_whole(folder):
        return folder
    if revision is None:
        raise UsageError(
            f"The tokenizer of the run is gone: {folder} lacks it or is no folder any more. Put "
            "tokenizer.json, tokenizer_config.json and config.json of the same model back there."
        )
    repo = settings.model_repo
    cached = hub.cached_snapshot(repo, revision)
    if cached is not None and _is_whole(cached):
        return cached
    try:
        return hub.download_small_files(settings.model, repo, revision, None)
    except UsageError as error:
        raise UsageError(
            f"The tokenizer of the run, {repo} at revision {revision[:8]}, is no longer in the "
            f"hub's local cache and could not be fetched. {error}"
        ) from error


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and model_files.has_tokenizer(folder)
