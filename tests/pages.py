"""Reads the pages of the project: their headings, links, code and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
FLAGS = PROJECT / "docs" / "flags.md"
ENGLISH = [README, *sorted((PROJECT / "docs").glob("*.md"))]
KOREAN = [PROJECT / "README.ko.md", *sorted((PROJECT / "docs" / "ko").glob("*.md"))]
PAGES = [*ENGLISH, *KOREAN]

_FENCE = re.compile(r"^```\w*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_PROGRAM = r"(?:run|mmlu|report|util_logs|benchmarks/\w+|tools/\w+)\.py"


class Understood(Exception):
    """A program has read its command line without a complaint."""


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    """The path of a page within the project, as a test's id."""
    return page.relative_to(PROJECT).as_posix()


def blocks(text: str) -> list[str]:
    """The insides of the fenced code blocks."""
    return _FENCE.findall(text)


def block_that_begins(start: str, page: Path) -> str:
    """The first fenced block of `page` that begins with `start`."""
    return next(block for block in blocks(read(page)) if block.startswith(start))


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """The inline code outside the fenced blocks, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def headings(text: str) -> list[tuple[int, str]]:
    """The level and the words of each heading."""
    found = re.findall(r"^(#+) (.+)$", prose(text), flags=re.MULTILINE)
    return [(len(marks), words) for marks, words in found]


def section(page: Path, heading: str) -> str:
    """What stands under `heading` of `page`, up to the next one of the same level."""
    marks = heading.split(" ")[0]
    return read(page).split(f"\n{heading}\n")[1].split(f"\n{marks} ")[0]


def sections(text: str) -> list[str]:
    """Each heading with what stands under it, up to the next heading of any level."""
    no_comments = _FENCE.sub(lambda block: re.sub("^#", "", block[0], flags=re.MULTILINE), text)
    return re.split(r"^#+ ", no_comments, flags=re.MULTILINE)[1:]


def anchors(page: Path) -> list[str]:
    """The names by which a page's headings can be linked, in their order."""
    return [
        re.sub(r"[^\w\- ]", "", words).lower().replace(" ", "-")
        for _, words in headings(read(page))
    ]


def links(text: str) -> list[str]:
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def commands(text: str) -> Iterator[str]:
    """Each `program.py flags` of the code, whatever stands before it, such as `docker run`."""
    for line in (*(line for block in blocks(text) for line in block.splitlines()), *spans(text)):
        if found := re.search(rf"\bpython ({_PROGRAM}(?: .*)?)$", line):
            yield found[1]


def make_commands(text: str) -> Iterator[str]:
    """Each `make target NAME=value` of the code."""
    for code in (*blocks(text), *spans(text)):
        yield from re.findall(r"(?:^|&& )make ([a-z-]+(?: [A-Z]+=\S+)*)", code, flags=re.MULTILINE)


def container_commands(text: str, program: str = "docker") -> Iterator[list[str]]:
    """The words of each command of docker (or another program), whatever stands before it."""
    for code in (*blocks(text), *spans(text)):
        for line in code.replace("\\\n", " ").splitlines():
            if found := re.search(rf"(?:^|\s){program} (?:run|build|save|load)\b.*$", line):
                yield shlex.split(found[0])
