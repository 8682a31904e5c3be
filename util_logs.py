"""Reads the logs of a run folder and prints everything in them as JSON.

It needs neither a GPU nor vLLM nor LoadGen. What comes out: the performance test (validity with
reasons, throughput, latencies), the accuracy test (answers and their lengths), the settings and
seeds LoadGen used, its errors and warnings. Whether the run keeps the official rules is not in the
logs alone: report.py tells that.

    python util_logs.py results/latest
    python util_logs.py results/latest | jq .performance.tokens_per_second

With --format it makes a table for a spreadsheet instead: a row for each run, with its settings,
its machine and its scores where the run folder tells them. Folders without LoadGen's logs are left
out, and named.

    python util_logs.py --format csv results/2*/ > runs.csv
    python util_logs.py --format parquet --output runs.parquet results/2*/

Exit status: 0 printed; 1 a log is incomplete or contradicts another (the table has the other runs);
2 no such folder, no logs.
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

from harness import flags
from harness.errors import BenchmarkError, UsageError
from harness.logs.answers import check_complete, read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.metrics import PerformanceResult
from harness.report import run_table
from harness.results.files import write_bytes
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


def table(run_dirs: Sequence[Path], table_format: str, output: Path | None) -> int:
    """Writes a row for each run folder, to stdout without `output`. Returns the exit status.

    Raises UsageError when none of the folders has a row, OSError.
    """
    status, rows = 0, []
    once: dict[Path, Path] = {}  # `results/*/` names a run twice: as its folder and as `latest`
    for run_dir in run_dirs:
        once.setdefault(run_dir.resolve(), run_dir)
    for run_dir in once.values():
        try:
            rows.append(run_table.row(run_dir))
        except UsageError as error:
            print(f"util_logs.py: {error}", file=sys.stderr)
        except BenchmarkError as error:
            print(f"util_logs.py: {error}", file=sys.stderr)
            status = error.exit_status
    rows.sort(key=lambda row: (row["started"] or "", row["run"]))
    if not rows and status == 0:
        raise UsageError("none of these folders has a run in it; give folders that run.py made.")
    if table_format == "parquet":
        content = run_table.as_parquet(rows)
    else:
        content = run_table.as_text(rows, table_format).encode()
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        write_bytes(output, content)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the JSON or the table, or one sentence on stderr. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run_dirs", metavar="RUN_DIR", type=flags.path, nargs="+", help="a run folder"
    )
    parser.add_argument("--format", choices=run_table.FORMATS, help="a table, a row for each run")
    parser.add_argument("--output", type=flags.path, metavar="FILE", help="where the table goes")
    arguments = parser.parse_args(argv)
    try:
        _check(arguments)
        if arguments.format:
            return table(arguments.run_dirs, arguments.format, arguments.output)
        print(json.dumps(everything(arguments.run_dirs[0]), indent=2, allow_nan=False))
    except BenchmarkError as error:
        print(f"util_logs.py: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        where = arguments.output or "stdout"
        print(f"util_logs.py: {where} cannot be written: {error.strerror}.", file=sys.stderr)
        return BenchmarkError.exit_status
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError for flags that do not go together."""
    if arguments.format is None and len(arguments.run_dirs) > 1:
        raise UsageError(
            f"{len(arguments.run_dirs)} folders: everything is printed of one folder alone; add "
            "--format csv, json or parquet for a table of them."
        )
    if arguments.format is None and arguments.output:
        raise UsageError(f"--output {arguments.output} is for a table; add --format csv.")
    if arguments.format == "parquet" and not arguments.output:
        raise UsageError("--format parquet is no text; say with --output FILE where it goes.")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` ends quietly
    sys.exit(main())
