"""The import direction of the project, and what each program may need."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PROGRAMS = ("run", "mmlu", "report", "util_logs")
# Only these modules may import these libraries, at the top or inside a function.
OWNERS = {
    "vllm": {
        "engine.vllm",
        "engine.checkpoint",
        "engine.cublas_fp8",
        "engine.fp8_cache",
        "engine.fp8_rows",
        "engine.inspection",
        "engine.one_token",
        "engine.one_token_int4",
    },
    "mlperf_loadgen": {"loadgen.process"},
    "matplotlib": {"report.canvas"},
    "ray": {"engine.ray_cluster"},
}
# Each line imports from the lines above it; within a line, packages do not import each other.
# Modules at the top of harness/ are `root`, and everybody may use them.
LINES = (
    ("root", "machine"),
    ("inputs", "results", "loadgen", "scoring"),
    ("engine", "logs"),
    ("rules",),
    ("report", "submission"),
    ("measure",),
    ("tuning", "mmlu"),
    ("run.py", "mmlu.py", "util_logs.py", "report.py"),
)


def imported(path: Path) -> set[str]:
    """Full names of everything a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def harness_modules() -> list[Path]:
    return sorted(path for path in (PROJECT / "harness").rglob("*.py") if path.stem != "__init__")


def dotted(path: Path) -> str:
    """`engine.vllm` for harness/engine/vllm.py."""
    if path.parent == PROJECT:
        return path.stem
    return ".".join(path.relative_to(PROJECT / "harness").with_suffix("").parts)


def package(module: str) -> str:
    """The package of a module: `root` at the top of harness/, its file's name for a program."""
    parts = module.split(".")
    return f"{module}.py" if len(parts) == 1 else parts[1] if len(parts) == 3 else "root"


MODULES = {f"harness.{dotted(path)}": path for path in harness_modules()} | {
    name: PROJECT / f"{name}.py" for name in PROGRAMS
}
NEEDS = {module: imported(path) & MODULES.keys() for module, path in MODULES.items()}
LINE_OF = {name: number for number, line in enumerate(LINES) for name in line}


def test_every_package_has_its_line() -> None:
    assert {package(module) for module in MODULES} == set(LINE_OF)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_part_imports_only_from_the_lines_above_it(module: str) -> None:
    here = package(module)
    not_above = {
        name
        for name in NEEDS[module]
        if (there := package(name)) not in (here, "root") and LINE_OF[there] >= LINE_OF[here]
    }

    assert not_above == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        list(graphlib.TopologicalSorter(NEEDS).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(reversed(error.args[1]))}")


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_heavy_library_is_imported_by_its_owner_alone(library: str) -> None:
    users = {
        dotted(path)
        for path in [*harness_modules(), *(PROJECT / f"{name}.py" for name in PROGRAMS)]
        if path.exists() and any(name.split(".")[0] == library for name in imported(path))
    }

    assert users == OWNERS[library]


BLOCK = """
import sys, runpy
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is blocked by this test")
sys.meta_path.insert(0, Block())
sys.argv = {argv}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("program", ["report.py", "util_logs.py", "run.py", "mmlu.py"])
def test_help_needs_no_heavy_library(program: str) -> None:
    blocked = {"vllm", "mlperf_loadgen", "torch", "transformers", "datasets", "numpy", "nltk"}
    script = BLOCK.format(blocked=blocked, argv=[program, "--help"])

    result = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert program in result.stdout
