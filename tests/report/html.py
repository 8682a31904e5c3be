"""What the tests of pages ask of one."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from harness.report.svg import VARIABLES

# Elements of a page that end no word.
WITHIN_A_WORD = re.compile(r'<wbr>|<span class="flag">([^<]*)</span>')


class Page(HTMLParser):
    """Every element of a page, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(WITHIN_A_WORD.sub(r"\1", text))
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        # An element ends a word, as the reader sees it.
        self.words += data + " "

    @property
    def names(self) -> list[str]:
        """The tags in their order."""
        return [tag for tag, _ in self.tags]


def check_it_needs_nothing_beside_it(page: Page) -> None:
    """No file, no address, no script from elsewhere."""
    elsewhere = {"src", "href", "srcset", "xlink:href", "data", "action", "poster"}
    links = [v for _, attributes in page.tags for k, v in attributes.items() if k in elsewhere]
    assert all(link and link.startswith("#") for link in links)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.names)
    assert "@import" not in page.text and not re.search(r"url\((?!#)", page.text)


def check_its_colours_are_for_light_and_dark(page: Page) -> None:
    """Every colour of a figure is a variable, set once for each."""
    light, dark = page.text.split("prefers-color-scheme: dark", 1)
    for variable in VARIABLES.values():
        assert f"{variable}: #" in light and f"{variable}: #" in dark
    drawings = page.text[page.text.index("<svg") :]
    assert not [color for color in VARIABLES if color.lower() in drawings.lower()]


def check_no_name_is_there_twice(page: Page) -> None:
    """And each that is pointed to is there."""
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names)) > 0
    pointed = {
        str(v)[1:]
        for _, attributes in page.tags
        for k, v in attributes.items()
        if k in ("href", "xlink:href")
    } | set(re.findall(r"url\(#([^)]+)\)", page.text))
    assert pointed <= set(names)
