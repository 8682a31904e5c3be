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
    "vllm": {"engine", "fp8_products"},
    "mlperf_loadgen": {"loadgen"},
    "matplotlib": {"canvas"},
}
# Each layer imports from the layers above it, or from its own.
LAYERS = (
    {"errors", "rounds", "metrics", "formatting", "hardware"},
    {
        "config",
        "run_index",
        "canvas",
        "system_info",
        "profiles",
        "attention",
        "fp8",
        "fp8_products",
        "planning",
        "processes",
        "rouge",
        "early_stopping",
        "rate_search",
        "latency",
        "source_copy",
        "system_description",
        "mmlu_subjects",
    },
    {
        "run_folder",
        "mmlu_plots",
        "plots",
        "latency_plots",
        "search_plot",
        "flags",
        "terminal",
        "demo_model",
        "model",
        "validity",
        "tuning",
    },
    {"tuning_plans", "tuning_text", "mmlu_config", "mmlu_questions"},
    {"mmlu_prompts", "mmlu_score"},
    {"mmlu_results"},
    {"dataset", "engine", "loadgen", "accuracy", "compliance"},
    {"mmlu_files"},
    {"evidence", "latency_watch"},
    {"sut", "figures", "rule"},
    {"advice"},
    {"rules_run", "rules_settings", "rules_loadgen", "rules_latency"},
    {"rules_performance", "rules_accuracy"},
    {"verdict"},
    {"submission_checks"},
    {"submission_texts"},
    {"submission"},
    {"summary"},
    {"latency_text"},
    {"report_text", "pages"},
    {"mmlu_report"},
    {"capacity", "engine_life", "job", "tuning_file", "trial"},
    {"preparation", "last_offline"},
    {"mmlu_preparation"},
    {"mmlu_session"},
    {"targets"},
    {"engine_keeper", "session", "server_search", "audit", "tune_session"},
    {"execution"},
    {"series"},
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
    return sorted(path for path in (PROJECT / "harness").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", harness_modules(), ids=lambda path: path.stem)
def test_a_part_imports_only_from_its_layer_or_above(path: Path) -> None:
    layer_of = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    parts = {
        name.split(".")[1] for name in imported(path) if name.startswith("harness.")
    } & layer_of.keys()

    assert path.stem in layer_of, f"give {path.stem} a place in LAYERS"
    assert {part for part in parts if layer_of[part] > layer_of[path.stem]} == set()
    assert imported(path) & set(PROGRAMS) == set()


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_heavy_library_is_imported_by_its_owner_alone(library: str) -> None:
    users = {
        path.stem
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
