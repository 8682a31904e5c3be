"""The Korean pages say what the English ones say: section by section, with the same code."""

from __future__ import annotations

import os.path
import re
from collections import Counter
from pathlib import Path

import pytest

from tests import pages

README_CHARACTERS = 14_000


def english(korean: Path) -> Path:
    """The page that a Korean one corresponds to."""
    if korean.name == "README.ko.md":
        return pages.README
    return pages.PROJECT / "docs" / korean.name


def english_target(korean: Path, link: str) -> str:
    """Where a link of a Korean page leads: an English page, and the heading by its number."""
    if link.startswith("https://"):
        return link
    path, _, anchor = link.partition("#")
    target = Path(os.path.normpath(korean.parent / path)) if path else korean
    number = f"#{pages.anchors(target).index(anchor)}" if anchor else ""
    return pages.name(english(target) if target in pages.KOREAN else target) + number


def is_to_the_english_page(korean: Path, link: str) -> bool:
    return (korean.parent / link.partition("#")[0]).resolve() == english(korean)


EACH = pytest.mark.parametrize("korean", pages.KOREAN, ids=pages.name)


def test_there_are_pages_to_compare() -> None:
    names = {page.name for page in pages.KOREAN}

    assert names == {
        "README.ko.md", "flags.md", "reading-a-report.md", "official.md", "mmlu.md", "tuning.md",
        "troubles.md", "docker.md",
    }  # fmt: skip


@EACH
def test_both_languages_link_each_other_at_the_top(korean: Path) -> None:
    to_english = os.path.relpath(english(korean), korean.parent)
    to_korean = os.path.relpath(korean, english(korean).parent)

    assert pages.read(korean).splitlines()[2].startswith(f"[English]({to_english}) | 한국어")
    assert (
        pages.read(english(korean)).splitlines()[2].startswith(f"English | [한국어]({to_korean})")
    )


@EACH
def test_the_headings_correspond_one_to_one(korean: Path) -> None:
    levels = [level for level, _ in pages.headings(pages.read(korean))]

    assert levels == [level for level, _ in pages.headings(pages.read(english(korean)))]


@EACH
def test_the_links_lead_to_the_same_places(korean: Path) -> None:
    page = english(korean)
    in_korean = Counter(
        english_target(korean, link)
        for link in pages.links(pages.read(korean))
        if link.startswith("#") or not is_to_the_english_page(korean, link)
    )
    in_english = Counter(
        english_target(page, link)
        for link in pages.links(pages.read(page))
        if (page.parent / link).resolve() != korean
    )

    assert in_korean == in_english


@EACH
def test_the_commands_are_the_same(korean: Path) -> None:
    text, original = pages.read(korean), without_help(pages.read(english(korean)))

    assert list(pages.commands(text)) == list(pages.commands(original))
    assert list(pages.make_commands(text)) == list(pages.make_commands(original))
    assert list(pages.container_commands(text)) == list(pages.container_commands(original))


@EACH
def test_each_paragraph_and_row_has_the_figures_of_the_english_one(korean: Path) -> None:
    text, original = pages.read(korean), without_help(pages.read(english(korean)))

    for ours, theirs in zip(parts(text), parts(original), strict=True):
        assert figures(theirs) - figures(ours) == set(), ours


@EACH
def test_each_section_has_the_code_of_the_english_one(korean: Path) -> None:
    text, original = pages.read(korean), without_help(pages.read(english(korean)))

    for ours, theirs in zip(pages.sections(text), pages.sections(original), strict=True):
        assert set(pages.spans(ours)) == set(pages.spans(theirs)), ours.splitlines()[0]


def without_help(text: str) -> str:
    """The page without what the program prints in English, which stands in one language only."""
    return re.sub(r"^```\nusage: .*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def parts(text: str) -> list[str]:
    """The headings, paragraphs, rows of tables and items of lists."""
    return re.split(r"\n{2,}|\n(?=\||\d\. )", pages.prose(text).strip())


def figures(text: str) -> set[str]:
    """The numbers of the prose."""
    return set(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\]\([^)]+\)|`[^`]+`", "", text)))


@EACH
def test_a_korean_page_is_in_korean(korean: Path) -> None:
    sentences = re.sub(r"`[^`]+`|\]\([^)]+\)", "", pages.prose(pages.read(korean)))
    hangul, latin = (len(re.findall(letters, sentences)) for letters in ("[가-힣]", "[A-Za-z]"))

    assert hangul > latin


def test_the_korean_readme_can_be_read_in_one_sitting() -> None:
    assert len(pages.read(pages.KOREAN[0])) <= README_CHARACTERS
