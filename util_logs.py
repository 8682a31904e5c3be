"""Reads the logs of a run folder and prints everything in them as JSON.

It needs neither a GPU nor vLLM nor LoadGen. What comes out: the performance test (validity with
reasons, throughput, latencies), the accuracy test (answers and their lengths), the settings and
seeds LoadGen used, its errors and warnings. Whether the run keeps the official rules is not in the
logs alone: report.py tells that.

    python util_logs.py results/latest
    python util_logs.py results/latest | jq .performance.tokens_per_second

Exit status: 0 printed; 1 a log is incomplete or contradicts another; 2 no such folder, no logs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkError, UsageError
from harness.logs.answers import check_complete, read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.metrics import PerformanceResult
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, RunFolder
from harness.rules.validity import invalid_reasons


def everything(run_dir: Path) -> dict[str, Any]:
    """All that the logs of a run folder hold, ready for JSON. Raises UsageError, LogError."""
    folder = RunFolder(run_dir)
    if not run_dir.is_dir():
        raise UsageError(
            f"{run_dir}: no such folder; give a run folder, for example results/latest."
        )
    performance = performance_result(run_dir)
    has_accuracy = (folder.accuracy / DETAIL_LOG).is_file()
    if performance is None and not has_accuracy:
        raise UsageError(
            f"{run_dir} holds no LoadGen logs: neither {folder.performance.name}/{DETAIL_LOG} nor "
            f"{folder.accuracy.name}/{DETAIL_LOG}."
        )
    return {
        "performance": _performance(performance) if performance else None,
        "accuracy": _accuracy(folder) if has_accuracy else None,
    }


def _performance(result: PerformanceResult) -> dict[str, Any]:
    reasons = invalid_reasons(result)
    values = dataclasses.asdict(result)
    return {
        "scenario": values.pop("scenario"),
        "valid": not reasons,
        "invalid_reasons": reasons,
        **values,
    }


def _accuracy(folder: RunFolder) -> dict[str, Any]:
    run = read_detail_log(folder.accuracy / DETAIL_LOG)
    generations = read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    if run.sample_count is not None:
        check_complete(generations, run.sample_count)
    lengths = [len(generation.token_ids) for generation in generations]
    return {
        "answers": len(generations),
        "tokens": {
            "total": sum(lengths),
            "min": min(lengths, default=None),
            "mean": statistics.fmean(lengths) if lengths else None,
            "max": max(lengths, default=None),
        },
        "loadgen": dataclasses.asdict(run),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the JSON, or one sentence on stderr. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run folder")
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(everything(arguments.run_dir), indent=2, allow_nan=False))
    except BenchmarkError as error:
        print(f"util_logs.py: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` ends quietly
    sys.exit(main())
