"""comparison.html: one file to forward, in light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

import report
from harness.report.svg import inline
from tests.report.comparisons import two_runs
from tests.report.html import (
    Page,
    check_it_needs_nothing_beside_it,
    check_its_colours_are_for_light_and_dark,
    check_no_name_is_there_twice,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of two runs."""
    output = tmp_path_factory.mktemp("comparison")
    pair = two_runs(tmp_path_factory.mktemp("pair"))
    assert report.main(["compare", *map(str, pair), "--output", str(output)]) == 0
    return output


def test_page_and_markdown_say_the_same(written: Path) -> None:
    words = Page((written / "comparison.html").read_text()).words
    markdown = (written / "comparison.md").read_text()
    for sentence in (
        "B is slower. The latency (whole answer, p50) of B is 50.0 % higher than that of A",
        "Runs of the same thing also differ from start to start",
    ):
        assert sentence in words and sentence in markdown
    assert "| settings | --precision | bf16 | fp8 |" in markdown
    assert "![latency](figures/latency.svg)" in markdown


def test_the_page_needs_nothing_beside_it(written: Path) -> None:
    page = Page((written / "comparison.html").read_text())
    check_it_needs_nothing_beside_it(page)
    assert "script" not in page.names
    assert page.names.count("svg") == 5


def test_the_page_has_colours_for_light_and_dark(written: Path) -> None:
    check_its_colours_are_for_light_and_dark(Page((written / "comparison.html").read_text()))


def test_the_page_has_no_name_twice(written: Path) -> None:
    check_no_name_is_there_twice(Page((written / "comparison.html").read_text()))


def test_a_picture_in_a_page_takes_the_pages_colours_and_names() -> None:
    svg = (
        '<?xml version="1.0"?>\n<svg width="374pt" height="237pt" viewBox="0 0 374 237">'
        '<metadata>when</metadata>\n <g id="axes_1">\n<clipPath id="p1"/>'
        '<path d="M 0 1.26789 \nL 2.5 30 \n" clip-path="url(#p1)" '
        'style="fill: #0072b2; stroke: #222222"/><text style="font-size: 10px; '
        "font-family: 'DejaVu Sans', sans-serif; text-anchor: middle\">1.26789</text></g></svg>\n"
    )
    assert inline(svg, "rates", 'a "picture"') == (
        '<svg role="img" aria-label="a &quot;picture&quot;" viewBox="0 0 374 237">'
        '<g><clipPath id="rates-p1"/>'
        '<path d="M 0 1.2 L 2.5 30" clip-path="url(#rates-p1)" '
        'style="fill: var(--blue); stroke: var(--ink)"/><text style="font-size: 10px; '
        'text-anchor: middle">1.26789</text></g></svg>'
    )
