"""Files of installed libraries, read without importing them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.installed import source_of


def test_a_library_that_is_not_imported_shows_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "some_library"
    (library / "inner").mkdir(parents=True)
    (library / "__init__.py").write_text("raise ImportError('imported')")
    (library / "inner" / "version.py").write_text("cuda = '13.0'\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert source_of("some_library", "inner/version.py") == "cuda = '13.0'\n"
    assert source_of("some_library", "inner/other.py") is None
    assert source_of("no_library_has_this_name", "version.py") is None
    assert "some_library" not in sys.modules
