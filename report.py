"""Makes summary.json, report.md and the plots of a run folder anew from its logs.

It needs neither a GPU nor vLLM nor LoadGen, measures nothing and changes no log.

    python report.py results/latest
    python report.py results/20261123-141500-datacenter-offline

Exit status: 0 written; 1 a log is incomplete or damaged; 2 no such run folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkError
from harness.mmlu import report as mmlu_report
from harness.report import make
from harness.results.folder import RunFolder
from harness.rules.read import is_evaluation, read_config


def make_report(run_dir: Path) -> dict[str, Any]:
    """The report of a run by run.py or of an evaluation by mmlu.py; what summary.json holds.

    Raises UsageError, LogError, OSError.
    """
    evaluation = is_evaluation(read_config(RunFolder(run_dir.resolve())))
    return mmlu_report.make_report(run_dir) if evaluation else make.make_report(run_dir)


def main(argv: Sequence[str] | None = None) -> int:
    """Remakes a report and prints where it is, or one sentence on stderr; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run folder")
    arguments = parser.parse_args(argv)
    try:
        record = make_report(arguments.run_dir)
    except BenchmarkError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"report.py: {error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        return BenchmarkError.exit_status
    print(RunFolder(arguments.run_dir).report_md)
    print(record["headline"]["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
