"""Compiles FlashInfer's attention kernels for Hopper GPUs (H100, H200), once for an installation.

    .venv/bin/python tools/compile_attention.py

run.py takes them for fp8 when they are there, and FlashAttention 3 otherwise. They go beside
FlashInfer in this Python's packages, and are compiled anew for another release of it. No GPU is
needed, but a C++ compiler and time: some 14 minutes of one core, less the more cores there are.
`make venv` does this by itself on a machine with such a GPU.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARCHITECTURE = "9.0a"
# Llama-3.1-8B, whatever the tensor parallel size: 4 query heads share a key and value head of 128.
HEAD_DIM = 128
HEADS_OF_A_GROUP = 4
BYTES_OF_A_JOB = 5 << 30  # what one compiler took at its worst
BLOCK_SIZE = 16  # tokens of a block of the KV cache
VERSION_FILE = (
    "flashinfer_version.txt"  # harness/engine/attention.py reads it, and knows the same shape
)


class CompileError(Exception):
    """What is missing and where to get it, for the person who typed the command."""


def main() -> int:
    started = time.monotonic()
    try:
        names = compile_kernels()
    except CompileError as error:
        print(f"compile_attention.py: {error}", file=sys.stderr)
        return 1
    took = f", {len(names)} of them compiled in {time.monotonic() - started:.0f} s" if names else ""
    print(f"the attention kernels are ready{took}")
    return 0


def compile_kernels() -> list[str]:
    """Compiles what is not there yet and returns its names. Raises CompileError."""
    packages = _package("flashinfer", "FlashInfer is not installed; it comes with the GPU build.")
    home = cuda_home()
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        raise CompileError("a C++ compiler is needed: sudo apt install g++ (Debian, Ubuntu).")
    ready = packages / "data" / "aot"
    # pip leaves files it did not bring, and new code must not call the kernels of an old release.
    version = importlib.metadata.version("flashinfer-python")
    noted = ready / VERSION_FILE
    up_to_date = noted.is_file() and noted.read_text(encoding="utf-8").strip() == version
    with tempfile.TemporaryDirectory() as temporary:
        build = Path(temporary)
        _stand_in_for_the_driver(build)
        # Read when FlashInfer is imported.
        os.environ |= {
            "CUDA_HOME": str(home),
            "FLASHINFER_CUDA_ARCH_LIST": ARCHITECTURE,
            "FLASHINFER_WORKSPACE_BASE": temporary,
            # A linker that drops what looks unused would drop the driver's library.
            "FLASHINFER_EXTRA_LDFLAGS": f"-L{build} -Wl,--no-as-needed -lcuda",
            "MAX_JOBS": os.environ.get("MAX_JOBS", str(_jobs())),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        specs = [
            spec
            for spec in _specs()
            if not (up_to_date and (ready / spec.name / f"{spec.name}.so").exists())
        ]
        for spec in specs:
            try:
                spec.build(verbose=False)
            except Exception as error:  # FlashInfer raises what the compiler said
                raise CompileError(f"{_telling_lines(error)} ({spec.name})") from error
            _install(Path(spec.jit_library_path), ready / spec.name, build)
    noted.write_text(f"{version}\n", encoding="utf-8")
    return [spec.name for spec in specs]


def _specs() -> list[Any]:
    """FlashInfer's recipes: XQA for answers, FlashAttention 3's fp8 kernels for prompts."""
    import torch
    from flashinfer.jit.attention.modules import gen_batch_prefill_module
    from flashinfer.jit.xqa import gen_xqa_module

    fp8, bf16 = torch.float8_e4m3fn, torch.bfloat16
    answers = gen_xqa_module(bf16, fp8, BLOCK_SIZE, HEAD_DIM, HEADS_OF_A_GROUP, False, bf16)
    dims = (HEAD_DIM, HEAD_DIM)
    prompts = gen_batch_prefill_module(
        "fa3", fp8, fp8, bf16, torch.int32, *dims, 0, False, False, False
    )
    return [answers, prompts]


def _jobs() -> int:
    """Compilers at a time: one for each core, as far as the memory goes."""
    import psutil

    fitting = psutil.virtual_memory().available // BYTES_OF_A_JOB
    return max(1, min(len(os.sched_getaffinity(0)), fitting))


def cuda_home() -> Path:
    """The CUDA toolkit that pip installed with vLLM, else another. Raises CompileError."""
    places = [Path(root) / "cu13" for root in _search_path("nvidia")]
    places += [Path(place) for place in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if place]
    for home in places:
        if (home / "bin" / "nvcc").is_file() and (home / "include" / "cuda_runtime.h").is_file():
            # pip's has its libraries in lib, without the names that a linker looks for.
            if not (home / "lib64").exists():
                (home / "lib64").symlink_to("lib")
            for library in (home / "lib64").glob("libcudart.so.*"):
                with contextlib.suppress(FileExistsError):
                    (home / "lib64" / "libcudart.so").symlink_to(library.name)
            return home
    raise CompileError("the CUDA compiler is missing: pip install -r requirements.txt brings it.")


def _stand_in_for_the_driver(folder: Path) -> None:
    """An empty libcuda to link against: the real one belongs to the driver of the GPU machine."""
    command = [os.environ.get("CXX", "c++"), "-shared", "-Wl,-soname,libcuda.so.1"]
    command += ["-o", str(folder / "libcuda.so"), "-x", "c++", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompileError(f"the C++ compiler does not work: {done.stderr.strip()}")


def _install(library: Path, folder: Path, build: Path) -> None:
    """Tries the library and puts it in its place in one step."""
    ctypes.CDLL(str(build / "libcuda.so"), mode=ctypes.RTLD_GLOBAL)
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_LAZY)
    except OSError as error:
        raise CompileError(f"{library.name} cannot be loaded: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{library.name}"
    shutil.copy(library, beside)
    beside.replace(folder / library.name)


def _telling_lines(error: Exception) -> str:
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in said if "error" in line.lower()] or said
    return " / ".join(telling[:3])


def _package(name: str, otherwise: str) -> Path:
    found = _search_path(name)
    if not found:
        raise CompileError(otherwise)
    return Path(found[0])


def _search_path(name: str) -> list[str]:
    spec = importlib.util.find_spec(name)
    return list(spec.submodule_search_locations or ()) if spec else []


if __name__ == "__main__":
    sys.exit(main())
