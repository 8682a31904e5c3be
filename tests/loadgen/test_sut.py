"""Real LoadGen against a fake engine: who asks, who answers, and what if one of them dies."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from harness import rounds
from harness.config import Scenario
from harness.errors import EngineError, LoadGenError
from harness.loadgen import process, sut
from harness.loadgen.answering import Progress
from harness.loadgen.process import LoadGenPlan
from harness.logs.answers import read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.times import read_samples
from tests.fakes import FakeEngine, answer_to, make_prompts
from tests.loadgen.plans import plan_for


def run(
    engine: FakeEngine,
    plan: LoadGenPlan,
    *,
    stream_first_token: bool = False,
    admit_at_once: int | None = None,
    stall_timeout_s: float = 20.0,
) -> Progress:
    progress = Progress()
    asyncio.run(
        sut.run_test(
            engine,
            make_prompts(plan.total_samples),
            plan,
            sut.Serving(stream_first_token, stall_timeout_s, admit_at_once),
            progress,
        )
    )
    return progress


def test_accuracy_log_holds_every_sample_once_with_the_tokens_the_engine_answered(
    tmp_path: Path,
) -> None:
    run(FakeEngine(), plan_for(tmp_path, samples=30, accuracy=True))

    answers = read_accuracy_log(tmp_path / "mlperf_log_accuracy.json")
    prompts = make_prompts(30)
    assert sorted(answer.sample_index for answer in answers) == list(range(30))
    assert {answer.sample_index: list(answer.token_ids) for answer in answers} == {
        index: answer_to(prompt) for index, prompt in enumerate(prompts)
    }


def test_token_count_told_to_loadgen_is_the_length_of_the_logged_answer(tmp_path: Path) -> None:
    run(FakeEngine(), plan_for(tmp_path, samples=12, accuracy=True))

    entries = json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())
    assert [len(entry["data"]) // 8 for entry in entries] == [
        entry["token_count"] for entry in entries
    ]


def test_performance_run_carries_the_seeds_of_the_round_and_no_errors(tmp_path: Path) -> None:
    run(FakeEngine(), plan_for(tmp_path, samples=20))

    log = read_detail_log(tmp_path / "mlperf_log_detail.txt")
    assert (log.qsl_rng_seed, log.sample_index_rng_seed, log.schedule_rng_seed) == (
        rounds.V5_1.seeds.qsl_rng_seed,
        rounds.V5_1.seeds.sample_index_rng_seed,
        rounds.V5_1.seeds.schedule_rng_seed,
    )
    assert log.errors == ()
    assert log.valid is True
    assert log.effective["sample_concatenate_permutation"] is True
    assert log.effective["performance_sample_count"] == 20


def test_no_query_is_lost_or_answered_twice_at_200_queries_per_second(tmp_path: Path) -> None:
    engine = FakeEngine(first_token_after_s=0.002, seconds_per_answer=0.05)
    plan = plan_for(
        tmp_path, samples=100, scenario=Scenario.SERVER, target_qps=200, min_duration_s=2
    )

    progress = run(engine, plan, stream_first_token=True)

    rows = read_samples(tmp_path / "samples.csv")
    assert len(engine.prompts) == len(rows) == progress.samples_issued == progress.samples_done
    assert progress.last_done_s == pytest.approx(max(row.completed_s for row in rows), abs=0.5)
    assert len(rows) >= 380  # 2 s at 200 queries/s, in whole passes
    assert all(
        row.first_token_s is not None and row.issued_s <= row.first_token_s <= row.completed_s
        for row in rows
    )
    assert read_detail_log(tmp_path / "mlperf_log_detail.txt").errors == ()


def test_single_stream_asks_one_query_at_a_time(tmp_path: Path) -> None:
    engine = FakeEngine(seconds_per_answer=0.001)
    plan = plan_for(tmp_path, samples=64, scenario=Scenario.SINGLESTREAM, category="edge")

    run(engine, plan, stream_first_token=True)

    assert engine.most_at_once == 1
    assert read_detail_log(tmp_path / "mlperf_log_detail.txt").errors == ()


def test_no_more_queries_than_admitted_reach_the_engine_at_once(tmp_path: Path) -> None:
    engine = FakeEngine(seconds_per_answer=0.002)

    run(engine, plan_for(tmp_path, samples=50), admit_at_once=8)

    assert engine.most_at_once == 8
    assert len(engine.prompts) == 50


def test_performance_folder_holds_loadgens_files_and_no_empty_trace(tmp_path: Path) -> None:
    run(FakeEngine(), plan_for(tmp_path, samples=5))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mlperf_log_accuracy.json",
        "mlperf_log_detail.txt",
        "mlperf_log_summary.txt",
        "samples.csv",
        "user.conf",
    ]


def test_an_engine_that_dies_fails_the_test_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="as this double was asked to"):
        run(FakeEngine(dies_after=3), plan_for(tmp_path, samples=20))

    assert "result_validity" not in (tmp_path / "mlperf_log_detail.txt").read_text()


def test_an_engine_that_goes_quiet_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no token for \d+ s while 17 queries wait"):
        run(FakeEngine(goes_quiet_after=3), plan_for(tmp_path, samples=20), stall_timeout_s=1.0)


def idle(_plan: LoadGenPlan, pipe: Connection, _parent: int) -> None:
    """A LoadGen that never comes to its first query."""
    time.sleep(60)
    pipe.close()


def test_a_loadgen_that_never_issues_a_query_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_run_test", idle)
    monkeypatch.setattr(sut, "LOADGEN_START_TIMEOUT_S", 0.3)

    with pytest.raises(LoadGenError, match=r"LoadGen has issued no query for \d+ s since its proc"):
        run(FakeEngine(), plan_for(tmp_path, samples=20), stall_timeout_s=0.3)


def test_a_loadgen_process_that_crashes_is_reported_with_the_open_queries(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, samples=20)
    broken = LoadGenPlan(**{**vars(plan), "scenario": "NoSuchScenario"})

    with pytest.raises(LoadGenError, match="ended in the middle of the test, with 0 queries"):
        run(FakeEngine(), broken)


@pytest.mark.parametrize("tokens", [2, 500_000])  # of an answer: it fits into the pipe, or not
def test_a_loadgen_process_that_is_stopped_is_given_up(tmp_path: Path, tokens: int) -> None:
    class Stopper(FakeEngine):
        async def answer(self, *_: object) -> list[int]:
            (process,) = multiprocessing.active_children()
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)
            return [7] * tokens

    with pytest.raises(LoadGenError, match="has done nothing for 1 s: it was stopped"):
        run(Stopper(), plan_for(tmp_path, samples=2), stall_timeout_s=1.0)


def test_samples_csv_has_a_row_for_each_answer_in_seconds_since_the_first_query(
    tmp_path: Path,
) -> None:
    run(FakeEngine(), plan_for(tmp_path, samples=2))

    lines = (tmp_path / "samples.csv").read_bytes().decode().split("\n")
    assert lines[0] == "sample_index,issued_s,first_token_s,completed_s,tokens"
    assert re.fullmatch(r"[01],0\.000000,,0\.\d{6},[23]", lines[1])
    assert len(lines) == 4
    assert lines[3] == ""


def test_timeline_ends_with_all_samples_done_and_nothing_outstanding(tmp_path: Path) -> None:
    progress = run(FakeEngine(seconds_per_answer=0.3), plan_for(tmp_path, samples=10))

    points = progress.timeline
    assert points[-1].samples_done == 10
    assert points[-1].outstanding == 0
    assert points[-1].tokens == sum(len(prompt) for prompt in make_prompts(10))
    assert points[0].outstanding == 10
