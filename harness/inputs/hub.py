"""What is asked of the model hub and of its local cache, and how its refusals read."""

from __future__ import annotations

import importlib
import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path

from harness import formatting
from harness.errors import UsageError, first_line
from harness.inputs.cache import free_bytes
from harness.inputs.model_files import VOCABULARIES
from harness.language import joined, phrase

_NOT_IN_A_TOKEN = re.compile(r"[^A-Za-z0-9_.~+/=-]")  # RFC 6750, 2.1
TIMEOUT_S = 5.0  # a closed machine should say so at once; the hub's own client retries for 25 s


def cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's local cache that holds this model's config.json. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def may_exist(repo: str, name: str, revision: str | None) -> bool:
    """Whether the hub may have a file that the local cache has not. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    # None: nobody has asked for it. Else it is there, or the hub once said that there is none.
    return try_to_load_from_cache(repo, name, revision=revision) is None


def check_room(requested: str, repo: str, needed_bytes: int) -> None:
    """Raises UsageError where the weights do not fit beside what the local cache holds."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    there = sum(path.stat().st_size for path in blobs.glob("*"))
    free = free_bytes(cache)
    if free + there < needed_bytes:
        raise UsageError(
            f"--model {requested}: its weights take {formatting.gibibytes(needed_bytes)}, and "
            f"{formatting.gibibytes(free)} are free in the hub's local cache ({cache}); free some, "
            "or point HF_HOME to a larger disk."
        )


def check_access(
    requested: str, repo: str, revision: str | None, token: str | None, lacking: str | None
) -> None:
    """One short request for config.json; where it is refused, vLLM's download would be, too.

    `lacking` is what the local cache lacks of the model; None: it has nothing of it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        url = hf_hub_url(repo, "config.json", revision=revision)
        get_hf_file_metadata(url, token=token or False, timeout=TIMEOUT_S)
    except GatedRepoError as error:
        raise UsageError(joined("", (f"--model {requested}: ", _gated(repo, token)))) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"--model {requested}: the hub has no model {repo} (or it is private and HF_TOKEN "
            "does not open it), and there is no such folder; correct the name."
        ) from error
    except (RevisionNotFoundError, EntryNotFoundError) as error:
        raise UsageError(
            phrase(
                "--model {requested}: {repo} has no config.json{at}; give a model in the hub's "
                "format.",
                requested=requested, repo=repo, at=_at(revision),
            )
        ) from error  # fmt: skip
    except OfflineModeIsEnabled as error:
        raise UsageError(
            phrase(
                "--model {requested}: {repo}{at} {cached} and HF_HUB_OFFLINE is set; unset it, or "
                "give --model FOLDER.",
                requested=requested, repo=repo, at=_at(revision), cached=_cached(lacking),
            )
        ) from error  # fmt: skip
    except HfHubHTTPError as error:
        raise UsageError(_refused(requested, repo, error.response.status_code)) from error
    except transport_errors() as error:
        raise UsageError(
            phrase(
                "--model {requested}: the hub cannot be reached ({error}) and {repo}{at} {cached}; "
                "download it elsewhere and give --model FOLDER, or use --model demo.",
                requested=requested, error=type(error).__name__, repo=repo, at=_at(revision),
                cached=_cached(lacking),
            )
        ) from error  # fmt: skip
    except ValueError as error:
        raise UsageError(
            f"--model {requested}: there is no way to the hub ({first_line(error)}); correct "
            "HF_ENDPOINT, or the proxy in HTTPS_PROXY."
        ) from error


def _at(revision: str | None) -> str:
    return phrase(" at revision {revision}", revision=revision) if revision else ""


def _cached(lacking: str | None) -> str:
    if lacking is None:
        return phrase("is not in its local cache")
    return phrase("is in its local cache without {lacking}", lacking=lacking)


def _refused(requested: str, repo: str, status: int) -> str:
    hint = phrase("check HF_TOKEN") if status in (401, 403) else phrase("try again later")
    return phrase(
        "--model {requested}: the hub refused {repo} (HTTP {status}); {hint}, or give "
        "--model FOLDER.",
        requested=requested, repo=repo, status=status, hint=hint,
    )  # fmt: skip


def _gated(repo: str, token: str | None) -> str:
    page = f"https://huggingface.co/{repo}"
    if token:
        return phrase(
            "the token given has no access to {repo}; accept the licence at {page} with the "
            "token's account and wait for the approval, or use --model demo.",
            repo=repo, page=page,
        )  # fmt: skip
    return phrase(
        "{repo} is gated and there is no token; accept the licence at {page} and set HF_TOKEN in "
        ".env, or use --model demo.",
        repo=repo, page=page,
    )  # fmt: skip


def download_small_files(
    requested: str, repo: str, revision: str | None, lacking: str | None
) -> Path:
    """All that describes the model and its tokenizer, a few megabytes; returns their folder.

    `lacking` is what the local cache lacks of the model; None: it has nothing of it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    token = user_token()
    check_access(requested, repo, revision, token, lacking)

    def download(name: str) -> Path | None:
        try:
            path = hf_hub_download(repo, name, revision=revision, token=token or False)
        except RemoteEntryNotFoundError:  # the hub's own word; no answer is another error
            return None
        except transport_errors() as error:
            raise UsageError(
                f"--model {requested}: {name} of {repo} could not be downloaded "
                f"({first_line(error.__cause__ or error)}); try again."
            ) from error
        return Path(path)

    config = download("config.json")
    if config is None:
        raise UsageError(f"--model {requested}: {repo} has no config.json any more; try again.")
    for name in ("generation_config.json", "tokenizer_config.json", "hf_quant_config.json"):
        download(name)
    for names in VOCABULARIES:
        if all(download(name) for name in names):
            break
    return config.parent


def user_token() -> str | None:
    """The user's token. HF_TOKEN is set from its older name, which vLLM does not read.

    Raises UsageError for what cannot be a token.
    """
    older = os.environ.get("HUGGINGFACE_HUB_TOKEN")
    if older and not os.environ.get("HF_TOKEN"):
        os.environ["HF_TOKEN"] = older
    from huggingface_hub import get_token

    try:
        token: str | None = get_token()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The token that the hub's client keeps cannot be read ({first_line(error)}); write "
            "HF_TOKEN=... into .env."
        ) from error
    if wrong := _NOT_IN_A_TOKEN.search(token or ""):
        name = unicodedata.name(wrong.group(), "a control character").lower()
        raise UsageError(
            f"HF_TOKEN holds U+{ord(wrong.group()):04X} ({name}), which no token does; write it "
            "without quotes into .env: letters, digits and _ alone."
        )
    return token


def transport_errors() -> tuple[type[Exception], ...]:
    """Failed connections. The hub's client moved from requests (OSError) to httpx to httpx2."""
    errors: list[type[Exception]] = [OSError]
    for name in ("httpx", "httpx2"):
        with suppress(ImportError):
            module = importlib.import_module(name)
            errors += [module.HTTPError, module.InvalidURL]  # the latter: an odd HF_ENDPOINT
    return tuple(errors)
