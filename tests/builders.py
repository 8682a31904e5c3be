"""What the tests of several packages build and read: run folders, and parts of their logs."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from pathlib import Path

from harness.config import RunConfig
from harness.loadgen import planning, sut
from harness.loadgen import process as loadgen
from harness.loadgen.answering import Progress
from harness.loadgen.user_conf import user_conf_text
from harness.logs.performance import performance_result
from harness.metrics import PerformanceResult
from harness.results.folder import DETAIL_LOG
from harness.rounds import ROUNDS
from tests.fakes import FakeEngine, make_prompts

DATA = Path(__file__).with_name("data")  # run folders that real LoadGen wrote (make_logs.py)
# Real LoadGen against benchmarks/official_length.py's double; tests/data/pack_official_length.py
# packed them.
PACKED = DATA / "official-length.tar.xz"


def performance(run_dir: Path) -> PerformanceResult:
    """The performance test of a run folder that has one."""
    result = performance_result(run_dir)
    assert result is not None
    return result


def logged(run_dir: Path, key: str) -> float:
    """A value of the detail log, found without the parser under test."""
    line = next(x for x in (run_dir / "Performance" / DETAIL_LOG).open() if f'"key": "{key}"' in x)
    value = json.loads(line.removeprefix(":::MLLOG "))["value"]
    assert isinstance(value, int | float)
    return value


def edit(path: Path, old: str, new: str) -> None:
    """Replaces a text that is in the file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def unpack(target: Path) -> dict[tuple[str, str, str], Path]:
    """Run folders of full official length (600 seconds) by round, category and scenario.

    Each gets an accuracy log of full size: those were left out of the archive, and LoadGen writes
    one for each category.
    """
    with tarfile.open(PACKED) as archive:
        archive.extractall(target, filter="data")
    found = {}
    logs = {category: write_accuracy_log(target, category) for category in ("datacenter", "edge")}
    for path in sorted(target.glob("*/*/config.json")):
        flags = json.loads(path.read_text())["flags"]
        category = flags["category"]
        found[flags["version"], category, flags["scenario"]] = path.parent
        shutil.copyfile(logs[category], path.parent / "Accuracy" / "mlperf_log_accuracy.json")
    return found


def write_accuracy_log(target: Path, category: str) -> Path:
    """LoadGen's log of an accuracy test over as many samples as the data set has."""
    folder = target / f"accuracy-{category}"
    folder.mkdir()
    settings = RunConfig(category=category)
    count = ROUNDS["5.1"].category(category).dataset_samples
    user_conf = folder / "user.conf"
    user_conf.write_text(
        user_conf_text(
            settings,
            sample_count=count,
            min_duration_s=600,
            target=planning.Target("a test", count, 600, qps=1000),
        )
    )
    plan = loadgen.LoadGenPlan(
        loadgen_model=settings.category_record.loadgen_model,
        scenario="Offline",
        accuracy=True,
        user_conf=user_conf,
        log_dir=folder,
        total_samples=count,
        samples_csv=None,
    )
    asyncio.run(
        sut.run_test(
            FakeEngine(),
            make_prompts(count),
            plan,
            sut.Serving(stream_first_token=False, stall_timeout_s=60),
            Progress(),
        )
    )
    return folder / "mlperf_log_accuracy.json"
