"""Makes the run folders beside this file: real LoadGen, and a system that answers from a list.

    python tests/data/make_logs.py                      all of them, a process each
    python tests/data/make_logs.py CASE_AS_JSON FOLDER  one test of any other run folder

LoadGen's files are kept as it wrote them. Sample `i` is answered with the tokens i, i + 1, ... as
many as `answer_length` says.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Case:
    """One LoadGen test of one run folder."""

    name: str
    scenario: str
    samples: int  # in the data set
    conf: str  # lines of user.conf, without the model's name
    accuracy: bool = False
    first_token_s: float = 0.0  # how long an answer takes
    shortest_answer: int = 3
    longest_answer: int = 7

    def answer_length(self, index: int) -> int:
        """3, 4, 5, 6, 7, 3, 4, ... tokens."""
        return self.shortest_answer + index % (self.longest_answer - self.shortest_answer + 1)


CASES = (
    Case("offline-valid", "Offline", 20, "Offline.target_qps = 30\n*.min_duration = 0"),
    Case("offline-valid", "Offline", 20, "Offline.target_qps = 30", accuracy=True),
    Case("offline-short", "Offline", 20, "Offline.target_qps = 10\n*.min_duration = 2000"),
    Case("offline-one-token", "Offline", 20, "*.min_duration = 0", shortest_answer=1),
    Case("server-valid", "Server", 20, "Server.target_qps = 1000\n*.min_duration = 500"),
    Case("server-valid", "Server", 20, "Server.target_qps = 1000", accuracy=True),
    Case("server-few", "Server", 20, "Server.target_qps = 200\n*.min_duration = 0"),
    Case(
        "server-slow",
        "Server",
        20,
        "Server.target_qps = 40\n*.min_duration = 0\nServer.ttft_latency = 5",
        first_token_s=0.01,
    ),
    Case(
        "singlestream-valid",
        "SingleStream",
        20,
        "SingleStream.target_latency = 2\n*.min_duration = 100",
        first_token_s=0.002,
    ),
    Case(
        "singlestream-short",
        "SingleStream",
        20,
        "SingleStream.target_latency = 1000\n*.min_duration = 2000",
    ),
    Case(  # as an engine of eight billion parameters on a CPU answers
        "singlestream-slow",
        "SingleStream",
        2,
        "SingleStream.target_latency = 12000\n*.min_duration = 0",
        first_token_s=12.0,
    ),
)


def make(case: Case, run_dir: Path) -> None:
    """Runs the test in this process, which LoadGen allows once, and writes samples.csv."""
    import mlperf_loadgen as lg
    import numpy as np

    out = run_dir / ("Accuracy" if case.accuracy else "Performance")
    out.mkdir(parents=True, exist_ok=True)
    conf = run_dir / "user.conf"
    count = f"*.performance_sample_count_override = {case.samples}"
    lines = [*case.conf.splitlines(), count, f"*.min_query_count = {case.samples}"]
    conf.write_text("".join(f"llama3_1-8b.{line}\n" for line in lines))
    settings = lg.TestSettings()
    settings.FromConfig(str(conf), "llama3_1-8b", case.scenario)
    settings.scenario = getattr(lg.TestScenario, case.scenario)
    mode = "AccuracyOnly" if case.accuracy else "PerformanceOnly"
    settings.mode = getattr(lg.TestMode, mode)
    waiting: queue.SimpleQueue[tuple[Any, float]] = queue.SimpleQueue()
    rows: list[tuple[int, float, float, float, int]] = []

    def answer() -> None:
        while True:
            query, issued = waiting.get()
            if case.first_token_s:
                time.sleep(case.first_token_s)
            length = case.answer_length(query.index)
            tokens = np.arange(query.index, query.index + length, dtype=np.int32)
            address = tokens.ctypes.data
            first = time.perf_counter()
            if case.scenario != "Offline":
                lg.FirstTokenComplete([lg.QuerySampleResponse(query.id, address, 4)])
            completed = time.perf_counter()
            rows.append((query.index, issued, first, completed, length))
            lg.QuerySamplesComplete(
                [lg.QuerySampleResponse(query.id, address, tokens.nbytes, length)]
            )

    def issue(queries: list[Any]) -> None:
        now = time.perf_counter()
        for query in queries:
            waiting.put((query, now))

    threading.Thread(target=answer, daemon=True).start()
    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(case.samples, case.samples, lambda _: None, lambda _: None)
    output = lg.LogOutputSettings()
    output.outdir = str(out)
    output.copy_summary_to_stdout = False
    logs = lg.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    lg.StartTestWithLogSettings(sut, qsl, settings, logs)
    (out / "mlperf_log_trace.json").unlink()
    if not case.accuracy:
        _write_samples(run_dir / "samples.csv", rows, with_first_token=case.scenario != "Offline")
        (out / "mlperf_log_accuracy.json").unlink()


def _write_samples(
    path: Path, rows: list[tuple[int, float, float, float, int]], *, with_first_token: bool
) -> None:
    zero = rows[0][1]
    lines = ["sample_index,issued_s,first_token_s,completed_s,tokens"]
    for index, issued, first, completed, tokens in rows:
        first_text = f"{first - zero:.6f}" if with_first_token else ""
        lines.append(f"{index},{issued - zero:.6f},{first_text},{completed - zero:.6f},{tokens}")
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """All cases, or the one on the command line."""
    if len(sys.argv) > 1:
        make(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]))
        return
    for case in CASES:
        arguments = [json.dumps(dataclasses.asdict(case)), str(HERE / case.name)]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
