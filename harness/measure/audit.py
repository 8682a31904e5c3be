"""TEST06 on the loaded engine: the performance test's settings, overruled by audit.config."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from harness import formatting
from harness.engine.vllm import streams_first_token
from harness.loadgen import process as loadgen
from harness.loadgen import sut
from harness.loadgen.answering import AnsweringEngine, Progress
from harness.results.folder import write_text
from harness.scoring import test06 as compliance

if TYPE_CHECKING:
    from harness.measure.session import Session

log = logging.getLogger("harness")


async def run_test06(session: Session, engine: AnsweringEngine) -> None:
    """One LoadGen test of 100 queries, its logs in Compliance/TEST06/. Raises BenchmarkError."""
    folder = session.folder
    folder.test06.mkdir(parents=True)
    audit_config = folder.test06 / "audit.config"
    write_text(audit_config, compliance.AUDIT_CONFIG)
    plan = loadgen.LoadGenPlan(
        loadgen_model=session.record["resolved"]["loadgen_model"],
        scenario=session.config.scenario.loadgen_name,
        accuracy=False,
        user_conf=folder.user_conf,  # of the performance test, which has just ended
        log_dir=folder.test06,
        total_samples=len(session.prompts),
        samples_csv=None,
        audit_config=audit_config,
    )
    queries = compliance.AUDITED_ANSWERS
    session.terminal.say(f"TEST06: {formatting.count(queries)} queries")
    progress = Progress()
    async with session.phase("compliance_s", "TEST06", progress, queries):
        await sut.run_test(
            engine,
            session.prompts,
            plan,
            sut.Serving(
                stream_first_token=streams_first_token(session.config.scenario),
                stall_timeout_s=session.config.stall_timeout_s,
            ),
            progress,
        )
    log.info("TEST06: %d samples answered", progress.samples_done)
