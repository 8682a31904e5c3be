"""Where the page of a series lies: beside the folders of its runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.results.folder import RunFolder

_TIME_AND_CATEGORY = re.compile(r"\d{8}-\d{6}-(?:datacenter|edge)(?=-)")


def series_html(folders: Sequence[RunFolder]) -> Path:
    """series-YYYYMMDD-hhmmss-<category>.html, named after the first of the runs."""
    first = folders[0]
    match = _TIME_AND_CATEGORY.match(first.name)
    return first.path.parent / f"series-{match[0] if match else first.name}.html"
