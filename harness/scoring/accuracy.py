"""ROUGE and lengths of the answers as the official evaluation computes them, and the gate.

The arithmetic is that of language/llama3.1-8b/evaluation.py: strip, one sentence a line,
rouge_score with stemming (rouge.py), mean of the F-measures.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from harness import formatting, shapes
from harness.errors import BenchmarkError
from harness.language import joined, phrase
from harness.machine import process_limits
from harness.metrics import AccuracyResult
from harness.rounds import HIGH_ACCURACY_MULTIPLIER, Round
from harness.scoring.rouge import ROUGE_TYPES, Chunk, PairScore, score_chunk

_CHUNK = 250  # a second of work: several for each process, and a quick end on an interrupt
_ROUGE_HINT = phrase(
    "Check the model revision, the precision, the prompt, and that no answer is cut short."
)
SHORT_HINT = phrase("The answers end too early: check --max-new-tokens and the end-of-text tokens.")
LONG_HINT = phrase("The answers run on: check --max-new-tokens and the end-of-text tokens.")
# What rouge.json holds: the figures and the gate all together, or none of them.
_THRESHOLDS = {name: f"threshold_{name}" for name in (*ROUGE_TYPES, "gen_len_low", "gen_len_high")}
_COMMON: dict[str, shapes.Shape] = {
    "total_samples": shapes.POSITIVE,
    "run_gen_num": shapes.POSITIVE,
    "passed": shapes.maybe(shapes.YES_NO),
    "failures": shapes.Each(shapes.TEXT),
    "not_judged_because": shapes.maybe(shapes.TEXT),
    "accuracy_log_sha256": shapes.optional(shapes.TEXT),
}
_NOT_SCORED = shapes.Fields(
    _COMMON | dict.fromkeys((*ROUGE_TYPES, "run_gen_len", "passed"), shapes.NULL)
)
_SCORED = shapes.Fields(
    _COMMON
    | dict.fromkeys(ROUGE_TYPES, shapes.SHARE)
    | dict.fromkeys(_THRESHOLDS.values(), shapes.NUMBER)
    | {"run_gen_len": shapes.COUNT}
)


@dataclasses.dataclass(frozen=True)
class RougeScores:
    """Means over all samples as fractions (0.3879), and the lengths the gate looks at."""

    rouge1: float
    rouge2: float
    rougeL: float
    rougeLsum: float
    gen_len: int  # characters of all predictions together
    gen_num: int  # predictions


def score(
    predictions: Sequence[str], references: Sequence[str], *, processes: int | None = None
) -> RougeScores:
    """The means of `score_pairs`. Raises BenchmarkError when one of its processes dies."""
    return means(score_pairs(predictions, references, processes=processes))


def score_pairs(
    predictions: Sequence[str], references: Sequence[str], *, processes: int | None = None
) -> list[PairScore]:
    """ROUGE of each prediction against its reference, in `processes` processes (None: all cores).

    Raises BenchmarkError when one of them dies.
    """
    if len(predictions) != len(references) or not predictions:
        raise ValueError(f"{len(predictions)} predictions and {len(references)} references")
    starts = range(0, len(predictions), _CHUNK)
    chunks = [(predictions[i : i + _CHUNK], references[i : i + _CHUNK]) for i in starts]
    workers = min(processes or process_limits.core_count() or 1, len(chunks))
    if workers == 1:
        scored = [score_chunk(chunk) for chunk in chunks]
    else:
        scored = _score_in_processes(chunks, workers)
    return [pair for pairs in scored for pair in pairs]


def _score_in_processes(chunks: Sequence[Chunk], workers: int) -> list[list[PairScore]]:
    # spawn, because a fork would copy the parent's threads, event loop and CUDA state half alive.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
            return list(pool.map(score_chunk, chunks))
    except BrokenProcessPool:
        raise BenchmarkError(
            phrase(
                "A process that computes ROUGE died; the machine may be out of memory. The answers "
                "are in the accuracy log; `python report.py RUN --rescore` scores them."
            )
        ) from None


def _begin_worker() -> None:
    """Leaves an interrupt to the parent, and ends with the parent however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def means(pairs: Sequence[PairScore]) -> RougeScores:
    """What the official evaluation makes of all pairs."""
    import numpy as np  # its mean adds in another order than a plain sum, and the digits show it

    columns = zip(*(pair.f_measures for pair in pairs), strict=True)
    by_type = {n: float(np.mean(column)) for n, column in zip(ROUGE_TYPES, columns, strict=True)}
    characters = sum(pair.characters for pair in pairs)
    return RougeScores(gen_len=characters, gen_num=len(pairs), **by_type)


def printed_percent(fraction: float) -> float:
    """A ROUGE mean as the official evaluation prints it: percent with four decimals."""
    # numpy's way of rounding, without numpy; Python's round(..., 4) decides ties otherwise.
    return round(fraction * 100 * 10_000) / 10_000


def judge(
    scores: RougeScores,
    record: Round,
    category: str,
    *,
    high_accuracy: bool,
    not_judged_because: str | None,
) -> AccuracyResult:
    """Holds the scores against the round's gate as the submission checker does.

    The gate on the length is a number of characters for the whole data set; for a run of fewer
    samples it is taken in proportion.
    """
    thresholds = gate(record, category, scores.gen_num, high_accuracy=high_accuracy)
    failures = () if not_judged_because else _failures(scores, thresholds)
    return AccuracyResult(
        total_samples=scores.gen_num,
        **dataclasses.asdict(scores),
        passed=None if not_judged_because else not failures,
        failures=failures,
        not_judged_because=not_judged_because,
        thresholds=thresholds,
    )


def not_judged(answers: int, because: str) -> AccuracyResult:
    """The result of a test whose answers nothing can be held against."""
    return AccuracyResult(answers, None, None, None, None, None, answers, None, (), because)


def gate(record: Round, category: str, answers: int, *, high_accuracy: bool) -> dict[str, float]:
    """The minimum ROUGE in percent, and the minimum and maximum length in characters."""
    official = record.category(category)
    targets = official.accuracy
    share = _multiplier(record, high_accuracy)
    length = targets.gen_len * answers / official.dataset_samples
    return {name: getattr(targets, name) * share for name in ROUGE_TYPES} | {
        "gen_len_low": length * record.gen_len_low,
        "gen_len_high": length * record.gen_len_high,
    }


def _multiplier(record: Round, high_accuracy: bool) -> float:
    return HIGH_ACCURACY_MULTIPLIER if high_accuracy else record.gate_multiplier


def _failures(scores: RougeScores, thresholds: dict[str, float]) -> tuple[str, ...]:
    failures = []
    for name in ROUGE_TYPES:
        percent = printed_percent(getattr(scores, name))
        if percent < thresholds[name]:
            failures.append(
                phrase(
                    "{name} is {percent:.4f}, and the gate asks for at least {minimum:.4f}.",
                    name=name,
                    percent=percent,
                    minimum=thresholds[name],
                )
            )
    if failures:
        failures[-1] = joined(" ", (failures[-1], _ROUGE_HINT))
    length = formatting.count(scores.gen_len)
    low, high = thresholds["gen_len_low"], thresholds["gen_len_high"]
    if scores.gen_len < low:
        failures.append(
            phrase(
                "The summaries have {characters} characters, and the gate asks for at least "
                "{low}. {hint}",
                characters=length,
                low=formatting.count(math.ceil(low)),
                hint=SHORT_HINT,
            )
        )
    if scores.gen_len > high:
        failures.append(
            phrase(
                "The summaries have {characters} characters, and the gate allows at most {high}. "
                "{hint}",
                characters=length,
                high=formatting.count(math.floor(high)),
                hint=LONG_HINT,
            )
        )
    return tuple(failures)


def to_rouge_json(
    result: AccuracyResult, record: Round, category: str, *, high_accuracy: bool
) -> dict[str, Any]:
    """The content of rouge.json: measured as fractions, baseline and thresholds as percent."""
    return {
        "total_samples": result.total_samples,
        **{name: getattr(result, name) for name in ROUGE_TYPES},
        "run_gen_len": result.gen_len,
        "run_gen_num": result.gen_num,
        "baseline": dataclasses.asdict(record.category(category).accuracy),
        "gate_multiplier": _multiplier(record, high_accuracy),
        **{f"threshold_{name}": value for name, value in result.thresholds.items()},
        "passed": result.passed,
        "failures": list(result.failures),
        "not_judged_because": result.not_judged_because,
        "accuracy_log_sha256": result.log_sha256,
    }


def from_rouge_json(value: dict[str, Any]) -> AccuracyResult:
    """Reads what `to_rouge_json` wrote. Raises ValueError when it did not write it."""
    if fault := shapes.fault(value, _SCORED if _was_scored(value) else _NOT_SCORED):
        raise ValueError(fault)
    if value["total_samples"] != value["run_gen_num"]:
        raise ValueError("total_samples and run_gen_num differ")
    thresholds = {name: value[key] for name, key in _THRESHOLDS.items() if key in value}
    return AccuracyResult(
        total_samples=value["total_samples"],
        **{name: value[name] for name in ROUGE_TYPES},
        gen_len=value["run_gen_len"],
        gen_num=value["run_gen_num"],
        passed=value["passed"],
        failures=tuple(value["failures"]),
        not_judged_because=value["not_judged_because"],
        thresholds=thresholds,
        log_sha256=value.get("accuracy_log_sha256"),
    )


def _was_scored(value: object) -> bool:
    """Whether there is anything of a score in it, whole or not."""
    if not isinstance(value, dict):
        return False
    names = (*ROUGE_TYPES, "run_gen_len", *_THRESHOLDS.values())
    return any(value.get(name) is not None for name in names)


def contradiction(
    result: AccuracyResult, record: Round, category: str, *, high_accuracy: bool = False
) -> str | None:
    """What a judged result says against its own figures and the gate, in a few words.

    None: nothing.
    """
    scores = {name: getattr(result, name) for name in (*ROUGE_TYPES, "gen_len", "gen_num")}
    if missing := [name for name, figure in scores.items() if figure is None]:
        return phrase("judged without {missing}", missing=", ".join(missing))
    again = judge(
        RougeScores(**scores),
        record,
        category,
        high_accuracy=high_accuracy,
        not_judged_because=None,
    )
    for name, minimum in again.thresholds.items():
        if not math.isclose(result.thresholds.get(name, math.nan), minimum, rel_tol=1e-9):
            return phrase("another gate for {name}", name=name)
    if result.passed != again.passed or bool(result.failures) == result.passed:
        return phrase("passed and the figures differ")
    return None
