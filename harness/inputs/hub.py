"""What is asked of the model hub and of its local cache, and how its refusals read."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path

from harness.errors import UsageError, first_line

TIMEOUT_S = 5.0  # a closed machine should say so at once; the hub's own client retries for 25 s


def cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's local cache that holds this model's config.json. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def check_access(requested: str, repo: str, revision: str | None, token: str | None) -> None:
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
        get_hf_file_metadata(url, token=token or False, timeout=TIMEOUT_S)
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


def download_small_files(
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


def user_token() -> str | None:
    """The user's token. HF_TOKEN is set from its older name, which vLLM does not read."""
    older = os.environ.get("HUGGINGFACE_HUB_TOKEN")
    if older and not os.environ.get("HF_TOKEN"):
        os.environ["HF_TOKEN"] = older
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def transport_errors() -> tuple[type[Exception], ...]:
    """Failed connections. The hub's client moved from requests (OSError) to httpx to httpx2."""
    errors: list[type[Exception]] = [OSError]
    for name in ("httpx", "httpx2"):
        with suppress(ImportError):
            errors.append(importlib.import_module(name).HTTPError)
    return tuple(errors)
