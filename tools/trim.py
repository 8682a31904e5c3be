"""Takes out of an image's .venv what no run opens.

    python tools/setup_venv.py --image    installs, trims and compiles byte code, for the Dockerfile

What a run opens was seen in a trace of whole runs on a CPU (every scenario, TEST06, two copies,
the small model, mmlu.py, reports). No GPU was traced: of its build only what cannot be called by a
text benchmark of a Llama on CUDA 13 is listed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.elf import links_of
from tools.steps import IN_VENV, VENV, run

TESTS = ("test", "tests")  # folders of these names; `testing` is imported by torch itself


@dataclass(frozen=True)
class Cut:
    """Files and folders that an image can do without."""

    why: str
    patterns: tuple[str, ...]  # below site-packages


BOTH = (
    Cut("pyarrow's servers and headers", (
        "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*", "pyarrow/_flight*",
        "pyarrow/include",
    )),
    Cut("tokenizers of Mistral's models", ("mistral_common/data/*.json",)),
    Cut("names of countries in 200 languages", ("pycountry/locales",)),
)  # fmt: skip
CPU = (
    Cut("programs and headers of torch's own build; nothing is compiled on a CPU", (
        "torch/bin/test_*", "torch/bin/protoc*", "torch/include", "torch/share",
    )),
)  # fmt: skip
GPU = (
    Cut("Triton's profiler and its static libraries", (
        "triton/backends/nvidia/lib/cupti", "triton/_C/libproton.so", "triton/instrumentation",
    )),
    Cut("CUDA's profiler, a second NVRTC, and the solver for several GPUs: linked to by nothing", (
        "nvidia/cu13/lib/libnvperf_*", "nvidia/cu13/lib/libnvrtc.alt.*",
        "nvidia/cu13/lib/libcusolverMg.*",
    )),
)  # fmt: skip
CUTS = {"cpu": (*BOTH, *CPU), "gpu": (*BOTH, *GPU)}
# Whole packages, out again.
PACKAGES = {
    "cpu": ("uv",),  # which has installed everything
    "gpu": (
        "uv",
        "opencv-python-headless", "PyNvVideoCodec", "torchcodec",  # videos
        "tokenspeed-mla", "tokenspeed-triton",  # the attention of DeepSeek's models
        "tilelang", "z3-solver",  # the connections between DeepSeek's layers
        "nvidia-cutlass-dsl-libs-cu12",  # for CUDA 12; the libraries for CUDA 13 are beside it
    ),
}  # fmt: skip


def trim(variant: str) -> None:
    """Removes what an image of this build can do without, and says how much that was."""
    before = size_of(VENV)
    libraries = names_of_libraries()
    uninstall = [*IN_VENV, "-m", "pip", "uninstall", "-y", *PACKAGES[variant]]
    run("packages that no run imports, out again", uninstall)
    site_packages = next(VENV.glob("lib/*/site-packages"))
    for path in unneeded(site_packages, variant):
        remove(path)
    check_links(libraries - names_of_libraries())
    print(f"  out of the image: {(before - size_of(VENV)) / 1e6:,.0f} MB", flush=True)


def unneeded(site_packages: Path, variant: str) -> Iterator[Path]:
    """What the lists name and is there. Raises FileNotFoundError for a line that names nothing."""
    for cut in CUTS[variant]:
        found = [path for pattern in cut.patterns for path in site_packages.glob(pattern)]
        if not found:
            raise FileNotFoundError(f"tools/trim.py: {cut.why}: no such files any more")
        yield from found
    for name in TESTS:
        yield from list(site_packages.rglob(name))


def names_of_libraries() -> set[str]:
    """The file names of all shared libraries in .venv."""
    return {path.name for path in VENV.rglob("*.so*")}


def check_links(removed: set[str]) -> None:
    """Raises LookupError where a library that is left is linked to one that is gone."""
    for path in VENV.rglob("*.so*"):
        if missing := removed.intersection(() if path.is_symlink() else links_of(path)):
            raise LookupError(f"tools/trim.py: {path} is linked to {', '.join(sorted(missing))}")


def remove(path: Path) -> None:
    """A file, or a folder with all in it; nothing where an earlier one held it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder; links count nothing."""
    files = (path for path in folder.rglob("*") if not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.is_file())
