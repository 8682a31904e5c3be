"""Times the reading of the logs of a full-size run, which real LoadGen makes here first.

An Offline test of 40,104 samples (three passes of 13,368) and an accuracy test of 13,368 answers
of 128 tokens, both answered at once from a list. Needs LoadGen, no GPU.

    python benchmarks/parse_logs.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.logs.answers import check_complete, read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.logs.times import read_samples
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, RunFolder
from harness.rounds import V5_1

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
PASSES = 3
TOKENS = V5_1.max_new_tokens


def make_logs(run_dir: Path, samples: int) -> None:
    """Both tests, a LoadGen process each."""
    # LoadGen issues 1.1 x min_duration x target_qps samples, padded to whole passes.
    rate = int(samples * (PASSES - 0.5) / 1.1)
    case = {
        "name": "full size",
        "scenario": "Offline",
        "samples": samples,
        "conf": f"Offline.target_qps = {rate}\n*.min_duration = 1000",
        "shortest_answer": TOKENS,
        "longest_answer": TOKENS,
    }
    for accuracy in (False, True):
        program = [sys.executable, str(ROOT / "tests" / "data" / "make_logs.py")]
        arguments = [json.dumps(case | {"accuracy": accuracy}), str(run_dir)]
        subprocess.run([*program, *arguments], check=True)


def timed(name: str, work: Callable[[], T], seconds: dict[str, float]) -> T:
    """Does the work, prints and keeps how long it took."""
    start = time.perf_counter()
    result = work()
    seconds[name] = round(time.perf_counter() - start, 3)
    print(f"{seconds[name]:8.3f} s  {name}")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints seconds for each log, last as JSON."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--samples",
        type=command.count,
        default=V5_1.datacenter.dataset_samples,
        help="of a pass; Offline has three",
    )
    samples = parser.parse_args(arguments).samples
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder(Path(temporary))
        make_logs(folder.path, samples)
        size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        print(f"{size / 1e6:.1f} MB of logs")
        detail = folder.performance / DETAIL_LOG
        run = timed("detail log", lambda: read_detail_log(detail), seconds)
        timed("sample times", lambda: read_samples(folder.samples_csv), seconds)
        timed("performance", lambda: performance_result(folder.path), seconds)
        accuracy_log = folder.accuracy / ACCURACY_LOG
        answers = timed("accuracy", lambda: read_accuracy_log(accuracy_log), seconds)
        check_complete(answers, samples)
    seconds["total"] = round(seconds["performance"] + seconds["accuracy"], 3)
    print(f"{run.sample_count} samples, {len(answers)} answers of {TOKENS} tokens")
    print(json.dumps(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
