"""A run's line in the history of runs: from its config.json and summary.json to the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from harness import formatting, precision
from harness.language import phrase, recalled, translated

RUNNING = "running"
FINISHED = "finished"  # the only status that `latest` and --keep-all 0 act upon
FAILED = "failed"
_NO_FIGURE = 1e15  # nothing measured here is so large; NaN is not smaller either
# Why a run failed that calls itself running although nobody is at work in its folder.
ENDED_WITHOUT_A_WORD = phrase("its process ended without a word")
# What index.md says of a run that did not finish, unless it is the status itself.
_UNFINISHED = {FAILED: phrase("failed"), "interrupted": phrase("interrupted")}


def entry(
    name: str, summary: Mapping[str, Any], config: Mapping[str, Any], *, alive: bool
) -> dict[str, Any]:
    """A run as index.json has it. A run that failed may have no summary: then an empty one.

    A run that calls itself running and is not alive has failed. A value of another kind than it
    should be counts as absent, as a damaged folder must not cost the history of all others.
    """
    status = _text(summary, "meta", "status") or _text(config, "run", "status") or FAILED
    error = None if status == FINISHED else _text(config, "run", "error")
    if status == RUNNING and not alive:
        status, error = FAILED, ENDED_WITHOUT_A_WORD
    described = ("category", "scenario", "mode", "model", "precision", "dataset")
    departures = part(config, "departures")
    departures = departures if isinstance(departures, list) else []
    return {
        "run": name,
        "finished": _text(summary, "meta", "finished") or _text(config, "run", "finished"),
        **{k: _text(summary, "meta", k) or _text(config, "flags", k) for k in described},
        "quantization": precision.label(config),
        "sample_count": number(config, "resolved", "sample_count"),
        "full_size": _yes_or_no(config, "resolved", "full_size"),
        "headline": _text(summary, "headline", "text") or _older_headline(summary),
        "tokens_per_sec": number(summary, "run", "performance", "tokens_per_sec"),
        "samples_per_sec": number(summary, "run", "performance", "samples_per_sec"),
        "verdict": _text(summary, "verdict", "result"),
        "valid": _yes_or_no(summary, "run", "performance", "valid"),
        "accuracy_passed": _yes_or_no(summary, "run", "accuracy", "passed"),
        "status": status,
        "error": error,
        "unofficial": len(departures),
        "departures": [_text(departure, "id") for departure in departures],
    }


def newest_first(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by when they finished."""
    return sorted(entries, key=lambda e: (timestamp(e["finished"]), e["run"]), reverse=True)


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """index.md."""
    heads = phrase(
        "| run | scenario | mode | model | precision | samples | headline | verdict "
        "| not official in |"
    )
    lines = [
        f"# {translated(phrase('Runs, newest first'))}",
        "",
        translated(heads),
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
        ", ".join(filter(None, (run["quantization"], run["precision"]))),
        formatting.count(run["sample_count"]),
        translated(recalled(run["headline"] or "")),
        _verdict(run),
        ", ".join(str(departure) for departure in run["departures"]),
    ]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def part(value: object, *keys: str) -> Any:
    """The value at a path of keys, None where any is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number(value: object, *keys: str) -> float | None:
    """The number at a path of keys; None where there is none, or no finite one."""
    found = part(value, *keys)
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return found if is_number and abs(found) < _NO_FIGURE else None


def _text(value: object, *keys: str) -> str | None:
    found = part(value, *keys)
    return found if isinstance(found, str) else None


def _yes_or_no(value: object, *keys: str) -> bool | None:
    found = part(value, *keys)
    return found if isinstance(found, bool) else None


def timestamp(text: object) -> float:
    """When an ISO 8601 text says, for sorting; 0 where it says nothing."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _older_headline(summary: Mapping[str, Any]) -> str | None:
    """The figure of a run whose summary.json does not name one, as the first of them."""
    overall = part(summary, "run", "mmlu", "overall")
    score = number(overall, "overall_accuracy")
    if score is not None:
        score_text = formatting.percent(score, digits=2)
        return f"{score_text} % ({part(overall, 'protocol')}, {part(overall, 'num_fewshot')}-shot)"
    p90_ms = number(summary, "run", "performance", "latency_ms", "p90")
    if part(summary, "meta", "scenario") == "singlestream" and p90_ms is not None:
        return f"p90 {formatting.milliseconds(p90_ms)}"
    tokens_per_second = number(summary, "run", "performance", "tokens_per_sec")
    if tokens_per_second is not None:
        return formatting.rate(tokens_per_second, "tokens/s")
    rouge = number(summary, "run", "accuracy", "rouge", "rougeLsum")
    return None if rouge is None else f"rougeLsum {formatting.percent(rouge)}"


def _verdict(run: Mapping[str, Any]) -> str:
    if run["error"] == ENDED_WITHOUT_A_WORD:
        return f"{translated(_UNFINISHED[FAILED])} ({translated(ENDED_WITHOUT_A_WORD)})"
    if run["status"] != FINISHED:
        return translated(_UNFINISHED.get(run["status"], run["status"]))
    words = [run["verdict"]] if run["verdict"] else []
    if run["valid"] is not None and not words:
        words.append("VALID" if run["valid"] else "INVALID")
    if run["accuracy_passed"] is not None:
        passed = run["accuracy_passed"]
        words.append(translated(phrase("gate passed") if passed else phrase("gate missed")))
    return ", ".join(words)
