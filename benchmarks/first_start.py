"""How long a first start of vLLM inspects the model's class, before it starts an engine.

  python benchmarks/first_start.py                    (neither GPU nor model; two minutes)

Importing vLLM and configuring an engine for Llama-3.1-8B, each time in a process of its own: with
the class inspected beside the import, as run.py has it; after it, as vLLM does; and kept in vLLM's
cache from an earlier start. In turn; prints the median and each time, and JSON last.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.errors import BenchmarkError

BESIDE, AFTER, KEPT = "beside", "after", "kept"


def configure(way: str) -> float:
    """Seconds of it in this process, which imports vLLM for it."""
    from benchmarks.one_token_model import LLAMA
    from harness.engine.inspection import Inspection

    start = time.perf_counter()
    inspection = Inspection()
    if way == BESIDE:
        inspection.begin(json.loads(LLAMA.read_text(encoding="utf-8"))["architectures"])
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: F401 - a run imports it as well

    inspection.wait()
    asked = AsyncEngineArgs(
        model=str(LLAMA.parent), skip_tokenizer_init=True, load_format="dummy", max_model_len=512
    )
    asked.create_engine_config()
    return time.perf_counter() - start


def seconds_of(way: str, cache: str) -> float:
    """The same in a fresh process with this cache of vLLM's. Raises BenchmarkError."""
    done = subprocess.run(
        [sys.executable, __file__, "--once", way],
        env={**os.environ, "VLLM_CACHE_ROOT": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BenchmarkError(f"vLLM could not be configured: {said[-1]}")
    return float(done.stdout.splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each way and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument("--repeat", type=command.count, default=3, help="rounds of all ways")
    ways = (BESIDE, AFTER, KEPT)
    parser.add_argument("--once", choices=ways, default=None, help="one of them, in this process")
    values = parser.parse_args(arguments)
    if values.once is not None:
        print(configure(values.once))
        return 0
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(1 + values.repeat):
        with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as filled:
            caches = (empty, filled, filled)
            took = [seconds_of(way, cache) for way, cache in zip(ways, caches, strict=True)]
        for way, figure in zip(ways, took, strict=True):
            if number:  # the first round reads the files of vLLM
                seconds[way].append(figure)
    for way, found in seconds.items():
        each = ", ".join(f"{figure:.1f}" for figure in found)
        print(f"{way:<8}{statistics.median(found):6.1f} s   ({each})", flush=True)
    print(json.dumps(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
