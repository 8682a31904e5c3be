"""What the first GPU can do, measured: products for two seconds, and copies for two.

    python -m harness.machine.ceilings bf16

A process of its own, since what torch takes of a GPU goes back to it only when the process ends.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 2.0
SIDE = 8192  # of the matrices: large enough that a product keeps the whole GPU busy
COPIED_BYTES = 2**31  # beyond every cache
TIMEOUT_S = 180.0
_PROJECT = Path(__file__).resolve().parents[2]

log = logging.getLogger("harness")


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """The most that was reached on one GPU."""

    tflop_per_s: float
    terabytes_per_s: float  # read and written


def measure(precision: str) -> Ceilings | None:
    """Measures in a process of its own; None, and a line in run.log, where that fails."""
    command = [sys.executable, "-m", "harness.machine.ceilings", precision]
    try:
        done = subprocess.run(
            command, cwd=_PROJECT, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
        values = json.loads(done.stdout.splitlines()[-1])
        return Ceilings(float(values["tflop_per_s"]), float(values["terabytes_per_s"]))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
        log.info("the GPU's ceilings could not be measured: %s", error)
        return None


def _measure_here(precision: str) -> Ceilings:
    import torch

    kind = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.float8_e4m3fn}[precision]
    left, right = (torch.randn(SIDE, SIDE, device="cuda").to(kind) for _ in range(2))
    if precision == "fp8":
        scale = torch.ones((), device="cuda")

        def product() -> Any:
            return torch._scaled_mm(left, right.t(), scale, scale, out_dtype=torch.bfloat16)
    else:

        def product() -> Any:
            return left @ right

    products_per_s = _rate(product, torch.cuda.synchronize)
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copies_per_s = _rate(lambda: target.copy_(source), torch.cuda.synchronize)
    return Ceilings(products_per_s * 2 * SIDE**3 / 1e12, copies_per_s * 2 * COPIED_BYTES / 1e12)


def _rate(work: Callable[[], Any], wait: Callable[[], None]) -> float:
    """How often a second the work is done, in groups, so that waiting for it costs little."""
    for _ in range(10):
        work()
    wait()
    count, start = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - start) < SECONDS:
        for _ in range(20):
            work()
        wait()
        count += 20
    return count / passed_s


def main() -> None:
    """Prints the ceilings as JSON."""
    sys.stdout.write(json.dumps(dataclasses.asdict(_measure_here(sys.argv[1]))))


if __name__ == "__main__":
    main()
