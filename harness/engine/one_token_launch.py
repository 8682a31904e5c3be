"""Launching the kernels for a step of one token, each before the one ahead of it has ended.

A kernel lets the next one start as it begins itself, fetches its first weights, and then waits for
its input (programmatic dependent launch, of Hopper GPUs and later). Every kernel waits, so what one
of them writes is there for all that come after it.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# Triton's interpreter, which the tests use, knows neither early launches nor products of bfloat16.
EARLY = True
OPERANDS = tl.bfloat16


@triton.jit
def let_the_next_start(EARLY: tl.constexpr):
    """From here on the next kernel may begin, in places that this one has left."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def wait_for_input(EARLY: tl.constexpr):
    """Until the kernels ahead have ended and what they wrote can be read."""
    if EARLY:
        tl.extra.cuda.gdc_wait()


def options(*, warps: int) -> dict[str, Any]:
    """The arguments of a launch."""
    return {"EARLY": EARLY, "launch_pdl": EARLY, "num_warps": warps}
