"""A folder that holds all that a run downloads, carried to a machine without a network.

`run.py fetch bundle` fills one. The environment variable MLPERF_BUNDLE names it, and then it stands
in for the user's cache, the hub's and nltk's folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UsageError

VARIABLE = "MLPERF_BUNDLE"
README = "README.txt"  # written last, so that it marks a bundle that is whole
HUB = "hub"  # laid out as the hub's local cache
NLTK = "nltk_data"


def folder() -> Path | None:
    """The bundle in use."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else None


def use() -> None:
    """Has the libraries look into the bundle in use, and ask no network. Raises UsageError.

    To be called before any of them is imported.
    """
    there = folder()
    if there is None:
        return
    if not (there / README).is_file():
        raise UsageError(
            f"{VARIABLE}={os.environ[VARIABLE]}: there is no whole bundle (no {README}); make it "
            "with `python run.py fetch bundle FOLDER` where there is a network, or unset the "
            "variable."
        )
    nltk_folders = (str(there / NLTK), os.environ.get("NLTK_DATA"))
    os.environ["NLTK_DATA"] = os.pathsep.join(filter(None, nltk_folders))
    os.environ["HF_HUB_CACHE"] = str(there / HUB)
    os.environ["HF_HUB_OFFLINE"] = "1"


def refuse() -> None:
    """Raises UsageError where a bundle is in use: it is only read."""
    if folder() is not None:
        raise UsageError(
            f"fetch: {VARIABLE} is set, and a bundle in use is only read; unset it to download."
        )
