"""The energy of a run's GPUs, those of other machines included."""

from __future__ import annotations

import logging

from harness.engine import ray_cluster
from harness.errors import UsageError
from harness.machine import gpus
from harness.machine.system import SystemInfo

log = logging.getLogger("harness")


def joules(system: SystemInfo) -> float | None:
    """What the GPUs of a run have used since their drivers were loaded.

    None where it is not known of each, as of another machine that does not answer.
    """
    if not system.others:
        return gpus.energy_joules(system.gpu_count)
    elsewhere = _elsewhere(len(system.others))
    here = gpus.energy_joules(system.gpu_count)
    known = [amount for amount in (here, *elsewhere) if isinstance(amount, int | float)]
    return sum(known) if len(known) == 1 + len(system.others) else None


def _elsewhere(machines_taken: int) -> list[float | Exception | None]:
    """Of each other machine whose GPUs Ray has given away, as it has to the engine by now."""
    try:
        with ray_cluster.connected() as machines:
            taken = [m for m in machines if not m.is_here and m.free_gpus < m.gpus]
            if len(taken) != machines_taken:
                return []
            return [
                answer
                for machine in taken
                for answer in ray_cluster.on_each(
                    [machine], gpus.energy_joules, machine.gpus - machine.free_gpus
                )
            ]
    except UsageError as error:
        log.warning("the energy of the other machines is not known: %s", error)
        return []
