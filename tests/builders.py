"""What the tests of several packages build and read: run folders, and parts of their logs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import config
from harness.config import RunConfig
from harness.engine.settings import Sampling
from harness.loadgen import planning, sut
from harness.loadgen import process as loadgen
from harness.loadgen.answering import Progress
from harness.loadgen.rate_search import Probe
from harness.loadgen.user_conf import user_conf_text
from harness.logs.performance import performance_result
from harness.logs.text import sha256
from harness.logs.times import TIMELINE_HEADER, read_samples
from harness.metrics import PerformanceResult, SampleTimes
from harness.mmlu.questions import Question
from harness.mmlu.results import to_json
from harness.mmlu.score import Answered, score
from harness.results.folder import DETAIL_LOG
from harness.rounds import OFFICIAL_MODEL_REVISION, ROUNDS, V5_1
from harness.rules.departures import RunFacts, departures
from harness.scoring import accuracy
from tests.fakes import FakeEngine, make_prompts

DATA = Path(__file__).with_name("data")  # run folders that real LoadGen wrote (make_logs.py)
SAMPLES = 20  # in a test of tests/data
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


def _facts(settings: RunConfig) -> RunFacts:
    """What a run learns before it begins."""
    count = settings.total_sample_count or settings.category_record.dataset_samples
    facts = RunFacts(count, None, None, False, "5.1")
    if settings.dataset != "cnndm":
        facts = dataclasses.replace(facts, dataset_unofficial_because="The articles are our own.")
    return facts


def _run(settings: RunConfig, status: str, error: str | None) -> dict[str, Any]:
    """What config.json says of the run itself."""
    arguments = [f"--{key}={getattr(settings, key)}" for key in ("model", "dataset", "mode")]
    if settings.total_sample_count:
        arguments += ["--total-sample-count", str(settings.total_sample_count)]
    return {
        "name": "a name",
        "started": "2026-11-23T14:15:00+00:00",
        "finished": "2026-11-23T14:16:07+00:00",
        "status": status,
        "error": error,
        "command": ["python", "run.py", *arguments],
        "phases": {"engine_load_s": 21.4, "warm_up_s": 2.2, "performance_s": 9.0},
        "first_query_s": 27.6,
    }


def config_json(
    settings: RunConfig,
    *,
    error: str | None = None,
    status: str = "finished",
    probes: Sequence[Probe] = (),
) -> dict[str, Any]:
    """What run.py records of a run."""
    facts = _facts(settings)
    count = facts.sample_count
    return {
        "schema_version": 1,
        "run": _run(settings, status, error),
        "flags": settings.to_json(),
        "resolved": {
            "sample_count": count,
            "full_size": config.is_full_size(settings, count),
            "min_duration_s": config.min_duration_s(settings, count),
            "tensor_parallel_size": 1,
            "max_model_len": 4096,
            "engine": {
                "dtype": "bfloat16",
                "max_num_seqs": 64,
                "enable_prefix_caching": False,
            },
            "sampling": Sampling(settings.max_new_tokens, settings.round.min_new_tokens).to_json(),
            "profile": {"name": "tuned-bf16-offline", "source": "tuned on 2026-11-24: faster"},
            "target_qps": {"value": 50.0, "source": "the warm-up", "expected_duration_s": 0.4},
            "loadgen_model": V5_1.loadgen_model(settings.category, settings.scenario.value),
            "accuracy_not_judged_because": None,
            "probes": [dataclasses.asdict(probe) for probe in probes],
        },
        "official": dataclasses.asdict(V5_1),
        "departures": [dataclasses.asdict(d) for d in departures(settings, facts)],
        "dataset": {
            "name": settings.dataset,
            "source": "harness/data/sample.json",
            "checksum_sha256": "0123abcd",
            "samples": count,
            "unofficial_because": facts.dataset_unofficial_because,
            "longest_prompt_tokens": 812,
            "mean_prompt_tokens": 431.5,
        },
        "model": {
            "requested": settings.model,
            "path": "/models/demo",
            "revision": None if settings.model == "demo" else OFFICIAL_MODEL_REVISION,
            "unofficial_because": "It is the demo." if settings.model == "demo" else None,
        },
        "system": {"gpu_name": "NVIDIA H200", "gpu_count": 1, "memory_bytes": 2**37, "cpu": None},
        "loadgen": {"version": "5.1.2", "round": "5.1"},
    }


def rouge(share: float, answers: int = SAMPLES) -> accuracy.RougeScores:
    """Scores that are a share of the reference, and answers of the reference's length."""
    targets = V5_1.datacenter.accuracy
    length = targets.gen_len * answers // V5_1.datacenter.dataset_samples
    names = ("rouge1", "rouge2", "rougeL", "rougeLsum")
    fractions = {name: share * getattr(targets, name) / 100 for name in names}
    return accuracy.RougeScores(**fractions, gen_len=length, gen_num=answers)


def write_timeline(folder: Path) -> None:
    """The engine's state after each answer of samples.csv, exactly: a test may last under 1 ms."""
    samples = read_samples(folder / "samples.csv")
    lines, tokens = [",".join(TIMELINE_HEADER)], 0
    for done, sample in enumerate(sorted(samples, key=lambda s: s.completed_s), start=1):
        tokens += sample.tokens
        lines.append(f"{sample.completed_s},{tokens},{done},{len(samples) - done}")
    (folder / "timeline.csv").write_text("\n".join(lines) + "\n")


def write_run(
    folder: Path,
    settings: RunConfig,
    *,
    test: str | None = None,
    scores: accuracy.RougeScores | None = None,
    record: dict[str, Any] | None = None,
) -> Path:
    """A run folder with LoadGen's own logs of a test of tests/data, and these scores.

    `record` is its config.json, by default that of a run that finished.
    """
    folder.mkdir(parents=True)
    if test and settings.runs_performance:
        shutil.copytree(DATA / test / "Performance", folder / "Performance")
        shutil.copy(DATA / test / "samples.csv", folder)
        write_timeline(folder)
    if scores and settings.runs_accuracy:
        shutil.copytree(DATA / "offline-valid" / "Accuracy", folder / "Accuracy")
        judged = accuracy.judge(
            scores, V5_1, settings.category, high_accuracy=False, not_judged_because=None
        )
        text = accuracy.to_rouge_json(judged, V5_1, settings.category, high_accuracy=False)
        (folder / "Accuracy" / "rouge.json").write_text(json.dumps(text))
    (folder / "config.json").write_text(json.dumps(record or config_json(settings)))
    (folder / "run.log").write_text("INFO engine loaded\n")
    return folder


def write_evaluation(folder: Path) -> Path:
    """An evaluation's folder: 4 questions of anatomy, 3 right, and 2 of virology, 1 unreadable."""
    folder.mkdir(parents=True)
    record = config_json(RunConfig(model="demo", dataset="sample", total_sample_count=6))
    record["flags"] |= {
        "category": "mmlu",
        "scenario": None,
        "protocol": "plain",
        "num_fewshot": 5,
        "total_limit": 6,
        "subjects": None,
    }
    record["dataset"] |= {"available": 285, "subjects": 2}
    record["model"]["source"] = "built on this machine"
    (folder / "config.json").write_text(json.dumps(record))
    taken = {"anatomy": (1, 1, 1, 2), "virology": (1, None)}
    answers = [
        Answered(Question(subject, 0, "?", ("a", "b", "c", "d"), 1), pred, None, "", 1.0, 10, 1)
        for subject, preds in taken.items()
        for pred in preds
    ]
    for name, content in to_json(score(answers), "plain", 5).items():
        (folder / name).write_text(json.dumps(content))
    return folder


def text_of(folder: Path) -> str:
    """report.md of a run folder."""
    return (folder / "report.md").read_text()


def steady_samples(
    count: int, *, ttft_s: float = 0.1, tpot_s: float = 0.01, drift: float = 0.0
) -> list[SampleTimes]:
    """Two queries a second; each waits `drift` longer for every second that has passed."""
    samples = []
    for index in range(count):
        issued = index / 2
        first = issued + ttft_s + drift * issued
        samples.append(SampleTimes(index, issued, first, first + 10 * tpot_s, 11))
    return samples


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
        accuracy_dir = path.parent / "Accuracy"
        shutil.copyfile(logs[category], accuracy_dir / "mlperf_log_accuracy.json")
        scored = json.loads((accuracy_dir / "rouge.json").read_text())
        scored["accuracy_log_sha256"] = sha256(logs[category])
        (accuracy_dir / "rouge.json").write_text(json.dumps(scored))
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
        write_samples=None,
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
