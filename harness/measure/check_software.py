"""Checks of what is installed: Python, vLLM, the driver under it, LoadGen."""

from __future__ import annotations

import ast
import platform
import re
import sys
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from harness import engine_args
from harness.config import RunConfig
from harness.engine import capacity
from harness.engine import vllm as engine
from harness.engine.plan import Site
from harness.errors import UsageError
from harness.installed import source_of
from harness.language import phrase
from harness.loadgen import release
from harness.measure import check_limits
from harness.measure.check_line import DOUBTFUL, MISSING, OK, Line, asked

PROJECT = Path(__file__).resolve().parents[2]
LISTS = {"cpu": "requirements/cpu.txt", "gpu": "requirements.txt"}


def python() -> Line:
    """The version of Python against those that the project names."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported, version = project["requires-python"], platform.python_version()
    text = f"{version}, {sys.executable}"
    if version in SpecifierSet(supported):
        return Line("Python", OK, text)
    text = phrase(
        "{text}; {supported} is needed, so make the environment with one: make venv PYTHON=...",
        text=text, supported=supported,
    )  # fmt: skip
    return Line("Python", MISSING, text)


def vllm(site: Site) -> Line:
    """The build of vLLM, and whether it is the release that the project's lists name."""

    def look() -> str | Line:
        build = engine.installed_build()
        text = phrase(
            "{version}, the {kind} build",
            version=site.system.vllm_version, kind="CPU" if build == "cpu" else "CUDA",
        )  # fmt: skip
        listed = _listed(build)
        if listed in (None, (site.system.vllm_version or "").partition("+")[0]):
            return text
        return Line(
            "vLLM",
            DOUBTFUL,
            phrase(
                "{text}; this program was measured with {listed}: make venv installs that.",
                text=text,
                listed=listed,
            ),
        )

    return asked("vLLM", look)


def _listed(build: str) -> str | None:
    """The release of vLLM in the project's list of requirements."""
    text = (PROJECT / LISTS[build]).read_text(encoding="utf-8")
    listed = re.search(r"^vllm(?:-cpu)?==([\w.]+)", text, flags=re.MULTILINE)
    return listed[1] if listed else None


def driver(site: Site) -> Line:
    """The newest CUDA that the driver supports against the one that torch was built for."""
    name = phrase("CUDA driver")
    if site.device == "cpu":
        return Line(name, OK, phrase("not needed: the CPU build of vLLM is installed"))
    there, built = site.system.cuda_version, _cuda_of_torch()
    text = phrase(
        "driver {driver} for CUDA up to {cuda}", driver=site.system.driver_version, cuda=there
    )
    if there is None:
        text = phrase(
            "no NVIDIA driver answers; see whether nvidia-smi does (in docker: --gpus all)"
        )
        return Line(name, MISSING, text)
    if built is None:
        text = phrase("{text}; torch tells no CUDA that it was built for.", text=text)
        return Line(name, DOUBTFUL, text)
    text = phrase("{text}, torch is built for {built}", text=text, built=built)
    if _numbers(there) >= _numbers(built):
        return Line(name, OK, text)
    way_out = phrase("install a driver for CUDA {built} or newer", built=built)
    if _numbers(there)[0] == _numbers(built)[0]:  # CUDA keeps what is compiled working, no more
        text = phrase(
            "{text}; what is compiled at the start may fail: {way_out}.", text=text, way_out=way_out
        )
        return Line(name, DOUBTFUL, text)
    return Line(name, MISSING, phrase("{text}; {way_out}.", text=text, way_out=way_out))


def _cuda_of_torch() -> str | None:
    """Read from its file, as importing torch takes seconds."""
    source = source_of("torch", "version.py") or ""
    built = re.search(r"^cuda.*= *['\"]([\d.]+)", source, flags=re.MULTILINE)
    return built[1] if built else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def devices(config: RunConfig, site: Site) -> Line:
    """The GPUs or cores that the flags ask for."""
    name = "GPUs" if site.device == "gpu" else phrase("cores")

    def look() -> str | Line:
        capacity.check_devices(config, site.device, site.system)
        system = site.system
        if site.device == "gpu":
            return f"{system.gpu_count} x {system.gpu_name}"
        text = check_limits.cores(system)
        if not system.gpu_count:
            return text
        return Line(
            name,
            DOUBTFUL,
            phrase(
                "{text}; {count} x {name} would stay idle, as the CPU build of vLLM is installed: "
                "make venv VARIANT=gpu.",
                text=text,
                count=system.gpu_count,
                name=system.gpu_name,
            ),
        )

    return asked(name, look)


def loadgen(config: RunConfig) -> Line:
    """LoadGen's release, and the round whose seeds it carries."""

    def look() -> str:
        found = release.installed(config.loadgen_model)
        release.check(config, found)
        return phrase(
            "{version}, carries the seeds of v{round}", version=found.version, round=found.round
        )

    return asked("LoadGen", look)


def engine_arguments(config: RunConfig) -> Line:
    """Every --engine-arg against those that vLLM knows."""

    def look() -> str:
        known = known_engine_args()
        if known:
            engine_args.check(config.engine_args, known)
        return ", ".join(config.engine_args)

    return asked(phrase("engine arguments"), look)


def known_engine_args() -> set[str]:
    """The fields of vLLM's AsyncEngineArgs, read from its source: importing it takes too long."""
    source = source_of("vllm", "engine/arg_utils.py") or ""
    return {
        field.target.id
        for part in ast.parse(source).body
        if isinstance(part, ast.ClassDef) and part.name in ("EngineArgs", "AsyncEngineArgs")
        for field in part.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def device() -> str:
    """ "gpu" or "cpu", by the installed vLLM; without one, what `make venv` would install."""
    from harness.machine import gpus

    try:
        return engine.installed_build()
    except UsageError:
        return "gpu" if gpus.collect().count else "cpu"
