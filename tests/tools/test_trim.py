"""What is taken out of an image: what the lists name, and no more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import elf, trim

NEEDED = (
    "pyarrow/libarrow.so.2600", "torch/lib/libtorch_cpu.so", "torch/bin/torch_shm_manager",
    "torch/testing/_comparison.py", "mistral_common/data/readme.txt", "latest/module.py",
)  # fmt: skip
IN_BOTH = (
    "pyarrow/libarrow_flight.so.2600", "pyarrow/libarrow_python_flight.so",
    "pyarrow/include/arrow/api.h",
    "mistral_common/data/tekken.json", "pycountry/locales/ko/LC_MESSAGES/iso3166-1.mo",
    "numpy/_core/tests/test_multiarray.py", "torch/test/jit/tests/data.pt",
)  # fmt: skip
IN_ONE = {
    "cpu": ("torch/bin/test_api", "torch/include/ATen/ATen.h"),
    "gpu": (
        "triton/backends/nvidia/lib/cupti/libcupti_static.a", "nvidia/cu13/lib/libnvrtc.alt.so.13",
    ),
}  # fmt: skip


def installed(folder: Path, *names: str) -> Path:
    site_packages = folder / "lib" / "python3.12" / "site-packages"
    site_packages.mkdir(parents=True)
    for name in names:
        (site_packages / name).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / name).write_bytes(b"12345")
    return site_packages


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_an_image_keeps_all_but_what_the_lists_name(
    variant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps: list[list[str]] = []
    for_other = IN_ONE["gpu" if variant == "cpu" else "cpu"]
    site_packages = installed(tmp_path, *NEEDED, *IN_BOTH, *IN_ONE[variant], *for_other)
    monkeypatch.setattr(trim, "VENV", tmp_path)
    monkeypatch.setattr(trim, "run", lambda _what, command: steps.append(command))

    trim.trim(variant)

    left = {name for name in (*NEEDED, *IN_BOTH, *for_other) if (site_packages / name).exists()}
    assert left == {*NEEDED, *for_other}
    assert not any((site_packages / name).exists() for name in IN_ONE[variant])
    assert "out of the image: 0 MB" in capsys.readouterr().out
    assert [command[command.index("-y") + 1 :] for command in steps] == [
        list(trim.PACKAGES[variant])
    ]


def test_a_line_that_names_nothing_any_more_is_said(tmp_path: Path) -> None:
    site_packages = installed(tmp_path, *NEEDED, *IN_BOTH)

    with pytest.raises(FileNotFoundError, match=r"torch's own build; .*: no such files any more"):
        list(trim.unneeded(site_packages, "cpu"))


def test_a_link_to_a_folder_is_removed_and_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder")

    trim.remove(link)

    assert not link.is_symlink()
    assert (tmp_path / "folder").is_dir()


def compile_library(path: Path, *options: str) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run(
        [compiler, "-shared", "-o", str(path), "-x", "c", "/dev/null", *options], check=True
    )


def test_a_library_that_another_is_linked_to_may_not_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_library(tmp_path / "libwanted.so")
    compile_library(
        tmp_path / "libother.so", "-Wl,--no-as-needed", f"-L{tmp_path}", "-x", "none", "-lwanted"
    )
    monkeypatch.setattr(trim, "VENV", tmp_path)

    assert "libwanted.so" in elf.links_of(tmp_path / "libother.so")
    trim.check_links({"libunwanted.so"})
    with pytest.raises(LookupError, match=r"libother\.so is linked to libwanted\.so"):
        trim.check_links({"libwanted.so"})


def test_a_file_that_is_no_library_is_linked_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "libtext.so").write_text("INPUT(libother.so)")

    assert elf.links_of(tmp_path / "libtext.so") == []
