"""Reports of run folders whose logs real LoadGen wrote (tests/data/make_logs.py)."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import report
from harness import config
from harness.config import RunConfig, Scenario
from harness.engine.vllm import sampling_settings
from harness.errors import LogError
from harness.rounds import OFFICIAL_MODEL_REVISION, V5_1
from harness.rules import advice
from harness.rules.departures import RunFacts, departures
from harness.rules.evidence import Evidence
from harness.scoring import accuracy

DATA = Path(__file__).parents[1] / "data"
SAMPLES = 20
MakeRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but not rendered, which takes most of a report's time."""
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes run folders under tmp_path/results."""

    def make(
        settings: RunConfig | None = None,
        *,
        name: str = "20261123-141500-datacenter-offline",
        test: str | None = "offline-valid",
        rouge: accuracy.RougeScores | None = None,
        error: str | None = None,
        status: str = "finished",
    ) -> Path:
        settings = settings or RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        if test and settings.runs_performance:
            shutil.copytree(DATA / test / "Performance", folder / "Performance")
            shutil.copy(DATA / test / "samples.csv", folder)
            write_timeline(folder)
        if rouge and settings.runs_accuracy:
            shutil.copytree(DATA / "offline-valid" / "Accuracy", folder / "Accuracy")
            judged = accuracy.judge(
                rouge, V5_1, settings.category, high_accuracy=False, not_judged_because=None
            )
            text = accuracy.to_rouge_json(judged, V5_1, settings.category, high_accuracy=False)
            (folder / "Accuracy" / "rouge.json").write_text(json.dumps(text))
        record = config_json(settings, error=error, status=status)
        (folder / "config.json").write_text(json.dumps(record))
        (folder / "run.log").write_text("INFO engine loaded\n")
        return folder

    return make


def write_timeline(folder: Path) -> None:
    """The engine's state after each answer of samples.csv."""
    rows = [line.split(",") for line in (folder / "samples.csv").read_text().split()[1:]]
    answers = sorted((float(completed), int(tokens)) for *_, completed, tokens in rows)
    lines, total = ["time_s,tokens,samples_done,outstanding"], 0
    for done, (completed, tokens) in enumerate(answers, start=1):
        total += tokens
        lines.append(f"{completed},{total},{done},{len(answers) - done}")
    (folder / "timeline.csv").write_text("\n".join(lines) + "\n")


def config_json(
    settings: RunConfig, *, error: str | None = None, status: str = "finished"
) -> dict[str, Any]:
    """What run.py records of a run."""
    count = settings.total_sample_count or settings.category_record.dataset_samples
    facts = RunFacts(count, None, None, False, "5.1")
    if settings.dataset != "cnndm":
        facts = dataclasses.replace(facts, dataset_unofficial_because="The articles are our own.")
    arguments = [f"--{key}={getattr(settings, key)}" for key in ("model", "dataset", "mode")]
    if settings.total_sample_count:
        arguments += ["--total-sample-count", str(settings.total_sample_count)]
    return {
        "schema_version": 1,
        "run": {
            "name": "a name",
            "started": "2026-11-23T14:15:00+00:00",
            "finished": "2026-11-23T14:16:07+00:00",
            "status": status,
            "error": error,
            "command": ["python", "run.py", *arguments],
            "phases": {"engine_load_s": 21.4, "warm_up_s": 2.2, "performance_s": 9.0},
            "first_query_s": 27.6,
        },
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
            "sampling": sampling_settings(settings.max_new_tokens),
            "profile": {"name": "tuned-bf16-offline", "source": "tuned on 2026-11-24: faster"},
            "target_qps": {"value": 50.0, "source": "the warm-up", "expected_duration_s": 0.4},
            "loadgen_model": V5_1.loadgen_model(settings.category, settings.scenario.value),
            "accuracy_not_judged_because": None,
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


def test_the_report_says_where_the_settings_are_from_and_when_the_first_query_was_timed(
    make_run: MakeRun,
) -> None:
    folder = make_run()
    record = report.make_report(folder)

    assert record["meta"]["first_query_s"] == 27.6
    text = text_of(folder)
    assert "| engine settings | profile tuned-bf16-offline: tuned on 2026-11-24: faster |" in text
    assert "| from the command to the first query of a test | 28 s |" in text


def rouge(share: float, answers: int = SAMPLES) -> accuracy.RougeScores:
    """Scores that are a share of the reference, and answers of the reference's length."""
    targets = V5_1.datacenter.accuracy
    length = targets.gen_len * answers // V5_1.datacenter.dataset_samples
    names = ("rouge1", "rouge2", "rougeL", "rougeLsum")
    fractions = {name: share * getattr(targets, name) / 100 for name in names}
    return accuracy.RougeScores(**fractions, gen_len=length, gen_num=answers)


def text_of(folder: Path) -> str:
    return (folder / "report.md").read_text()


def test_summary_json_has_the_keys_that_were_promised(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    returned = report.make_report(folder)
    written = json.loads((folder / "summary.json").read_text())
    assert written == returned
    assert set(written) >= {"schema_version", "meta", "system", "run", "verdict", "logs", "plots"}
    assert set(written["meta"]) >= {
        "version", "category", "scenario", "mode", "model", "precision", "dataset", "started",
        "finished", "status",
    }  # fmt: skip
    assert set(written["run"]["performance"]) >= {
        "scenario", "duration_s", "total_new_tokens", "tokens_per_sec", "samples_per_sec",
        "target_qps", "achieved_qps", "latency_ms", "ttft_ms", "tpot_ms", "valid",
    }  # fmt: skip
    assert set(written["run"]["performance"]["latency_ms"]) >= {"p50", "p90", "p95", "p99", "mean"}
    assert set(written["run"]["accuracy"]) >= {
        "total_samples", "rouge", "passed", "run_gen_len", "run_gen_num",
    }  # fmt: skip
    assert written["run"]["accuracy"]["rouge"]["rougeLsum"] == pytest.approx(0.35793)
    assert written["logs"] == {
        "summary_txt": "Performance/mlperf_log_summary.txt",
        "detail_txt": "Performance/mlperf_log_detail.txt",
        "accuracy_json": "Accuracy/mlperf_log_accuracy.json",
        "rouge_json": "Accuracy/rouge.json",
        "run_log": "run.log",
    }


def test_figures_are_those_of_loadgens_own_summary(make_run: MakeRun) -> None:
    folder = make_run()
    performance = report.make_report(folder)["run"]["performance"]
    printed = dict(
        line.split(":", 1)
        for line in (folder / "Performance/mlperf_log_summary.txt").read_text().splitlines()
        if line.count(":") == 1
    )
    assert performance["tokens_per_sec"] == pytest.approx(float(printed["Tokens per second"]), 1e-5)
    p90_ns = float(next(v for k, v in printed.items() if k.startswith("90.00 percentile latency")))
    assert performance["latency_ms"]["p90"] == pytest.approx(p90_ns / 1e6)
    assert performance["total_new_tokens"] == 4 * (3 + 4 + 5 + 6 + 7)


def test_first_lines_give_the_figure_and_say_what_it_is_not(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = report.make_report(folder)
    first, second, third = [line for line in text_of(folder).splitlines() if line][:3]
    assert first == "# Offline (datacenter): demo, bf16"
    assert second == f"**{record['headline']['text']}**"
    assert " tokens/s (" in second and " samples/s)" in second
    assert third == (
        "**Not an official MLPerf result:** smoke run of 20 of 13,368 samples; demo model; "
        "data set sample."
    )


def test_every_broken_rule_is_a_line_of_the_report_and_said_once(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = report.make_report(folder)
    broken = [rule for rule in record["verdict"]["rules"] if rule["outcome"] == "failed"]
    assert {rule["id"] for rule in broken} >= {"whole-data-set", "model", "data-set"}
    for rule in broken:
        line = f"| {rule['id']} | unofficial | {rule['sentence']} | step 1 |\n"
        assert text_of(folder).count(line) == text_of(folder).count(rule["sentence"]) == 1
    assert text_of(folder).count(record["next_steps"][0]["command"]) == 1


def test_report_lists_the_rules_that_are_kept_with_what_was_found(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    report.make_report(folder)
    kept = text_of(folder).split("## Rules kept\n")[1].split("\n## ")[0]
    assert "| prefix-caching | prefix caching is off | off | rules:459-460,773,895-905 |" in kept
    assert "| performance-errors | LoadGen has no errors in the performance test | none |" in kept
    assert "whole-data-set" not in kept
    assert re.search(r"Not asked of this run: .*\bttft\b.*\.", kept)


def test_report_follows_the_order_in_which_people_ask(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    report.make_report(folder)
    headings = [line[3:] for line in text_of(folder).splitlines() if line.startswith("## ")]
    assert headings == [
        "Verdict: VALID BUT UNOFFICIAL", "Accuracy", "Performance", "Rules kept", "The machine",
        "Settings", "Where the time went", "Plots", "Files", "Next",
    ]  # fmt: skip


def test_links_and_pictures_of_the_report_lead_to_files(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.5))
    record = report.make_report(folder)
    targets = re.findall(r"\]\(([^)]+)\)", text_of(folder))
    assert len(targets) > 10
    assert [target for target in targets if not (folder / target).is_file()] == []
    absent = {name for name, path in record["plots"].items() if not path}
    first_tokens = {"ttft_cdf", "tpot_cdf", "latency_over_time"}  # Offline has none of them
    assert absent == first_tokens | {"queue_depth", "rate_search", "history"}


def test_accuracy_table_holds_each_metric_against_its_gate(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.9901))
    gates = report.make_report(folder)["run"]["accuracy"]["gates"]
    assert [gate["passed"] for gate in gates] == [True] * 5
    folder = make_run(rouge=rouge(0.9899), name="20261123-151500-datacenter-offline")
    gates = report.make_report(folder)["run"]["accuracy"]["gates"]
    assert [gate["passed"] for gate in gates] == [False] * 4 + [True]
    assert "| rougeLsum | 35.4315 % | at least 35.4351 % | 35.7930 % | **no** |" in text_of(folder)


def test_missed_gate_of_the_demo_model_is_called_expected(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.1))
    record = report.make_report(folder)
    assert record["verdict"]["accuracy_passed"] is False
    assert "expected of the demo model" in text_of(folder)
    assert "expected of the demo model" in report.terminal_summary(record)


def test_server_report_shows_first_token_and_token_time_with_their_limits(
    make_run: MakeRun,
) -> None:
    settings = RunConfig(scenario=Scenario.SERVER, mode="performance", total_sample_count=SAMPLES)
    folder = make_run(settings, test="server-few")
    record = report.make_report(folder)
    assert re.search(r"\| first token \(TTFT\) \| .* \| p99 below 2,000 ms \|", text_of(folder))
    assert re.search(r"\(TPOT\) \| .* \| p99 below 100.0 ms \|", text_of(folder))
    assert record["headline"]["text"].endswith("completed, at 200.0 queries/s asked for")


def test_interactive_report_has_interactive_limits_though_loadgen_says_server(
    make_run: MakeRun,
) -> None:
    settings = RunConfig(scenario=Scenario.INTERACTIVE, mode="performance", total_sample_count=20)
    performance = report.make_report(make_run(settings, test="server-few"))["run"]["performance"]
    assert performance["scenario"] == "Interactive"
    assert performance["limits_ms"] == {"ttft_p99_ms": 500.0, "tpot_p99_ms": 30.0}


def test_headline_of_single_stream_is_the_p90_latency(make_run: MakeRun) -> None:
    settings = RunConfig(
        scenario=Scenario.SINGLESTREAM, category="edge", mode="performance", total_sample_count=20
    )
    record = report.make_report(make_run(settings, test="singlestream-short"))
    headline = record["headline"]
    assert headline["value"] == record["run"]["performance"]["latency_ms"]["p90"]
    assert (headline["metric"], headline["unit"]) == ("latency_p90", "ms")


def test_invalid_run_says_why_and_what_to_type(make_run: MakeRun) -> None:
    folder = make_run(RunConfig(mode="performance", min_duration_s=2.0), test="offline-short")
    record = report.make_report(folder)
    assert record["verdict"]["result"] == "INVALID"
    assert "has to last at least 2.0 s" in record["verdict"]["reasons"][0]
    assert record["next_steps"][0]["command"].endswith("--mode both")
    for reason in record["verdict"]["reasons"]:
        assert f"| {reason} |" in text_of(folder)


def test_failed_run_has_a_report_with_the_reason_at_the_top(make_run: MakeRun) -> None:
    error = "The engine did not start: out of memory. Lower --max-model-len."
    folder = make_run(test=None, status="failed", error=error)
    record = report.make_report(folder)
    head = text_of(folder).split("## ")[0]
    assert "No result: the run failed" in head and error in head and "(run.log)" in head
    rules = record["verdict"].pop("rules")
    assert {rule["id"] for rule in rules if rule["outcome"] != "not applicable"} == {"finished"}
    assert record["verdict"] == {
        "result": "FAILED",
        "official": False,
        "valid": None,
        "accuracy_passed": None,
        "reasons": [f"The run failed: {error}"],
    }
    assert record["run"] == {"accuracy": None, "performance": None, "compliance": None}
    assert set(record["plots"].values()) == {None}


def test_killed_run_is_not_taken_for_a_finished_one(make_run: MakeRun) -> None:
    record = report.make_report(make_run(status="running"))
    assert record["verdict"]["result"] == "FAILED"
    assert record["headline"]["value"] is None


def test_torn_logs_of_a_failed_run_become_notes_and_of_a_finished_one_an_error(
    make_run: MakeRun,
) -> None:
    folder = make_run(rouge=rouge(1.0), status="failed", error="killed")
    log = folder / "Accuracy" / "mlperf_log_accuracy.json"
    log.write_text(log.read_text()[:-100])
    record = report.make_report(folder)
    assert len(record["problems"]) == 1 and "breaks off" in record["problems"][0]
    assert record["problems"][0] in text_of(folder)
    (folder / "config.json").write_text(json.dumps(config_json(RunConfig())))
    with pytest.raises(LogError, match="breaks off"):
        report.make_report(folder)


def test_report_can_be_made_again_after_the_folder_has_moved(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    first = report.make_report(folder)
    moved = folder.rename(folder.with_name("20990101-000000-datacenter-offline"))
    second = report.make_report(moved)
    first["meta"]["name"] = second["meta"]["name"] = ""
    assert second == first


def test_report_of_latest_is_that_of_the_run_it_points_to(make_run: MakeRun) -> None:
    folder = make_run()
    latest = folder.parent / "latest"
    latest.symlink_to(folder.name)
    assert report.make_report(latest)["meta"]["name"] == folder.name


def test_plot_that_is_no_longer_drawn_is_removed(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    assert report.make_report(folder)["plots"]["rouge_vs_threshold"]
    shutil.rmtree(folder / "Accuracy")
    assert report.make_report(folder)["plots"]["rouge_vs_threshold"] is None
    assert not (folder / "plots" / "rouge_vs_threshold.png").exists()


def test_history_has_the_finished_runs_of_the_same_model_and_scenario(make_run: MakeRun) -> None:
    folder = make_run()
    entry = {
        "run": "other",
        "finished": "2026-11-22T10:00:00+00:00",
        "category": "datacenter",
        "scenario": "offline",
        "model": "demo",
        "sample_count": 20,
        "tokens_per_sec": 700.0,
        "valid": True,
        "status": "finished",
    }
    index = folder.parent / "index.json"
    strangers = ({"model": "x"}, {"scenario": "server"}, {"status": "failed"}, {"run": folder.name})
    index.write_text(json.dumps([entry | stranger for stranger in strangers]))
    assert report.make_report(folder)["plots"]["history"] is None
    index.write_text(json.dumps([entry]))
    assert report.make_report(folder)["plots"]["history"] == "plots/history.png"
    index.write_text("{broken")
    assert report.make_report(folder)["plots"]["history"] is None


def test_answers_without_references_are_reported_as_not_judged(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    (folder / "Accuracy" / "rouge.json").unlink()
    record = config_json(RunConfig(model="demo", total_sample_count=SAMPLES))
    record["resolved"]["accuracy_not_judged_because"] = "The weights are random numbers."
    (folder / "config.json").write_text(json.dumps(record))
    made = report.make_report(folder)["run"]["accuracy"]
    assert (made["total_samples"], made["passed"], made["rouge"]["rouge1"]) == (20, None, None)
    assert "**Not judged:** The weights are random numbers." in text_of(folder)


def test_terminal_summary_is_short_and_ends_with_the_next_command(make_run: MakeRun) -> None:
    record = report.make_report(make_run(rouge=rouge(1.0)))
    lines = report.terminal_summary(record).splitlines()
    assert 10 <= len(lines) <= 22
    assert lines[2] == f"  {record['headline']['text']}"
    verdict = lines.index("  verdict      VALID BUT UNOFFICIAL")
    told = " ".join(line.strip() for line in lines[verdict + 1 :])
    assert told.startswith(" ".join(f"- {reason}" for reason in record["verdict"]["reasons"]))
    assert lines[-1] == f"    {record['next_steps'][0]['command']}"
    assert "  report       results/20261123-141500-datacenter-offline/report.md" in lines


# What to type next


def next_command(settings: RunConfig, *arguments: str) -> str:
    record = config_json(settings)
    record["run"]["command"] = ["python", "run.py", *arguments]
    return advice.full_run(Evidence(record)).command or ""


def test_smoke_run_leads_to_the_same_command_at_full_size() -> None:
    settings = RunConfig(total_sample_count=20)
    assert next_command(settings, "--precision", "bf16", "--total-sample-count", "20") == (
        "python run.py --precision bf16 --compliance 1"
    )


def test_performance_alone_leads_to_both_modes() -> None:
    settings = RunConfig(mode="performance")
    assert (
        next_command(settings, "--mode=performance") == "python run.py --mode both --compliance 1"
    )


def test_random_weights_lead_to_the_real_ones() -> None:
    settings = RunConfig(weights="dummy", dataset="synthetic", mode="performance")
    flags = ("--weights", "dummy", "--dataset", "synthetic", "--mode", "performance")
    assert next_command(settings, *flags) == "python run.py --mode both --compliance 1"


def test_demo_leads_to_the_real_model() -> None:
    command = next_command(RunConfig(model="demo", dataset="sample"), "--model", "demo")
    assert "--model meta-llama/Llama-3.1-8B-Instruct" in command and "demo" not in command


# The program


def test_program_prints_the_path_and_the_headline(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    assert report.main([str(folder)]) == 0
    path, headline = capsys.readouterr().out.splitlines()
    assert path == f"{folder}/report.md"
    assert " tokens/s (" in headline


def test_program_names_a_folder_that_is_none_of_ours_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        assert report.main([str(folder)]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert str(folder) in captured.err and "results/latest" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_program_ends_with_1_when_a_log_is_damaged(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(rouge=rouge(1.0))
    (folder / "Accuracy" / "rouge.json").write_text("{}")
    assert report.main([str(folder)]) == 1
    assert "rouge.json is damaged" in capsys.readouterr().err
    (folder / "config.json").write_text("[")
    assert report.main([str(folder)]) == 1
    assert "config.json cannot be read" in capsys.readouterr().err


def test_report_is_written_without_matplotlib_and_says_so(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    absent = ("vllm", "torch", "mlperf_loadgen", "nltk", "rouge_score", "transformers", "numpy")
    code = (
        "import sys\n"
        f"for name in {(*absent, 'matplotlib')!r}: sys.modules[name] = None\n"
        "import report\n"
        "sys.exit(report.main(sys.argv[1:]))\n"
    )
    root = Path(report.__file__).parent
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=root)
    assert "pip install matplotlib" in text_of(folder)
    record = json.loads((folder / "summary.json").read_text())
    assert set(record["plots"].values()) == {None}
