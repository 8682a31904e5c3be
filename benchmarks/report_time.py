"""Times the report of a Server run of full size, which real LoadGen makes here first.

53,472 queries (four passes of 13,368), their times, timeline and telemetry: what `python report.py
RUN_DIR` takes for it in a process of its own, and how large report.html is. Needs LoadGen, no GPU.

    python benchmarks/report_time.py
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.config import RunConfig, Scenario
from harness.logs.times import write_telemetry
from harness.metrics import TelemetryPoint
from harness.results.folder import RunFolder
from harness.rounds import V5_1
from tests.builders import config_json, performance, write_timeline

ROOT = Path(__file__).resolve().parent.parent
PASSES = 4
RATE = 4000  # queries a second: the double answers at once
LIMIT_S = 10.0  # asked of a report of this size, on 2 cores
TOKENS = V5_1.max_new_tokens
SECOND = TelemetryPoint(1.0, 97.0, 700.0, 1600.0, 71.0, 7e4, "power", 0, 10.0, 1, 95.0, 200.0)


def make_run(folder: RunFolder, samples: int) -> int:
    """A run folder with a Server test of so many samples, four times each; returns the queries."""
    queries = PASSES * samples
    case = {
        "name": "full size",
        "scenario": "Server",
        "samples": samples,
        "conf": f"Server.target_qps = {RATE}\n*.min_duration = 0\n"
        f"Server.min_query_count = {queries}",
        "shortest_answer": TOKENS,
        "longest_answer": TOKENS,
        "accuracy": False,
    }
    program = [sys.executable, str(ROOT / "tests" / "data" / "make_logs.py")]
    subprocess.run([*program, json.dumps(case), str(folder.path)], check=True)
    settings = RunConfig(scenario=Scenario.SERVER, mode="performance")
    folder.config_json.write_text(json.dumps(config_json(settings)))
    write_timeline(folder.path)
    # A test of ten minutes has a look each second.
    looks = [dataclasses.replace(SECOND, time_s=float(second)) for second in range(1, 601)]
    write_telemetry(folder.telemetry_csv, looks)
    return performance(folder.path).sample_count or 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the seconds of each report, last as JSON; 1 where the best takes too long."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--samples",
        type=command.count,
        default=V5_1.datacenter.dataset_samples,
        help="of a pass; the test has four",
    )
    parser.add_argument("--repeat", type=command.count, default=3, help="reports to make")
    values = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder(Path(temporary) / "20261123-141500-datacenter-server")
        folder.path.mkdir()
        queries = make_run(folder, values.samples)
        seconds = []
        for _ in range(values.repeat):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, str(ROOT / "report.py"), str(folder.path)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds.append(round(time.perf_counter() - start, 2))
            print(f"{seconds[-1]:6.2f} s  a report of {queries:,} queries", flush=True)
        size = folder.report_html.stat().st_size
    print(f"report.html: {size / 1e6:.2f} MB")
    print(json.dumps({"queries": queries, "seconds": seconds, "html_bytes": size}))
    return int(min(seconds) > LIMIT_S)


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
