"""How long the engine is warmed up, which decides how well its speed is known."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import causes
from harness.measure import last_offline, preparation, warm_up
from harness.measure.active import ActiveRun
from harness.measure.last_offline import OfflineRate
from harness.measure.pace import ESTIMATE_FILLS, WARM_UP_SAMPLES
from harness.results.folder import RunFolder
from harness.terminal import Terminal
from tests.fakes import FakeEngine


def active_run(results_dir: Path, **flags: Any) -> ActiveRun:
    """A performance run of synthetic prompts on an engine double, its folder made."""
    config = RunConfig(
        model="demo",
        dataset="synthetic",
        mode="performance",
        results_dir=str(results_dir),
        **flags,
    )
    prepared = preparation.prepare(config, lambda _text: None)
    started = datetime.now()
    folder = RunFolder.create(results_dir, "datacenter", config.scenario.value, started)
    record = preparation.describe(prepared, [])
    record.begin(folder, started)
    return ActiveRun(prepared, folder, record, Terminal(), FakeEngine(seconds_per_answer=0.05))


@pytest.fixture
def searching(tmp_path: Path) -> ActiveRun:
    return active_run(
        tmp_path, scenario=Scenario.SERVER, server_target_qps="max", total_sample_count=200
    )


def test_a_search_that_knows_no_offline_rate_measures_one_first(searching: ActiveRun) -> None:
    assert warm_up.samples(searching) == ESTIMATE_FILLS * searching.max_num_seqs


def test_a_search_that_knows_the_offline_rate_only_warms_up(
    searching: ActiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_offline, "find", lambda *_: OfflineRate("an earlier run", 54.4))

    assert warm_up.samples(searching) == WARM_UP_SAMPLES


def test_the_results_folder_is_searched_once_for_an_offline_run(
    searching: ActiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(last_offline, "find", lambda *_: looked.append(1))

    assert [searching.last_offline, searching.last_offline, len(looked)] == [None, None, 1]


def test_an_offline_test_alone_is_planned_by_what_its_warm_up_shows(tmp_path: Path) -> None:
    run = active_run(tmp_path, total_sample_count=20, min_duration_s=1.0)
    assert isinstance(run.engine, FakeEngine)

    asyncio.run(warm_up.warm_up(run))

    assert run.pace is not None
    assert run.pace.source.startswith("the warm-up")
    answered = len(run.engine.prompts)
    assert answered >= ESTIMATE_FILLS * run.max_num_seqs
    asyncio.run(warm_up.warm_up(run))
    assert len(run.engine.prompts) - answered == 20, "the speed is known: all samples once"


@pytest.mark.parametrize(
    "cause",
    [
        "ValueError: No available memory for the cache blocks.",
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        "torch._inductor.exc.InductorError: CompilationError: at 7:4",
    ],
)
def test_why_an_engine_did_not_start_is_found_in_what_it_said(cause: str) -> None:
    said = f"""
(EngineCore pid=39) Traceback (most recent call last):
(EngineCore pid=39)   File "vllm/v1/worker/gpu_worker.py", line 784, in compile_or_warm_up_model
(EngineCore pid=39) {cause}
(EngineCore pid=39) For debugging consider passing CUDA_LAUNCH_BLOCKING=1
ERROR 11-25 07:55:10 [async_llm.py:704] vllm.v1.engine.exceptions.EngineDeadError: EngineCore died.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
"""

    assert causes.root_cause(said) == cause
