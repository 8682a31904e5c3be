"""Which figures a run folder gets, and from which of its records; `plots` draws them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import precision
from harness.config import Scenario
from harness.formatting import count
from harness.language import phrase
from harness.report import latency_plots, plots, search_plot, telemetry_plot
from harness.results.folder import RunFolder, finished_runs
from harness.results.index import timestamp
from harness.rules.evidence import Evidence, gates
from harness.rules.verdict import invalid_reasons

# What each figure shows, for those who have never seen one; in the order of the report.
CAPTIONS = {
    "tokens_per_sec": phrase(
        "Tokens per second from the first query to the last answer. A level top is a steady rate; "
        "at the end it may rise, when there are no more prompts to read."
    ),
    "latency_cdf": phrase("The share of the queries that were answered within a time."),
    "ttft_cdf": phrase(
        "The share of the queries that had their first token within a time; where there is a "
        "limit, the mark of p99 has to stay left of it."
    ),
    "tpot_cdf": phrase(
        "The share of the queries whose tokens after the first came within a time each; where "
        "there is a limit, the mark of p99 has to stay left of it."
    ),
    "latency_over_time": phrase(
        "How long each query took, by the moment it was issued. Level bands are a machine that "
        "keeps up; bands that rise to the right are one that falls behind."
    ),
    "queue_depth": phrase(
        "How many queries were issued and not yet answered. A machine that keeps up has a level "
        "queue; one that falls behind has a queue that grows until the last query is issued."
    ),
    "telemetry": phrase(
        "What the GPUs, the engine and the processes of this run did, second by second. Look here "
        "for the reason of a dip in the tokens per second."
    ),
    "rate_search": phrase(
        "What the probes of the search found at each rate. The rate found is the highest that "
        "holds."
    ),
    "rouge_vs_threshold": phrase("ROUGE and the length of the answers as shares of the reference."),
    "answer_lengths": phrase("How many tokens the answers have."),
    "history": phrase(
        "The runs of this model and scenario in the results folder, newest at the right."
    ),
}


def draw_all(folder: RunFolder, evidence: Evidence) -> tuple[dict[str, str | None], list[str]]:
    """Draws what the evidence allows; returns the paths relative to the run folder, and doubts.

    Each figure twice: as NAME.png for report.md, and as NAME.svg, smaller, for report.html. One
    that is not drawn is None, and older files of its name are removed.
    """
    drawers: dict[str, Callable[[Path], bool]] = {
        "tokens_per_sec": lambda path: _tokens_per_sec(path, folder.name, evidence),
        "latency_cdf": lambda path: _latency_cdf(path, folder.name, evidence),
        "ttft_cdf": lambda path: _ttft_cdf(path, folder.name, evidence),
        "tpot_cdf": lambda path: _tpot_cdf(path, folder.name, evidence),
        "latency_over_time": lambda path: _over_time(path, folder.name, evidence),
        "queue_depth": lambda path: _queue_depth(path, folder.name, evidence),
        "telemetry": lambda path: telemetry_plot.telemetry(
            path,
            evidence.telemetry,
            run=_caption(folder.name, evidence, len(evidence.samples)),
        ),
        "rate_search": lambda path: _rate_search(path, folder.name, evidence),
        "rouge_vs_threshold": lambda path: _rouge(path, folder.name, evidence),
        "answer_lengths": lambda path: _answer_lengths(path, folder.name, evidence),
        "history": lambda path: _history(path, folder, evidence),
    }
    folder.plots.mkdir(exist_ok=True)
    drawn: dict[str, str | None] = {}
    doubts: list[str] = []
    for name, draw in drawers.items():
        picture, small = folder.plots / f"{name}.png", folder.plots / f"{name}.svg"
        drawn[name] = None
        try:
            if draw(picture) and draw(small):
                drawn[name] = str(picture.relative_to(folder.path))
        except ImportError:
            doubts = [
                phrase(
                    "There are no plots, because matplotlib is not installed: pip install "
                    "matplotlib, then python report.py {path}.",
                    path=folder.path,
                )
            ]
        if drawn[name] is None:
            picture.unlink(missing_ok=True)
            small.unlink(missing_ok=True)
    return drawn, doubts


def _caption(name: str, evidence: Evidence, samples: int | None) -> str:
    flags = evidence.config["flags"]
    return (
        f"{name}: {evidence.scenario.label}, {flags['model']}, {precision.of(evidence.config)}, "
        f"{count(samples)} samples"
    )


def _tokens_per_sec(path: Path, name: str, evidence: Evidence) -> bool:
    result = evidence.performance
    samples, mean = (result.sample_count, result.tokens_per_second) if result else (None, None)
    caption = _caption(name, evidence, samples)
    return plots.tokens_per_sec(path, evidence.timeline, mean=mean, run=caption)


def _latency_cdf(path: Path, name: str, evidence: Evidence) -> bool:
    offline = evidence.scenario is Scenario.OFFLINE  # all samples are issued at once
    return latency_plots.distribution(
        path,
        latency_plots.FINISHED if offline else latency_plots.LATENCY,
        [sample.latency_ms for sample in evidence.samples],
        marks=None if offline or not evidence.performance else evidence.performance.latency,
        limit_ms=None,
        run=_caption(name, evidence, len(evidence.samples)),
    )


def _ttft_cdf(path: Path, name: str, evidence: Evidence) -> bool:
    times = [s.ttft_ms for s in evidence.samples if s.ttft_ms is not None]
    return latency_plots.distribution(
        path,
        latency_plots.TTFT,
        times,
        marks=evidence.performance.ttft if evidence.performance else None,
        limit_ms=evidence.limits.ttft_p99_ms if evidence.limits else None,
        run=_caption(name, evidence, len(times)),
    )


def _tpot_cdf(path: Path, name: str, evidence: Evidence) -> bool:
    times = [s.tpot_ms for s in evidence.samples if s.tpot_ms is not None]
    return latency_plots.distribution(
        path,
        latency_plots.TPOT,
        times,
        marks=evidence.performance.tpot if evidence.performance else None,
        limit_ms=evidence.limits.tpot_p99_ms if evidence.limits else None,
        run=_caption(name, evidence, len(times)),
    )


def _over_time(path: Path, name: str, evidence: Evidence) -> bool:
    return latency_plots.over_time(
        path,
        evidence.samples,
        ttft_limit_ms=evidence.limits.ttft_p99_ms if evidence.limits else None,
        run=_caption(name, evidence, len(evidence.samples)),
    )


def _queue_depth(path: Path, name: str, evidence: Evidence) -> bool:
    if evidence.limits is None:
        return False  # Offline has all queries in the queue, SingleStream has one
    samples = evidence.samples
    return latency_plots.queue_depth(
        path,
        evidence.timeline,
        last_issue_s=max((sample.issued_s for sample in samples), default=None),
        run=_caption(name, evidence, len(samples)),
    )


def _rate_search(path: Path, name: str, evidence: Evidence) -> bool:
    if evidence.limits is None:
        return False
    flags, probes = evidence.config["flags"], evidence.probes
    caption = (
        f"{name}: {evidence.scenario.label}, {flags['model']}, {precision.of(evidence.config)}"
    )
    caption += f", {count(len(probes))} probes"
    return search_plot.rate_search(path, probes, evidence.limits, run=caption)


def _rouge(path: Path, name: str, evidence: Evidence) -> bool:
    result = evidence.accuracy
    rows = gates(evidence)
    scores = [plots.GatedScore(r.name, r.value, r.low, r.reference) for r in rows if r.high is None]
    shares = [
        plots.LengthShare(r.value / r.reference, r.low / r.reference, r.high / r.reference)
        for r in rows
        if r.high is not None
    ]
    caption = _caption(name, evidence, result.total_samples if result else None)
    return plots.rouge_vs_threshold(
        path,
        scores,
        shares[0] if shares else None,
        gate=evidence.gate_multiplier,
        run=caption,
    )


def _answer_lengths(path: Path, name: str, evidence: Evidence) -> bool:
    lengths = evidence.answer_lengths or [sample.tokens for sample in evidence.samples]
    return plots.answer_lengths(
        path,
        lengths,
        max_new_tokens=evidence.config["flags"]["max_new_tokens"],
        run=_caption(name, evidence, len(lengths)),
    )


def _history(path: Path, folder: RunFolder, evidence: Evidence) -> bool:
    flags, performance = evidence.config["flags"], evidence.performance
    # The neighbours as their folders have them, and this run as its own logs tell.
    runs = [
        (entry, _bar(entry, this_run=False))
        for entry in finished_runs(folder.path.parent)
        if entry["run"] != folder.name and _is_comparable(entry, flags)
    ]
    if performance and performance.tokens_per_second and evidence.finished:
        entry = {
            "finished": evidence.config["run"]["finished"],
            "tokens_per_sec": performance.tokens_per_second,
            "full_size": evidence.config["resolved"]["full_size"],
            "valid": not invalid_reasons(evidence),
        }
        runs.append((entry, _bar(entry, this_run=True)))
    runs.sort(key=lambda run: timestamp(run[0]["finished"]))
    caption = (
        f"{flags['category']} {evidence.scenario.label}, {flags['model']}, newest at the right"
    )
    return plots.history(path, [bar for _, bar in runs], run=caption)


def _is_comparable(entry: dict[str, Any], flags: dict[str, Any]) -> bool:
    same = all(entry[key] == flags[key] for key in ("category", "scenario", "model"))
    return same and bool(entry["tokens_per_sec"])


def _bar(entry: dict[str, Any], *, this_run: bool) -> plots.HistoryRun:
    kind: plots.Kind = "full" if entry["full_size"] else "smoke"
    if entry["valid"] is False:
        kind = "invalid"
    return plots.HistoryRun(str(entry["finished"]), entry["tokens_per_sec"], kind, this_run)
