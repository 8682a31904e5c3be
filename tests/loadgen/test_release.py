"""Releases of LoadGen: which of them can do a run, shown by those that were published."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.errors import UsageError
from harness.loadgen import release
from harness.measure import preparation
from harness.measure.runs import Series
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from harness.rules.verdict import SPECS
from harness.terminal import Terminal
from tests.fakes import PlannedEngine

OF_THE_ROUND = "5.1.0"  # what all published results of v5.1 used
DOWNLOAD_TIMEOUT_S = 30


@pytest.fixture(scope="session")
def loadgen_5_1_0(pytestconfig: pytest.Config) -> Path:
    """A folder with that release, from the package index once; skips where it cannot be had."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir(f"loadgen-{OF_THE_ROUND}"))
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries=0"]
        pip += ["--timeout=5", "--only-binary=:all:", "--dest", str(folder)]
        try:
            subprocess.run(
                [*pip, f"mlcommons-loadgen=={OF_THE_ROUND}"],
                check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S,
            )  # fmt: skip
        except (subprocess.SubprocessError, OSError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
            pytest.skip(f"LoadGen {OF_THE_ROUND} cannot be had from the package index: {said}")
    (wheel,) = folder.glob("*.whl")
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


@pytest.fixture
def of_the_round(loadgen_5_1_0: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoadGen 5.1.0 for every process that a run starts: only those import it."""
    assert "mlperf_loadgen" not in sys.modules
    monkeypatch.setenv("PYTHONPATH", str(loadgen_5_1_0))
    monkeypatch.syspath_prepend(str(loadgen_5_1_0))


def asked(results: Path, **flags: Any) -> RunConfig:
    return RunConfig(
        model="demo",
        dataset="sample",
        mode="performance",
        total_sample_count=8,
        results_dir=str(results),
        **flags,
    )


def outcome_of_the_rule(folder: Path) -> tuple[str, str]:
    (spec,) = (spec for spec in SPECS if spec.id == "loadgen-release")
    rule = spec.judge(read_evidence(RunFolder(folder)))
    return rule.outcome, rule.found


def offline_run(results: Path) -> Path:
    """A whole Offline run with this LoadGen and an engine double; its folder."""
    prepared = preparation.prepare(asked(results), lambda _text: None)
    make_engine: Any = PlannedEngine
    status, (folder,) = Series([prepared], ["run.py"], Terminal(), make_engine).execute()
    assert status == 0
    return folder


@pytest.mark.usefixtures("of_the_round")
def test_offline_by_the_release_of_the_published_results_keeps_the_rule(tmp_path: Path) -> None:
    folder = offline_run(tmp_path)

    assert outcome_of_the_rule(folder) == ("passed", OF_THE_ROUND)


def test_offline_by_the_installed_release_keeps_the_rule(tmp_path: Path) -> None:
    folder = offline_run(tmp_path)

    assert outcome_of_the_rule(folder) == ("passed", "5.1.2")


@pytest.mark.usefixtures("of_the_round")
@pytest.mark.parametrize(
    ("category", "scenario", "flag", "name"),
    [
        ("datacenter", "interactive", "--scenario interactive", "llama3_1-8b-interactive"),
        ("edge", "offline", "--category edge", "llama3_1-8b-edge"),
        ("edge", "singlestream", "--category edge", "llama3_1-8b-edge"),
    ],
)
def test_a_release_without_the_model_name_is_refused_before_anything_loads(
    category: str, scenario: str, flag: str, name: str, tmp_path: Path
) -> None:
    config = asked(tmp_path, category=category, scenario=Scenario(scenario))

    with pytest.raises(UsageError) as refused:
        preparation.prepare(config, lambda _text: None)

    assert str(refused.value) == (
        f"{flag}: the installed LoadGen {OF_THE_ROUND} has no settings for the model name {name}, "
        "which this run needs; pip install mlcommons-loadgen==5.1.2."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("of_the_round")
def test_the_release_of_the_published_results_is_taken_for_server() -> None:
    config = RunConfig(scenario=Scenario.SERVER)

    release.check(config, release.installed(config.loadgen_model))
