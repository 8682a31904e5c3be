"""The pages in a real browser: on a phone, a tablet and a desk, light and dark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import report
from harness.report import history, series_page
from harness.report.make import make_report
from tests import browser
from tests.builders import write_evaluation
from tests.conftest import PROJECT
from tests.report.comparisons import two_runs
from tests.report.conftest import PROBES, timed_run
from tests.report.test_run_page import whole_run

# An interpreter that has PySide6-WebEngine; by default the one that runs the tests.
BROWSER_PYTHON = os.environ.get("BROWSER_PYTHON", sys.executable)
TIMEOUT_S = 300
NOTHING_TO_COPY = ("comparison", "history")
LEAST_PICTURES = {"history": 1, "evaluation": 2}  # of the others 4
WHITE_ENOUGH, BLACK_ENOUGH = 200, 60  # of 255


@pytest.fixture(scope="module")
def browser_there() -> None:
    """Skips where no browser is installed, or none can be started."""
    code = "from PySide6 import QtWebEngineWidgets"
    done = subprocess.run([BROWSER_PYTHON, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.skip(f"no browser: {reason} (pip install PySide6-WebEngine, or set BROWSER_PYTHON)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, all figures drawn."""
    root = tmp_path_factory.mktemp("pages")
    offline = whole_run(root / "20261123-141500-datacenter-offline")
    server = timed_run(root, probes=PROBES)
    for folder in (offline, server):
        make_report(folder)
    series = series_page.write([offline, server])
    assert series is not None
    evaluation = write_evaluation(root / "20261124-093000-mmlu")
    report.make_report(evaluation)
    compared = root / "compared"
    pair = two_runs(tmp_path_factory.mktemp("pair"))
    assert report.main(["compare", *map(str, pair), "--output", str(compared)]) == 0
    return {
        "offline": offline / "report.html",
        "server": server / "report.html",
        "series": series,
        "comparison": compared / "comparison.html",
        "history": history.write(root),
        "evaluation": evaluation / "report.html",
    }


@pytest.fixture(scope="module")
def seen(browser_there: None, pages: dict[str, Path]) -> dict[tuple[str, int, str], dict[str, Any]]:
    """What the browser says of each page, by kind, width and scheme."""
    assert browser_there is None
    found = {}
    kinds = {str(path): kind for kind, path in pages.items()}
    for scheme in ("light", "dark"):
        done = subprocess.run(
            [BROWSER_PYTHON, str(Path(browser.__file__)), scheme, *kinds],
            capture_output=True, text=True, check=False, cwd=PROJECT, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.stdout, done.stderr
        for page in json.loads(done.stdout.splitlines()[-1]):
            found[kinds[page["page"]], page["window"], scheme] = page
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", browser.WIDTHS)
@pytest.mark.parametrize(
    "kind", ["offline", "server", "series", "comparison", "history", "evaluation"]
)
def test_a_page_can_be_read_on_this_screen(
    seen: dict[tuple[str, int, str], dict[str, Any]],
    pages: dict[str, Path],
    kind: str,
    width: int,
    scheme: str,
) -> None:
    found = seen[kind, width, scheme]
    assert found["loaded"]
    assert found["scroll_width"] <= found["width"] <= width  # nothing to push sideways
    assert found["beyond"] == [] and found["cut_off"] == []
    assert found["torn"] == []  # neither a name in a table nor a flag
    assert found["heading"] and found["pictures"] >= LEAST_PICTURES.get(kind, 4)
    assert found["messages"] == []  # no complaint of the script's
    assert found["requests"] == [pages[kind].as_uri()]  # and nothing was asked for elsewhere
    ink, paper = (brightness(found[name]) for name in ("color", "background"))
    if scheme == "light":
        assert ink < BLACK_ENOUGH and paper > WHITE_ENOUGH
    else:
        assert paper < BLACK_ENOUGH and ink > WHITE_ENOUGH
    assert (found["buttons"] == 0) == (kind in NOTHING_TO_COPY)
    assert found["copied"] == (None if kind in NOTHING_TO_COPY else "copied")


def brightness(color: str) -> float:
    """Of a computed colour, 'rgb(34, 34, 34)'."""
    parts = [int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / len(parts)
