"""comparison.html: one file to forward, in light and dark."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import report
from harness.report.svg import VARIABLES, inline
from tests.report.comparisons import two_runs


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison of two runs."""
    output = tmp_path_factory.mktemp("comparison")
    pair = two_runs(tmp_path_factory.mktemp("pair"))
    assert report.main(["compare", *map(str, pair), "--output", str(output)]) == 0
    return output


class Page(HTMLParser):
    """Every element of a page, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_page_and_markdown_say_the_same(written: Path) -> None:
    words = " ".join(Page((written / "comparison.html").read_text()).words.split())
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
    elsewhere = {"src", "href", "srcset", "xlink:href", "data"}
    links = [v for _, attributes in page.tags for k, v in attributes.items() if k in elsewhere]
    assert all(link and link.startswith("#") for link in links)
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("svg") == 5
    text = (written / "comparison.html").read_text()
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_the_page_has_colours_for_light_and_dark(written: Path) -> None:
    text = (written / "comparison.html").read_text()
    light, dark = text.split("prefers-color-scheme: dark", 1)
    for variable in VARIABLES.values():
        assert f"{variable}: #" in light and f"{variable}: #" in dark
    drawings = text[text.index("<svg") :]
    assert not [color for color in VARIABLES if color.lower() in drawings.lower()]


def test_the_page_has_no_name_twice(written: Path) -> None:
    page = Page((written / "comparison.html").read_text())
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names)) > 0


def test_a_picture_in_a_page_takes_the_pages_colours_and_names() -> None:
    svg = (
        '<?xml version="1.0"?>\n<svg width="374pt" height="237pt" viewBox="0 0 374 237">'
        '<metadata>when</metadata><g id="axes_1"><path clip-path="url(#p1)" '
        'style="fill: #0072b2; stroke: #222222"/></g></svg>\n'
    )
    assert inline(svg, "rates", "a picture") == (
        '<svg role="img" aria-label="a picture" viewBox="0 0 374 237">'
        '<g id="rates-axes_1"><path clip-path="url(#rates-p1)" '
        'style="fill: var(--blue); stroke: var(--ink)"/></g></svg>'
    )
