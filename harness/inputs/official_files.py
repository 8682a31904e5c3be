"""MLCommons' own files of articles: downloaded, or known again by their checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import formatting
from harness.errors import UsageError
from harness.inputs import downloads
from harness.inputs.cache import cache_folder, check_room, locked, writing
from harness.inputs.downloads import BrokeOff, part_of, sha256_of, size_of
from harness.language import phrase
from harness.terminal import Terminal

# What language/llama3.1-8b/README.md:131-179 of mlcommons/inference leads to.
STORAGE = "https://inference.mlcommons-storage.org"
FOLDER = f"{STORAGE}/llama3.1_8b/datasets"
DOWNLOADER = "https://github.com/mlcommons/r2-downloader"


@dataclass(frozen=True)
class OfficialFile:
    """A file of articles, known to the byte."""

    name: str
    sha256: str
    uri: str  # what MLCommons' downloader is given

    @property
    def address(self) -> str:
        """Where it lies."""
        return f"{FOLDER}/{self.name}"


# Beside each file MLCommons publishes an MD5 (metadata/*.md5). The SHA-256 are those by which a
# verification suite of Intel's checks its downloads, and its SHA-256 of the .md5 file of the 5,000
# articles is that of MLCommons' line "b9d994f8a8431c89f57b38d33b94a00d  sample_cnn_eval_5000.json".
OFFICIAL_FILES = {
    "datacenter": OfficialFile(
        name="cnn_eval.json",
        sha256="6d066a21bd615909466885d53b664b73c5aabc32d60c1cbd03f4293de6430026",
        uri=f"{STORAGE}/metadata/llama3-1-8b-cnn-eval.uri",
    ),
    "edge": OfficialFile(
        name="sample_cnn_eval_5000.json",
        sha256="2d1a21eadd8ef7547d2f5fba939a9e1886a22ee926fe3781cb8934d3a01445db",
        uri=f"{STORAGE}/metadata/llama3-1-8b-sample-cnn-eval-5000.uri",
    ),
}


class NotReached(UsageError):
    """MLCommons' storage does not answer."""


def ensure(category: str, flag: str) -> Path:
    """The official file of a category in the user's cache, downloaded and verified.

    A repeated call goes on where an interrupted one was. Raises UsageError.
    """
    file, cache = OFFICIAL_FILES[category], cache_folder()
    path = cache / file.name
    with writing(flag, cache), locked(cache, file.name):
        if not (path.is_file() and sha256_of(path) == file.sha256):
            _download(file, path, flag)
    return path


def verify(category: str, path: Path, flag: str) -> None:
    """Raises UsageError unless a file is the official one of a category, to the byte."""
    file = OFFICIAL_FILES[category]
    try:
        found = sha256_of(path)
    except OSError as error:
        raise UsageError(
            f"{flag}: the file cannot be read ({error.strerror}); give the official {file.name}."
        ) from error
    if found != file.sha256:
        raise UsageError(
            f"{flag}: this is not MLCommons' {file.name} (SHA-256 {found[:12]}..., not "
            f"{file.sha256[:12]}...); leave the flag out, and it is downloaded."
        )


def _download(file: OfficialFile, path: Path, flag: str) -> None:
    """Raises UsageError, OSError; a file whose bytes are not the expected ones is not kept."""
    part = part_of(path)
    try:
        size_bytes = downloads.length_of(file.address)
    except BrokeOff as error:
        raise NotReached(
            f"{flag}: MLCommons' storage cannot be reached ({error}); behind a proxy set "
            f"HTTPS_PROXY, or fetch {file.name} elsewhere ({DOWNLOADER}, with {file.uri}) and give "
            "--dataset-path FILE."
        ) from error
    check_room(flag, file.name, size_bytes - size_of(part), path.parent)
    terminal = Terminal()
    terminal.say(
        phrase(
            "downloading {name} from MLCommons: {size}, to {folder} ...",
            name=file.name, size=formatting.megabytes(size_bytes), folder=path.parent,
        )
    )  # fmt: skip
    try:
        with terminal.downloading(file.name, size_bytes) as show:
            downloads.resume(file.address, part, size_bytes, show)
    except BrokeOff as error:
        raise UsageError(
            f"{flag}: the download of {file.name} broke off after "
            f"{formatting.megabytes(size_of(part))} of {formatting.megabytes(size_bytes)} "
            f"({error}); type the command again, and it goes on from there."
        ) from error
    if found := downloads.accept(part, path, file.sha256):
        raise UsageError(
            f"{flag}: what came from {file.address} is not the file that was expected (SHA-256 "
            f"{found[:12]}..., not {file.sha256[:12]}...), and was deleted; type the command again."
        )
