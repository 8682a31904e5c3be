"""The LoadGen tests of a run: accuracy, performance, the probes of a rate search, TEST06."""

from __future__ import annotations

import contextlib
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from harness.config import Scenario
from harness.language import phrase
from harness.loadgen import sut
from harness.loadgen.answering import Progress
from harness.loadgen.latency_watch import LatencyWatch
from harness.loadgen.planning import Target
from harness.loadgen.process import LoadGenPlan
from harness.loadgen.user_conf import user_conf_text
from harness.logs.times import write_samples, write_telemetry, write_timeline
from harness.machine.telemetry import Telemetry, watching
from harness.measure.active import ActiveRun
from harness.results import repeats
from harness.results.files import write_text
from harness.scoring.test06 import AUDIT_CONFIG, AUDITED_ANSWERS

# The engine's own queue never runs dry, and stays short when LoadGen issues 40,000 at once.
ADMITTED_FILLS = 2

log = logging.getLogger("harness")


@dataclass(frozen=True)
class LoadGenTest:
    """What one LoadGen test is to be, and where it leaves its logs."""

    name: str  # as the progress line and run.log say it
    phase: str  # its key among config.json's phases
    log_dir: Path
    user_conf: Path  # written for this test
    target: Target
    samples: int  # that LoadGen is expected to issue
    accuracy: bool = False
    is_probe: bool = False  # no result: not padded to whole passes, and no minimum duration
    samples_csv: Path | None = None  # where the times of every sample go; None: nowhere
    timeline_csv: Path | None = None
    telemetry_csv: Path | None = None
    audit_config: Path | None = None  # of a compliance test: overrules all other settings


def accuracy_test(run: ActiveRun, target: Target) -> LoadGenTest:
    """Every sample once, its answer logged."""
    return LoadGenTest(
        name=phrase("accuracy"),
        phase="accuracy_s",
        log_dir=run.folder.accuracy,
        user_conf=run.folder.user_conf,
        target=target,
        samples=len(run.prompts),
        accuracy=True,
    )


def performance_test(run: ActiveRun, target: Target, number: int = 1) -> LoadGenTest:
    """The test whose times count; `number`: which of those that --repeat asks for."""
    folder = repeats.folder_of(run.folder, number)
    name, repeats_asked = phrase("performance"), run.config.repeat
    if repeats_asked > 1:
        name = phrase("performance {number} of {count}", number=number, count=repeats_asked)
    return LoadGenTest(
        name=name,
        phase="performance_s",
        log_dir=folder.performance,
        user_conf=run.folder.user_conf,
        target=target,
        samples=target.samples,
        samples_csv=folder.samples_csv,
        timeline_csv=folder.timeline_csv,
        telemetry_csv=folder.telemetry_csv,
    )


def probe(run: ActiveRun, target: Target, number: int, name: str) -> LoadGenTest:
    """A short test at one rate of a search, its logs in a folder of their own."""
    log_dir = run.folder.probes / f"{number:02d}"
    return LoadGenTest(
        name=name,
        phase="probes_s",
        log_dir=log_dir,
        user_conf=log_dir / "user.conf",
        target=target,
        samples=target.samples,
        is_probe=True,
        samples_csv=log_dir / "samples.csv",
    )


def test06(run: ActiveRun, target: Target) -> LoadGenTest:
    """The performance test's settings, of which audit.config overrules all but the target.

    `target` is the performance test's. Writes audit.config; raises OSError.
    """
    log_dir = run.folder.test06
    log_dir.mkdir(parents=True, exist_ok=True)
    audit_config = log_dir / "audit.config"
    write_text(audit_config, AUDIT_CONFIG)
    return LoadGenTest(
        name="TEST06",
        phase="compliance_s",
        log_dir=log_dir,
        user_conf=run.folder.user_conf,
        target=target,
        samples=AUDITED_ANSWERS,
        audit_config=audit_config,
    )


async def loadgen_test(
    run: ActiveRun, test: LoadGenTest, watch: LatencyWatch | None = None
) -> Progress:
    """Runs one LoadGen test to its end, or until `watch` has it broken off.

    The only function that starts LoadGen. Raises EngineError, LoadGenError, OSError.
    """
    test.log_dir.mkdir(parents=True, exist_ok=True)
    conf = user_conf_text(
        run.config,
        sample_count=len(run.prompts),
        min_duration_s=0 if test.is_probe else run.prepared.min_duration_s,
        target=test.target,
        probe_queries=test.samples if test.is_probe else None,
    )
    write_text(test.user_conf, conf)
    scenario = run.config.scenario
    plan = LoadGenPlan(
        loadgen_model=run.config.loadgen_model,
        scenario=scenario.loadgen_name,
        accuracy=test.accuracy,
        user_conf=test.user_conf,
        log_dir=test.log_dir,
        total_samples=len(run.prompts),
        write_samples=None
        if test.samples_csv is None
        else functools.partial(write_samples, test.samples_csv),
        audit_config=test.audit_config,
    )
    serving = sut.Serving(
        stream_first_token=scenario is not Scenario.OFFLINE,  # LoadGen wants it of all others
        stall_timeout_s=run.config.stall_timeout_s,
        admit_at_once=None if run.is_server else ADMITTED_FILLS * run.max_num_seqs,
    )
    progress = Progress()
    async with run.phase(test.phase, test.name, progress, test.samples):
        with _telemetry(run, test, progress) as telemetry:
            await sut.run_test(run.engine, run.prompts, plan, serving, progress, watch)
    log.info("%s: %d samples answered", test.name, progress.samples_done)
    if test.timeline_csv is not None:
        write_timeline(test.timeline_csv, progress.timeline)
    if test.telemetry_csv is not None and telemetry is not None:
        write_telemetry(test.telemetry_csv, telemetry.points)
    return progress


def _telemetry(
    run: ActiveRun, test: LoadGenTest, progress: Progress
) -> contextlib.AbstractContextManager[Telemetry | None]:
    """Looks at the machine during a test that keeps it; the others are left in peace."""
    if test.telemetry_csv is None:
        return contextlib.nullcontext()
    return watching(
        lambda: progress.started_at,
        run.engine.state,
        run.prepared.plan.system.gpu_count,
        run.engine.gpus_elsewhere,
        run.engine.processes_of_ray,
    )
