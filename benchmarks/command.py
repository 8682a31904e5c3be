"""What the programs of this folder share: numbers on command lines, a GPU, and how they end."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

from harness import processes
from harness.errors import BenchmarkError, UsageError


def count(text: str) -> int:
    """A whole number from 1 up, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def above_zero(text: str) -> float:
    """A number above 0 that has an end, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def hopper_gpu() -> str:
    """The name of the GPU. Raises UsageError where it is not of Hopper's generation."""
    import torch

    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        raise UsageError("An H100, H200 or another Hopper GPU is needed.")
    return str(torch.cuda.get_device_name(0))


def carry_out(main: Callable[[], int]) -> int:
    """The exit status of a program, of which no process is left however it ends."""
    program = Path(sys.argv[0]).name
    processes.watch_over_children()
    processes.adopt_orphans()  # such as an engine whose own parent has ended
    try:
        return main()
    except BenchmarkError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"{program}: interrupted.", file=sys.stderr)
        return 130
    finally:
        processes.end_children_for_good()
