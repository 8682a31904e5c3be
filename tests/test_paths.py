"""Paths that no file can have, refused with the flag that they were given by."""

from __future__ import annotations

from pathlib import Path

import pytest

import report
import util_logs
from harness import paths
from harness.errors import UsageError

LONG = "/tmp/" + "x" * 300
DEEP = "/tmp" + "/yy" * 1500


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (LONG, f"--flag {LONG[:60]}...: this path has 305 bytes, and is too long for a file"),
        (DEEP, f"--flag {DEEP[:60]}...: this path has 4,504 bytes, and is too long for a file"),
        ("", "--flag has an empty value, as an unset variable leaves it; give one, or leave"),
        ("a\0b", r"--flag 'a\x00b': no path holds a NUL character; correct it."),
        ("\u00e9" * 128, "this path has 256 bytes"),
        (f"/no/such/folder/{'x' * 256}", "is too long for a file"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused(path: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        paths.check("--flag", path)
    assert said in str(refused.value)


@pytest.mark.parametrize("path", ["x" * 255, "/no/such", "meta-llama/Llama-3.1-8B-Instruct"])
def test_a_path_where_a_file_might_be_is_accepted(path: str, tmp_path: Path) -> None:
    paths.check("--flag", path)
    paths.check("--flag", tmp_path)


def test_the_home_of_nobody_is_refused_where_a_home_is_meant() -> None:
    paths.check("--flag", "~nobody-of-this-name")  # a file may be called so
    with pytest.raises(UsageError, match="there is no user nobody-of-this-name here"):
        paths.check("--flag", "~nobody-of-this-name/x", of_home=True)


@pytest.mark.parametrize("program", [report, util_logs])
def test_a_run_folder_with_a_path_too_long_is_refused_by_its_name(
    program: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main([LONG])  # type: ignore[attr-defined]
    assert "argument RUN_DIR: /tmp/xx" in capsys.readouterr().err
