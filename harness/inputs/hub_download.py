"""A whole model from the hub into its local cache, ahead of a run, with every checksum verified."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from harness.errors import UsageError, first_line
from harness.inputs import hub, weight_files
from harness.inputs.cache import FULL, writing
from harness.inputs.downloads import BLOCK_BYTES, sha256_of
from harness.language import phrase
from harness.terminal import Terminal

# Meta's own format of the same weights lies in original/, as large again.
OTHER_FORMATS = ("original/*", "*.pth", "*.gguf", "*.onnx")
DESCRIPTIONS = ("*.json", "*.model", "*.txt", "*.jinja", "LICENSE*", "USE_POLICY*")
ELSEWHERE = "point HF_HOME to a larger disk"
_SHA256, _GIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


def ensure(requested: str, repo: str, revision: str | None) -> Path:
    """The folder of a model in the hub's local cache, whole. Raises UsageError.

    The hub's client goes on where an interrupted download was.
    """
    folder = _download(requested, repo, revision, "*.safetensors")
    if weight_files.missing(folder):  # older models have no other format
        folder = _download(requested, repo, revision, "*.bin")
    if missing := weight_files.missing(folder):
        raise UsageError(
            f"--model {requested}: the hub gave no whole weights of {repo} ({missing}); type the "
            "command again, or choose another model."
        )
    verify(requested, folder)
    return folder


def verify(requested: str, folder: Path) -> None:
    """Raises UsageError for a file of the hub's local cache that was damaged, and deletes it.

    The cache names a file by its checksum.
    """
    Terminal().say(phrase("verifying the checksums in {folder} ...", folder=folder))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.is_symlink() and not _is_whole(path.resolve()):
            path.resolve().unlink()
            path.unlink()
            raise UsageError(
                f"--model {requested}: {path.name} in the hub's local cache was damaged and has "
                "been deleted; type the command again, and it is downloaded anew."
            )


def _download(requested: str, repo: str, revision: str | None, weights: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import RevisionResolutionError, XetDownloadError

    flag = f"--model {requested}"
    try:
        folder: str = snapshot_download(
            repo,
            revision=revision,
            token=hub.user_token() or False,
            allow_patterns=[weights, *DESCRIPTIONS],
            ignore_patterns=list(OTHER_FORMATS),
        )
    except (RevisionResolutionError, XetDownloadError, *hub.transport_errors()) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            with writing(flag, Path(constants.HF_HUB_CACHE), ELSEWHERE):
                raise
        raise UsageError(
            f"{flag}: the download of {repo} broke off ({first_line(error.__cause__ or error)}); "
            "type the command again, and it goes on from there."
        ) from error
    return Path(folder)


def _is_whole(blob: Path) -> bool:
    """Holds a file against its name: SHA-256 of a large one, git's own checksum of a small one."""
    if _SHA256.fullmatch(blob.name):
        return sha256_of(blob) == blob.name
    if not _GIT.fullmatch(blob.name):
        return True
    digest = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
    with blob.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == blob.name
