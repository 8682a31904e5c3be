"""Installs packages into .venv: by uv, at the versions of the lock, or else by pip."""

from __future__ import annotations

import os
import subprocess

from tools import pip_settings
from tools.steps import IN_VENV, PYTHON, ROOT, VENV, log_lines, run

REQUIREMENTS = {"cpu": "requirements/cpu.txt", "gpu": "requirements.txt"}
LOCKS = {"cpu": "requirements/cpu.lock", "gpu": "requirements/gpu.lock"}
DEVELOPMENT = "requirements/dev.txt"
PIP = "pip==26.3"  # what venv brings may be years old: slower by half a minute
UV = "uv==0.13.9"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# What the CPU build asks for and no text benchmark on a CPU imports: 1.5 GB of 3.5.
NOT_FOR_CPU = (
    # The default index has CUDA builds of these, beside which transformers cannot be imported.
    "torchvision", "torchaudio", "torchcodec",
    "opencv-python-headless",  # videos
    "triton",  # compiles for GPUs: it comes without a CPU backend, and vLLM then leaves it alone
    "numba", "llvmlite",  # guessed tokens (speculative decoding), which the rules forbid
    "intel-openmp", "intel-cmplr-lib-ur",  # no library here is linked to them
)  # fmt: skip
PIP_HINT = (
    "pip must reach a package index: behind a proxy set HTTPS_PROXY; an index or a folder of "
    "wheels of your own goes into PIP_INDEX_URL or PIP_FIND_LINKS. Then run make again."
)
TORCH_HINT = (
    f"vLLM's CPU build needs a +cpu wheel of torch from {TORCH_CPU_INDEX}: let pip reach it "
    "(HTTPS_PROXY), or name a folder that has it in PIP_FIND_LINKS. Then run make again."
)


def install_locked(variant: str) -> None:
    """Everything but the development tools."""
    uv = uv_variables()
    if uv is not None and uv_locked(variant, uv):
        return
    pip_locked(variant)


def install_development(variant: str) -> None:
    """ruff, mypy, pytest and what they need."""
    uv = uv_variables()
    what, lists = "development tools", ("-c", LOCKS[variant], "-r", DEVELOPMENT)
    if uv is not None and uv_install(what, uv, *lists):
        return
    pip_install(what, *lists)


def uv_variables() -> dict[str, str] | None:
    """Installs uv; returns its settings, the same as pip's. None, with a sentence: it cannot be."""
    config = subprocess.run(
        [*IN_VENV, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    try:
        variables = pip_settings.uv_environment(pip_settings.parse(config.stdout))
    except (pip_settings.NotForUv, ValueError, SyntaxError) as error:
        print(f"  pip installs, which takes longer than uv: {error}", flush=True)
        return None
    if (VENV / "bin" / "uv").exists() or pip_install("uv", UV, check=False):
        # As pip does: the best version, wherever it lies.
        return {"UV_INDEX_STRATEGY": "unsafe-best-match", **variables}
    print("  uv could not be had: pip installs, which takes longer", flush=True)
    return None


def uv_locked(variant: str, variables: dict[str, str]) -> bool:
    """The lock's packages, without asking what each needs; False when uv cannot complete them."""
    pins = [pin for pin in lock(variant) if not (variant == "cpu" and is_not_for_cpu(pin))]
    where: list[str] = []
    if variant == "cpu":
        torch = torch_pin(variant)
        # An index that cannot be reached is an error to uv, so it is named only where it is needed.
        here = uv(["--dry-run", "--no-deps", torch], variables)
        where = [] if here.returncode == 0 else ["--index", TORCH_CPU_INDEX]
    what = "vLLM, LoadGen and the rest (uv)"
    if not uv_install(what, variables, "--no-deps", *where, PIP, *pins):
        return False
    missing = missing_packages(variant)
    if missing:  # by this Python or processor; the lock was made for another
        print(f"  pip adds what the lock lacks here: {missing[0]}", flush=True)
    return not missing


def uv_install(what: str, variables: dict[str, str], *arguments: str) -> bool:
    """One step by uv; False, with a sentence, when it failed."""
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON)]
    if run(what, [*command, *arguments], check=False, environment=variables):
        return True
    reason = next(iter(log_lines()[-1:]), "no word of why")
    print(f"  uv failed ({reason}): pip installs, which takes longer", flush=True)
    return False


def uv(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`uv pip install` beside the steps, for a question."""
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def missing_packages(variant: str) -> list[str]:
    """What packages need and have not, in uv's words; less what is not for CPUs on one."""
    command = [str(VENV / "bin" / "uv"), "pip", "check", "--python", str(PYTHON)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    left_out = NOT_FOR_CPU if variant == "cpu" else ()
    return [
        line
        for line in checked.stderr.splitlines()
        if "requires `" in line and not line.partition("requires `")[2].startswith(left_out)
    ]


def pip_locked(variant: str) -> None:
    """The same by pip, which asks every package what it needs."""
    pip_install("pip", PIP)
    if variant == "cpu":
        # From its own index or from wherever pip is configured to look. On its own, because an
        # index that cannot be reached costs its time-outs once for every package asked for.
        where = ("--extra-index-url", TORCH_CPU_INDEX, "--retries", "1", "--timeout", "15")
        torch = torch_pin(variant)
        pip_install("torch for CPUs", "--no-deps", *where, torch, hint=TORCH_HINT)
    pip_install("vLLM, LoadGen and the rest", "-r", REQUIREMENTS[variant])
    if variant == "cpu":
        run(
            "what no CPU needs, out again",
            [*IN_VENV, "-m", "pip", "uninstall", "-y", *NOT_FOR_CPU],
        )


def pip_install(what: str, *arguments: str, hint: str = PIP_HINT, check: bool = True) -> bool:
    """One step by pip; whether it succeeded. Raises SetupError when it fails and `check` is set."""
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-compile"]
    command = [*IN_VENV, "-m", "pip", "install", *options, *arguments]
    return run(what, command, check=check, hint=hint)


def lock(variant: str) -> list[str]:
    """The pins of a build, `name==version` each."""
    return (ROOT / LOCKS[variant]).read_text(encoding="utf-8").split()


def torch_pin(variant: str) -> str:
    """torch of a build, at its version."""
    return next(pin for pin in lock(variant) if pin.startswith("torch=="))


def is_not_for_cpu(pin: str) -> bool:
    """Whether a pin is of a package that is left out on a CPU."""
    return pin.partition("==")[0] in NOT_FOR_CPU
