"""How long the engine is warmed up, which decides how well its speed is known."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import life as engine_life
from harness.measure import preparation, server_search
from harness.measure.pace import ESTIMATE_FILLS, WARM_UP_SAMPLES
from harness.measure.session import Session
from harness.results.folder import RunFolder
from harness.terminal import Terminal
from tests.fakes import FakeEngine


@pytest.fixture
def searching(tmp_path: Path) -> Session:
    config = RunConfig(
        model="demo",
        dataset="synthetic",
        scenario=Scenario.SERVER,
        mode="performance",
        server_target_qps="max",
        total_sample_count=200,
        results_dir=str(tmp_path),
    )
    prepared = preparation.prepare(config, lambda _text: None)
    folder = RunFolder.create(tmp_path, "datacenter", "server", datetime.now())
    return Session(prepared, folder, preparation.config_record(prepared, []), Terminal())


def test_a_search_that_knows_no_offline_rate_measures_one_first(searching: Session) -> None:
    assert searching._warm_up_samples() == ESTIMATE_FILLS * searching.max_num_seqs


def test_a_search_that_knows_the_offline_rate_only_warms_up(
    searching: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_search, "offline_rate", lambda _session: 54.4)

    assert searching._warm_up_samples() == WARM_UP_SAMPLES


def test_an_offline_test_alone_is_planned_by_what_its_warm_up_shows(tmp_path: Path) -> None:
    config = RunConfig(
        model="demo",
        dataset="synthetic",
        mode="performance",
        total_sample_count=20,
        min_duration_s=1.0,
        results_dir=str(tmp_path),
    )
    prepared = preparation.prepare(config, lambda _text: None)
    folder = RunFolder.create(tmp_path, "datacenter", "offline", datetime.now())
    session = Session(prepared, folder, preparation.config_record(prepared, []), Terminal())
    engine = FakeEngine(seconds_per_answer=0.05)

    asyncio.run(session.warm_up(engine))

    assert session.pace is not None
    assert session.pace.source.startswith("the warm-up")
    answered = len(engine.prompts)
    assert answered >= ESTIMATE_FILLS * session.max_num_seqs
    asyncio.run(session.warm_up(engine))
    assert len(engine.prompts) - answered == 20, "the speed is known: all samples once"


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

    assert engine_life.root_cause(said) == cause
