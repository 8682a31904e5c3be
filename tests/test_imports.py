"""The import direction of the project, and what each program may need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PROGRAMS = ("run", "mmlu", "report", "util_logs")
# Only these modules may import these libraries, at the top or inside a function.
OWNERS = {
    "vllm": {"engine.vllm", "engine.cublas_fp8"},
    "mlperf_loadgen": {"loadgen.process"},
    "matplotlib": {"report.canvas"},
}
# Each layer imports from the layers above it, or from its own.
LAYERS = (
    {"errors", "rounds", "metrics", "formatting", "machine.hardware"},
    {
        "config",
        "results.index",
        "results.files",
        "templates",
        "report.canvas",
        "machine.system",
        "engine.profiles",
        "engine.attention",
        "engine.fp8",
        "engine.cublas_fp8",
        "loadgen.planning",
        "processes",
        "scoring.rouge",
        "early_stopping",
        "loadgen.rate_search",
        "limits",
        "submission.source_copy",
        "submission.system_description",
        "mmlu.subjects",
    },
    {
        "results.folder",
        "mmlu.plots",
        "report.plots",
        "report.latency_plots",
        "report.search_plot",
        "flags",
        "terminal",
        "inputs.demo_model",
        "inputs.model",
        "logs.text",
        "tuning.search",
    },
    {"logs.detail", "logs.answers", "logs.times"},
    {"logs.cross_check", "logs.performance", "rules.validity"},
    {"tuning.plans", "tuning.text", "mmlu.config", "mmlu.questions"},
    {"mmlu.prompts", "mmlu.score"},
    {"mmlu.results"},
    {"inputs.dataset", "engine.vllm", "loadgen.process", "scoring.accuracy", "scoring.test06"},
    {"mmlu.files"},
    {"rules.evidence", "loadgen.latency_watch"},
    {"loadgen.sut", "report.figures", "rules.rule"},
    {"rules.advice"},
    {"rules.run", "rules.settings", "rules.loadgen", "rules.latency"},
    {"rules.performance", "rules.accuracy"},
    {"rules.verdict", "rules.read"},
    {"submission.finished_run"},
    {"submission.checks"},
    {"submission.texts"},
    {"submission.tree"},
    {"report.summary"},
    {"report.latency_text"},
    {"report.text", "report.pages"},
    {"mmlu.report", "report.make"},
    {"engine.capacity", "engine.life", "measure.job", "tuning.file", "tuning.trial"},
    {"measure.preparation", "measure.last_offline"},
    {"mmlu.preparation"},
    {"mmlu.session"},
    {"measure.targets"},
    {
        "engine.keeper",
        "measure.session",
        "measure.server_search",
        "measure.audit",
        "tuning.session",
    },
    {"measure.execution"},
    {"measure.series"},
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


@pytest.mark.parametrize("path", harness_modules(), ids=dotted)
def test_a_part_imports_only_from_its_layer_or_above(path: Path) -> None:
    layer_of = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    parts = {
        name.removeprefix("harness.") for name in imported(path) if name.startswith("harness.")
    } & layer_of.keys()

    assert dotted(path) in layer_of, f"give {dotted(path)} a place in LAYERS"
    assert {part for part in parts if layer_of[part] > layer_of[dotted(path)]} == set()
    assert imported(path) & set(PROGRAMS) == set()


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
