"""Where the engine's processes spend the processor's time while a test runs.

  python benchmarks/processor.py --model demo --samples 400 --seconds 5
  python benchmarks/processor.py --weights dummy --precision fp8 --samples 4000     (one GPU)
  python benchmarks/processor.py --weights dummy --precision fp8 --scenario interactive \\
    --samples 4000 --qps 51

One engine answers one test through LoadGen, and py-spy (pip install py-spy) looks at what each of
its processes is doing, a hundred times a second, once the test has run for --after seconds. A GPU
that is used to less than 100 % under load waits for what stands at the top of these tables. Prints
for the thread that does most in each process the share of the looks in which a function was at
work, with what it called and by itself; JSON last. Needs the right to look into other processes:
root, or kernel.yama.ptrace_scope=0.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.temporary_run import temporary_run
from harness import flags, processes
from harness.config import RunConfig, Scenario, validate
from harness.engine import life as engine_life
from harness.engine.vllm import Engine
from harness.errors import EngineError
from harness.loadgen.planning import Target
from harness.measure import preparation, tests
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared

LOOKS_A_SECOND = 100
SHOWN = 30  # functions of a table
_LINE = re.compile(r"^(?P<stack>.*) (?P<count>\d+)$")
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(:\d+)?\)$")


@dataclass(frozen=True)
class Times:
    """What one thread did: shares of the looks, by function and file."""

    process: str
    thread: str
    looks: int
    at_work: float  # the share of the looks in which it was
    with_callees: dict[str, float]
    alone: dict[str, float]


def read_stacks(text: str, process: str, looks: int) -> Times | None:
    """The thread that was seen at work most often; None: none was.

    `text` holds py-spy's lines: frames from the outermost on, parted by semicolons, and a count.
    """
    threads: dict[str, Counter[tuple[str, ...]]] = {}
    for line in text.splitlines():
        if found := _LINE.match(line):
            thread, *frames = found["stack"].split(";")
            threads.setdefault(thread, Counter())[tuple(frames)] += int(found["count"])
    if not threads:
        return None
    thread, stacks = max(threads.items(), key=lambda pair: pair[1].total())
    inclusive: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for frames, count in stacks.items():
        names = [_name(frame) for frame in frames]
        for name in set(names):
            inclusive[name] += count
        if names:
            alone[names[-1]] += count
    return Times(
        process,
        thread,
        looks,
        stacks.total() / looks,
        {name: count / looks for name, count in inclusive.most_common(SHOWN)},
        {name: count / looks for name, count in alone.most_common(SHOWN)},
    )


def _name(frame: str) -> str:
    found = _FRAME.match(frame)
    if found is None:
        return frame
    file = found["file"].replace("\\", "/").rpartition("site-packages/")[2]
    return f"{found['function']} ({file})"


async def look(seconds: int) -> list[Times]:
    """What every process of vLLM's does in the next `seconds`. Raises EngineError."""
    engine = [
        process
        for process in psutil.Process().children(recursive=True)
        if processes.is_of_vllm(process)
    ]
    found = await asyncio.gather(*(_look_at(process, seconds) for process in engine))
    return [times for times in found if times is not None]


async def _look_at(process: psutil.Process, seconds: int) -> Times | None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "stacks"
        command = ["py-spy", "record", "--pid", str(process.pid), "--format", "raw", "--threads"]
        command += ["--rate", str(LOOKS_A_SECOND), "--duration", str(seconds)]
        spy = await asyncio.create_subprocess_exec(
            *command, "--output", str(output),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await spy.communicate()
        if spy.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise EngineError(f"py-spy cannot look into process {process.pid}: {lines[0]}")
        name = " ".join(process.cmdline()).strip()
        return read_stacks(output.read_text(), name, seconds * LOOKS_A_SECOND)


async def measure(prepared: Prepared, target: Target, after_s: float, seconds: int) -> list[Times]:
    """Loads the engine, begins the test and looks at it."""
    engine = Engine(prepared.plan, prepared.sampling)
    try:
        await engine_life.load(engine)
        with temporary_run(prepared, engine, "processor.py") as run:
            return await _look_while_it_runs(run, target, after_s, seconds)
    finally:
        engine_life.shut_down(engine)


async def _look_while_it_runs(
    run: ActiveRun, target: Target, after_s: float, seconds: int
) -> list[Times]:
    test = asyncio.create_task(tests.loadgen_test(run, tests.performance_test(run, target)))
    try:
        await asyncio.wait([test], timeout=after_s)
        found = await look(seconds)
        if test.done():
            print("The test ended before the looks did: give more --samples.", file=sys.stderr)
        await test
    finally:
        test.cancel()
    return found


def show(times: Times) -> None:
    """Two tables of one thread."""
    print(f"\n{times.process}, {times.thread}: at work in {100 * times.at_work:.0f} % of the looks")
    for title, shares in (("with what it called", times.with_callees), ("alone", times.alone)):
        print(f"  {title}")
        for name, share in shares.items():
            print(f"    {100 * share:5.1f} %  {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables, and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--scenario", choices=("offline", "server", "interactive"), default="offline"
    )
    parser.add_argument(
        "--samples", type=command.count, default=2000, help="synthetic prompts of the test"
    )
    parser.add_argument(
        "--qps", type=command.above_zero, default=1.0, help="queries/s of Server, Interactive"
    )
    parser.add_argument(
        "--after", type=command.above_zero, default=10.0, help="seconds before the first look"
    )
    parser.add_argument("--seconds", type=command.count, default=10, help="for so long")
    group = parser.add_argument_group("model and engine")
    flags.add_model_flags(group)
    flags.add_engine_flags(group)
    values = vars(parser.parse_args(arguments))
    names = ("samples", "qps", "after", "seconds", "scenario")
    samples, qps, after_s, seconds, scenario = (values.pop(name) for name in names)
    if shutil.which("py-spy") is None:
        parser.error("py-spy is not there: pip install py-spy")
    config = RunConfig(
        **values, scenario=Scenario(scenario), dataset="synthetic", mode="performance",
        total_sample_count=samples,
    )  # fmt: skip
    validate(config)
    target = Target("a benchmark", samples, expected_duration_s=samples / qps, qps=qps)
    prepared = preparation.prepare(config, lambda text: print(text, flush=True))
    found = asyncio.run(measure(prepared, target, after_s, seconds))
    for times in found:
        show(times)
    print(json.dumps([vars(times) for times in found]))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
