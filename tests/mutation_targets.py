"""What mutations are tried on: files that a person has, and the programs that read them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
import util_logs
from harness.config import RunConfig, Scenario
from harness.errors import BenchmarkError
from harness.inputs import articles, demo_model
from harness.inputs.dataset import load_dataset
from harness.loadgen.rate_search import Probe
from harness.measure import last_offline
from harness.mmlu import files as mmlu_files
from harness.mmlu import text as mmlu_text
from harness.mmlu.questions import choose
from harness.report import text
from harness.results import folder as run_folder
from harness.results.folder import RunFolder
from harness.rules.verdict import OFFICIAL_READY, UNOFFICIAL
from harness.submission import tree
from harness.tuning import file as tuning_file
from tests.builders import DATA, SAMPLES, config_json, rouge, unpack, write_evaluation, write_run
from tests.submission.conftest import WORDS
from tests.tuning.test_search import CONFIG, SYSTEM
from tests.tuning.test_search import record as record_search

WORTH = {UNOFFICIAL: 1, OFFICIAL_READY: 2}  # of a verdict; any other is worth nothing
PROBES = (
    Probe(12.0, True, "It holds.", 720, 60.0, 120.5, 31.25),
    Probe(16.0, False, "TTFT p99 was over the limit.", 960, 60.0, 2150.0, 48.5),
)
VOCAB = 4096  # of the demo tokenizer


@dataclass(frozen=True)
class Facts:
    """What a program made of its files. `worth` tells results that count from those that do not."""

    worth: int
    figures: Any


class Strange(Exception):
    """A program ended otherwise than with an answer or a sentence."""


@dataclass(frozen=True)
class Target:
    """Files to damage, and what reads them. It returns facts, or raises BenchmarkError."""

    name: str
    files: tuple[Path, ...]
    use: Callable[[], Facts]
    share: float  # how often it is drawn


def targets(root: Path) -> list[Target]:
    """Everything that mutations are tried on, made in an empty folder."""
    found = [*run_targets(root / "runs"), *official_targets(root / "official")]
    found += [*input_targets(root / "inputs"), *results_targets(root / "results")]
    return found


def run_targets(root: Path) -> Iterator[Target]:
    """Run folders of each kind, with the small logs of tests/data."""
    demo = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    server = demo.with_values(scenario=Scenario.SERVER, server_target_qps="max", compliance=True)
    single = demo.with_values(scenario=Scenario.SINGLESTREAM, category="edge")
    failed = config_json(demo, status="failed", error="The engine died.")
    kinds: list[tuple[str, str | None, RunConfig, dict[str, Any] | None]] = [
        ("datacenter-offline", "offline-valid", demo, None),
        ("datacenter-server", "server-valid", server, config_json(server, probes=PROBES)),
        ("edge-singlestream", "singlestream-valid", single, None),
        ("datacenter-offline-2", "offline-valid", demo, failed),
        ("datacenter-offline-3", None, demo.with_values(mode="accuracy"), None),
    ]
    for name, test, settings, record in kinds:
        place = root / name / f"20261123-141500-{name}"
        folder = write_run(place, settings, test=test, scores=rouge(1.0), record=record)
        if test:
            shutil.copy(DATA / test / "user.conf", folder)
        yield _of_run(f"report of {name}", folder, 1.5)
        yield _of_logs(f"logs of {name}", folder, 0.5)
    mmlu = write_evaluation(root / "mmlu" / "20261124-093000-mmlu")
    yield Target("report of mmlu", files_in(mmlu), lambda: evaluation(mmlu), 1.5)


def official_targets(root: Path) -> Iterator[Target]:
    """Run folders of official length, and the submissions that they make."""
    root.mkdir(parents=True)
    runs = unpack(root)
    for (version, category, scenario), folder in runs.items():
        if version == "5.1" and (category, scenario) != ("edge", "offline"):
            yield _of_run(f"report of an official {scenario} run", folder, 0.2)
    single, offline = runs["5.1", "edge", "singlestream"], runs["5.1", "edge", "offline"]
    words = root / "system.json"
    words.write_text(json.dumps(WORDS))
    project = root / "project"
    (project / "harness").mkdir(parents=True)
    for name in ("run.py", "README.md", "harness/__init__.py"):
        (project / name).write_text("\n")
    files = (words, *files_in(single))
    yield Target(
        "submission", files, lambda: submission(root, project, words, [single, offline]), 0.2
    )


def _of_run(name: str, folder: Path, share: float) -> Target:
    return Target(name, files_in(folder), lambda: run_report(folder), share)


def _of_logs(name: str, folder: Path, share: float) -> Target:
    return Target(name, files_in(folder), lambda: logs(folder), share)


def files_in(folder: Path) -> tuple[Path, ...]:
    """Every file of a folder, in the same order everywhere."""
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def called(program: str, main: Callable[[Sequence[str]], int], argument: Path) -> str:
    """What a program prints. Raises BenchmarkError with its sentence where it refuses."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument)])
    said = err.getvalue()
    if status == 0 and not said:
        return out.getvalue()
    if status not in (1, 2) or not said.startswith(f"{program}: ") or said.count("\n") > 1:
        raise Strange(f"status {status}, and said: {said!r}")
    raise BenchmarkError(said)


def run_report(folder: Path) -> Facts:
    """report.py on a run, and its last lines on the terminal."""
    called("report.py", report.main, folder)
    record = json.loads((folder / "summary.json").read_text())
    if record["run"].keys() == {"mmlu"}:
        mmlu_text.terminal_summary(record)
        return Facts(0, {})
    text.terminal_summary(record)
    kept = ("run", "not_official", "departures")
    named = ("version", "category", "scenario", "mode", "model", "precision", "dataset",
             "sample_count", "full_size", "weights")  # fmt: skip
    figures = {name: record[name] for name in kept}
    figures["meta"] = {name: record["meta"][name] for name in named}
    return Facts(WORTH.get(record["verdict"]["result"], 0), figures)


def evaluation(folder: Path) -> Facts:
    """report.py on an evaluation by mmlu.py, and its last lines on the terminal."""
    called("report.py", report.main, folder)
    record = json.loads((folder / "summary.json").read_text())
    if "mmlu" not in record["run"]:
        return Facts(0, {})
    mmlu_text.terminal_summary(record)
    finished = record["headline"]["value"] is not None
    return Facts(int(finished), record["run"])


def logs(folder: Path) -> Facts:
    """util_logs.py on a run."""
    printed = json.loads(called("util_logs.py", util_logs.main, folder))
    performance = printed["performance"] or {"valid": False}
    performance.pop("loadgen", None)
    return Facts(int(performance["valid"]), performance)


def submission(root: Path, project: Path, words: Path, run_dirs: Sequence[Path]) -> Facts:
    """run.py --submission in the closed division."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    asked = tree.Submission(out, "ACME", "closed", words)
    tree.make_submission(asked, run_dirs, project)
    results = sorted(path for path in out.rglob("*.txt") if "accuracy" in path.name)
    return Facts(2, {path.name: path.read_text() for path in results})


def input_targets(root: Path) -> Iterator[Target]:
    """Data sets and questions, as --dataset-path takes them."""
    root.mkdir(parents=True)
    tokenizer = _tokenizer(root / "tokenizer")
    articles_of = articles.read_entries(articles.SAMPLE_ARTICLES)[:12]
    texts, ids = root / "articles.json", root / "cnn_eval.json"
    texts.write_text(json.dumps(articles_of))
    token_ids = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB).samples[:12]
    tokenised = [
        entry | {"tok_input": sample.token_ids}
        for entry, sample in zip(articles_of, token_ids, strict=True)
    ]
    ids.write_text(json.dumps(tokenised))

    def load(path: Path) -> Facts:
        data = load_dataset(RunConfig(dataset_path=str(path)), lambda: tokenizer, VOCAB)
        for sample in data.samples:
            assert sample.token_ids and all(0 <= token < VOCAB for token in sample.token_ids)
            assert sample.reference
        return Facts(0, {})

    yield Target("articles", (texts,), lambda: load(texts), 1)
    yield Target("tokenised articles", (ids,), lambda: load(ids), 1)
    questions = root / "questions.jsonl"
    questions.write_bytes(mmlu_files.SAMPLE_FILE.read_bytes())
    yield Target("questions", (questions,), lambda: ask(questions), 1)
    parquet = _questions_as_parquet(root / "mmlu" / "all")
    yield Target("questions in parquet", files_in(parquet), lambda: ask(root / "mmlu"), 0.3)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    folder.mkdir()
    demo_model._build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _questions_as_parquet(folder: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True)
    rows = [json.loads(line) for line in mmlu_files.SAMPLE_FILE.read_text().splitlines()]
    for split in ("test", "dev"):
        table = pyarrow.Table.from_pylist([row for row in rows if row["split"] == split])
        pyarrow.parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return folder


def ask(path: Path) -> Facts:
    """The questions that mmlu.py --dataset-path would ask."""
    chosen = choose(
        mmlu_files.load_questions("mmlu", str(path)), subjects=(), total_limit=None, num_fewshot=1
    )
    assert chosen.checksum and all(question.letter for question in chosen.questions)
    return Facts(0, {})


def results_targets(root: Path) -> Iterator[Target]:
    """The files beside the run folders, and what other runs read of a neighbour."""
    demo = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    runs = [
        write_run(root / f"2026112{day}-141500-datacenter-offline", demo, test="offline-valid")
        for day in (3, 4)
    ]
    for folder in runs:
        report.make_report(folder)
    last = RunFolder(runs[1])
    record = json.loads(last.config_json.read_text())
    run_folder.finish(last, keep_all=True)
    files = (root / "index.json", root / "index.md", *(f / name for f in runs[:1] for name in
             ("config.json", "summary.json")))  # fmt: skip

    def finish() -> Facts:
        run_folder.finish(last, keep_all=True)
        entries = json.loads((root / "index.json").read_text())
        last_offline.find(root, record)
        assert (root / "latest").resolve() == last.path and entries[0]["run"] == last.name
        return Facts(0, {})

    yield Target("index", files, finish, 1)
    tuning = root / "tuning.json"
    record_search(root)
    record_search(root, CONFIG.with_values(weights="dummy"))

    def tune() -> Facts:
        tuning_file.note_on_ignored(root)
        tuning_file.find(root, CONFIG, SYSTEM)
        tuning_file.read_trials(root, tuning_file.describe(CONFIG, SYSTEM, 2668, "a checksum"))
        record_search(root)
        assert tuning_file.find(root, CONFIG, SYSTEM) is not None
        return Facts(0, {})

    yield Target("tuning", (tuning,), tune, 1)
