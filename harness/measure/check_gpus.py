"""Checks of the GPUs: what would slow a run down, break it, or share its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness import formatting
from harness.config import RunConfig
from harness.engine import capacity
from harness.engine.plan import Site
from harness.errors import UsageError
from harness.language import joined, phrase
from harness.machine import gpu_state
from harness.machine.gpu_state import GpuProcess, GpuState
from harness.measure.check_line import DOUBTFUL, OK, Line

LEAST_OF_USUAL = 0.99  # of a limit: drivers round


def used(config: RunConfig, site: Site) -> int | None:
    """How many of the visible GPUs the engine takes; None: all, as far as can be told."""
    try:
        sized = capacity.check_devices(config, site.device, site.system)
    except UsageError:
        return None
    return capacity.gpus_here(sized, site.device, site.system)


def lines(config: RunConfig, site: Site) -> list[Line]:
    """A line for each kind of trouble; none where no GPU is used."""
    states = gpu_state.collect(used(config, site)) if site.device == "gpu" else []
    if not states:
        return []
    return [
        _line("MIG", states, phrase("the GPUs are whole"), _sliced),
        _line(phrase("ECC errors"), states, phrase("none that were not corrected"), _errors),
        _line(phrase("power limit"), states, _usual_power(states), _power),
        _line(phrase("clocks"), states, phrase("not held below the usual"), _clock),
        _line(phrase("throttling now"), states, phrase("nothing holds the GPUs back"), _held_back),
        _line(phrase("other processes"), states, phrase("none computes on the GPUs"), _busy),
    ]


def _line(
    name: str,
    states: Sequence[GpuState],
    good: str,
    doubt: Callable[[int, GpuState], str | None],
) -> Line:
    """All doubts about one kind of trouble, each with its GPU by nvidia-smi's number."""
    numbered = [
        (place if state.index is None else state.index, state) for place, state in enumerate(states)
    ]
    doubts = [text for number, state in numbered if (text := doubt(number, state))]
    return Line(name, DOUBTFUL if doubts else OK, joined(" ", doubts) if doubts else good)


def _sliced(number: int, state: GpuState) -> str | None:
    if not state.is_slice:
        return None
    return phrase(
        "GPU {number} is a slice of one, and others may compute on the rest; "
        "`sudo nvidia-smi -i {number} -mig 0` makes it whole.",
        number=number,
    )


def _errors(number: int, state: GpuState) -> str | None:
    if state.uncorrected_errors:
        return phrase(
            "GPU {number} counts {count} errors of its memory that were not corrected; restart the "
            "machine, and have the GPU replaced if they come again.",
            number=number, count=state.uncorrected_errors,
        )  # fmt: skip
    if state.repair_pending:
        return phrase(
            "GPU {number} has memory to be replaced at the next start; restart the machine.",
            number=number,
        )
    return None


def _usual_power(states: Sequence[GpuState]) -> str:
    watts = {state.power_limit_w for state in states if state.power_limit_w is not None}
    told = ", ".join(f"{limit:g} W" for limit in sorted(watts))
    return told or phrase("not told by the driver")


def _power(number: int, state: GpuState) -> str | None:
    limit, usual = state.power_limit_w, state.usual_power_limit_w
    if limit is None or usual is None or limit >= LEAST_OF_USUAL * usual:
        return None
    return phrase(
        "GPU {number} may take {limit:g} of its usual {usual:g} W; "
        "`sudo nvidia-smi -i {number} -pl {usual:g}` lifts that.",
        number=number, limit=limit, usual=usual,
    )  # fmt: skip


def _clock(number: int, state: GpuState) -> str | None:
    held, usual = state.set_clock_mhz, state.usual_clock_mhz
    if held is None or usual is None or held >= LEAST_OF_USUAL * usual:
        return None
    return phrase(
        "GPU {number} is held at {held:,} of its usual {usual:,} MHz; "
        "`sudo nvidia-smi -i {number} -rac` lifts that.",
        number=number, held=held, usual=usual,
    )  # fmt: skip


def _held_back(number: int, state: GpuState) -> str | None:
    if state.held_back_by is None:
        return None
    heat = state.temperature_c
    degrees = "" if heat is None else phrase(" at {heat} degrees C", heat=heat)
    return phrase(
        "GPU {number} is slowed down by {what} now{degrees}; see to its cooling and power, or let "
        "it rest.",
        number=number, what=state.held_back_by, degrees=degrees,
    )  # fmt: skip


def _busy(number: int, state: GpuState) -> str | None:
    if not state.processes:
        return None
    named = joined(", ", map(_words, state.processes))
    return phrase(
        "GPU {number} is used by {named}; end that, else the figures are of both.",
        number=number, named=named,
    )  # fmt: skip


def _words(process: GpuProcess) -> str:
    name = process.name or phrase("of another container or user")
    used = process.memory_bytes
    held = "" if used is None else f", {formatting.gibibytes(used)}"
    return phrase("process {pid} ({name}{held})", pid=process.pid, name=name, held=held)
