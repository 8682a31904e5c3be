"""Whether nltk's sentence model is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import nltk
import pytest

from harness.errors import UsageError
from harness.scoring.sentences import check_sentence_splitter

PARTS = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the sentence model that a test may damage, in place of the installed one."""
    installed = Path(str(nltk.data.find("tokenizers/punkt_tab/english/")))
    copy = tmp_path / "tokenizers" / "punkt_tab" / "english"
    shutil.copytree(installed, copy)
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    return copy


@pytest.mark.usefixtures("english")
def test_a_whole_sentence_model_is_accepted() -> None:
    check_sentence_splitter()


def test_a_missing_sentence_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    with pytest.raises(UsageError, match=r"is not installed; .* or `python run.py fetch punkt`"):
        check_sentence_splitter()


@pytest.mark.parametrize("part", PARTS)
def test_a_sentence_model_that_lacks_a_part_is_refused(english: Path, part: str) -> None:
    (english / part).unlink()

    with pytest.raises(UsageError, match=r"punkt_tab\) is not (whole|installed).*run `make venv`"):
        check_sentence_splitter()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_cut_short_is_named(english: Path, part: str) -> None:
    lines = (english / part).read_bytes().splitlines(keepends=True)
    (english / part).write_bytes(b"".join(lines[: len(lines) // 2]))

    name = part.partition(".")[0]
    with pytest.raises(UsageError, match=rf"is not whole: {name} has \d+ entries of \d+; run"):
        check_sentence_splitter()


def test_a_part_of_other_bytes_is_refused(english: Path) -> None:
    (english / "ortho_context.tab").write_bytes(b"\xff\xfe no model")

    with pytest.raises(UsageError, match=r"is not whole \("):
        check_sentence_splitter()
