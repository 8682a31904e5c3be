"""Run folders to make reports of, and the figures that those draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.config import RunConfig, Scenario
from harness.loadgen.rate_search import Probe
from harness.scoring.accuracy import RougeScores
from tests.builders import SAMPLES, config_json, write_run

MakeRun = Callable[..., Path]
LLAMA = {  # the shape in config.json
    "layers": 32, "hidden": 4096, "inner": 14336, "heads": 32, "kv_heads": 8, "head_size": 128,
    "vocabulary": 128256,
}  # fmt: skip
PROBES = [
    Probe(40.0, True, "both limits kept", 2400, 60.0, 300.0, 62.5),
    Probe(50.0, False, "it falls | behind", 3000, 60.0, 1500.0, 90.0),
    Probe(44.7, True, "both limits kept", 2680, 60.0, 640.0, 71.0),
    Probe(62.5, False, "queries waited", 90, 3.0, 30000.0, None),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures a test draws: kept instead of rendered, which takes most of a report's time."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, **_options: object) -> None:
        path.touch()
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes run folders under tmp_path/results."""

    def make(
        settings: RunConfig | None = None,
        *,
        name: str = "20261123-141500-datacenter-offline",
        test: str | None = "offline-valid",
        rouge: RougeScores | None = None,
        error: str | None = None,
        status: str = "finished",
    ) -> Path:
        settings = settings or RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
        record = config_json(settings, error=error, status=status)
        folder = tmp_path / "results" / name
        return write_run(folder, settings, test=test, scores=rouge, record=record)

    return make


def timed_run(
    root: Path,
    test: str = "server-valid",
    scenario: Scenario = Scenario.SERVER,
    *,
    probes: Sequence[Probe] = (),
    status: str = "finished",
) -> Path:
    """A run folder of a performance test; of a run that failed, without its logs."""
    category = "edge" if scenario is Scenario.SINGLESTREAM else "datacenter"
    settings = RunConfig(
        scenario=scenario, category=category, mode="performance", total_sample_count=SAMPLES
    )
    return write_run(
        root / f"20261123-141500-{category}-{scenario.value}",
        settings,
        test=test if status == "finished" else None,
        record=config_json(settings, status=status, probes=probes),
    )


def legend(axes: Axes) -> list[str]:
    """The texts of a figure's legend."""
    box = axes.get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []
