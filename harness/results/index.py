"""A run's line in the history of runs: from its config.json and summary.json to the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from harness import formatting

RUNNING = "running"
FINISHED = "finished"  # the only status that `latest` and --keep-all 0 act upon
FAILED = "failed"


def entry(
    name: str, summary: Mapping[str, Any], config: Mapping[str, Any], *, alive: bool
) -> dict[str, Any]:
    """A run as index.json has it. A run that failed may have no summary: then an empty one.

    A run that calls itself running and is not alive has failed.
    """
    status = _part(summary, "meta", "status") or _part(config, "run", "status") or FAILED
    described = ("category", "scenario", "mode", "model", "precision", "dataset")
    departures = _part(config, "departures") or []
    return {
        "run": name,
        "finished": _part(summary, "meta", "finished") or _part(config, "run", "finished"),
        **{k: _part(summary, "meta", k) or _part(config, "flags", k) for k in described},
        "sample_count": _part(config, "resolved", "sample_count"),
        "full_size": _part(config, "resolved", "full_size"),
        "headline": _part(summary, "headline", "text") or _older_headline(summary),
        "tokens_per_sec": _part(summary, "run", "performance", "tokens_per_sec"),
        "samples_per_sec": _part(summary, "run", "performance", "samples_per_sec"),
        "verdict": _part(summary, "verdict", "result"),
        "valid": _part(summary, "run", "performance", "valid"),
        "accuracy_passed": _part(summary, "run", "accuracy", "passed"),
        "status": FAILED if status == RUNNING and not alive else status,
        "unofficial": len(departures),
        "departures": [_part(departure, "id") for departure in departures],
    }


def newest_first(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by when they finished."""
    return sorted(entries, key=lambda e: (_timestamp(e["finished"]), e["run"]), reverse=True)


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """index.md."""
    lines = [
        "# Runs, newest first",
        "",
        "| run | scenario | mode | model | precision | samples | headline | verdict "
        "| not official in |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(run) for run in entries),
    ]
    return "\n".join(lines) + "\n"


def _line(run: Mapping[str, Any]) -> str:
    cells = [
        f"[{run['run']}]({run['run']}/report.md)",
        " ".join(filter(None, (run["category"], run["scenario"]))),
        run["mode"],
        run["model"],
        run["precision"],
        formatting.count(run["sample_count"]),
        run["headline"] or "",
        _verdict(run),
        ", ".join(str(departure) for departure in run["departures"]),
    ]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _part(value: object, *keys: str) -> Any:
    """The value at a path of keys, None where any is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _timestamp(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _older_headline(summary: Mapping[str, Any]) -> str | None:
    """The figure of a run whose summary.json does not name one, as the first of them."""
    overall = _part(summary, "run", "mmlu", "overall")
    if overall:
        score = formatting.percent(_part(overall, "overall_accuracy"), digits=2)
        return f"{score} % ({_part(overall, 'protocol')}, {_part(overall, 'num_fewshot')}-shot)"
    p90_ms = _part(summary, "run", "performance", "latency_ms", "p90")
    if _part(summary, "meta", "scenario") == "singlestream" and p90_ms is not None:
        return f"p90 {formatting.milliseconds(p90_ms)}"
    tokens_per_second = _part(summary, "run", "performance", "tokens_per_sec")
    if tokens_per_second is not None:
        return formatting.rate(tokens_per_second, "tokens/s")
    rouge = _part(summary, "run", "accuracy", "rouge", "rougeLsum")
    return None if rouge is None else f"rougeLsum {formatting.percent(rouge)}"


def _verdict(run: Mapping[str, Any]) -> str:
    if run["status"] != FINISHED:
        return str(run["status"])
    words = [run["verdict"]] if run["verdict"] else []
    if run["valid"] is not None and not words:
        words.append("VALID" if run["valid"] else "INVALID")
    if run["accuracy_passed"] is not None:
        words.append("gate passed" if run["accuracy_passed"] else "gate missed")
    return ", ".join(words)
