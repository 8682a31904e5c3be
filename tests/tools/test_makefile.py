"""What `make` keeps from one line to the next."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# In place of the installation: which build was asked for.
SETUP = """
import os, pathlib
pathlib.Path(".venv").mkdir(exist_ok=True)
print("variant:", os.environ.get("VARIANT") or "to be chosen")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with this Makefile, in which `python3` is none that can install anything."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name, text in (("tools/setup_venv.py", SETUP), ("bin/python3", "#!/bin/sh\nexit 1\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make(project: Path, *words: str) -> str:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for name in ("VARIANT", "PYTHON"):
        own.pop(name, None)
    own["PATH"] = f"{project / 'bin'}{os.pathsep}{own['PATH']}"
    done = subprocess.run(
        ["make", *words], cwd=project, env=own, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout.strip()


def test_a_build_and_a_python_stay_chosen_until_another_is(project: Path) -> None:
    here = f"PYTHON={sys.executable}"
    assert make(project, "venv", here) == "variant: to be chosen"
    assert make(project, "venv", "VARIANT=cpu") == "variant: cpu"  # and the Python from before
    assert make(project, "venv") == make(project, "venv-dev") == "variant: cpu"
    assert make(project, "venv", "VARIANT=gpu") == "variant: gpu"
    assert make(project, "venv") == "variant: gpu"
    make(project, "clean")
    assert make(project, "venv", here) == "variant: to be chosen"


def test_a_build_that_could_not_be_installed_is_not_kept(project: Path) -> None:
    here = f"PYTHON={sys.executable}"
    make(project, "venv", here, "VARIANT=cpu")
    setup = project / "tools" / "setup_venv.py"
    setup.write_text("import shutil; shutil.rmtree('.venv'); raise SystemExit(1)")
    with pytest.raises(AssertionError):
        make(project, "venv", "VARIANT=gpu")
    setup.write_text(SETUP)
    assert make(project, "venv", here) == "variant: to be chosen"


def test_a_python_that_has_gone_is_named_with_where_it_is_kept(project: Path) -> None:
    make(project, "venv", f"PYTHON={sys.executable}")
    words = project / ".venv" / ".words"
    words.write_text(words.read_text().replace(sys.executable, "/no/such/python"))

    with pytest.raises(AssertionError, match=r"No /no/such/python here: .*make clean forgets it"):
        make(project, "venv")
