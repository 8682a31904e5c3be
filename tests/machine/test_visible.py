"""The GPUs that CUDA shows this process, of drivers that do not know everything."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from harness.machine import gpus
from harness.machine import system as system_info
from tests.machine.nvml_doubles import GIB, FakeNvml, Machine


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a machine in the place of this one, with CUDA's variables as given."""

    def put(machine: Machine, **variables: str) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", machine)
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


def test_a_gpu_whose_memory_is_not_told_is_a_gpu(put: Any) -> None:
    put(Machine("GPU-1", name={0: "NVIDIA GB10"}))

    found = gpus.collect()

    assert (found.count, found.name, found.memory_bytes) == (1, "NVIDIA GB10", None)
    assert gpus.free_and_total_memory_bytes() == (None, None)


def test_a_gpu_of_which_nothing_is_told_is_a_gpu(put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("GPU-1")
    monkeypatch.delattr(FakeNvml, "nvmlSystemGetCudaDriverVersion")
    put(machine)

    assert gpus.collect() == gpus.Gpus(1, driver_version="580.65.06")


def test_links_that_no_driver_tells_of_are_not_known(put: Any) -> None:
    machine = Machine("GPU-1")
    put(machine)
    machine.NVML_NVLINK_MAX_LINKS = 3  # type: ignore[attr-defined]

    assert gpus.collect().nvlinks is None

    machine.nvmlDeviceGetNvLinkState = lambda _gpu, link: int(link < 2)  # type: ignore[attr-defined]
    assert gpus.collect().nvlinks == 2


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("GPU-1111", ["NVIDIA L4"]),
        ("GPU-2", ["NVIDIA H100"]),
        ("GPU-2222-b,GPU-1", ["NVIDIA H100", "NVIDIA L4"]),
        ("GPU-", []),  # which of them is not said
        ("GPU-3,GPU-1", []),
        ("GPU-1,0", ["NVIDIA L4"]),  # of another kind, so it and what follows is ignored
        ("GPU-1,GPU-1111", []),  # twice the same
    ],
)
def test_a_uuid_may_be_cut_short(put: Any, visible: str, names: list[str]) -> None:
    put(
        Machine("GPU-1111-a", "GPU-2222-b", name={0: "NVIDIA L4", 1: "NVIDIA H100"}),
        CUDA_VISIBLE_DEVICES=visible,
    )

    found = gpus.collect()

    assert (found.count, found.name) == (len(names), gpus.JOINED.join(names) or None)


def test_facts_are_of_the_gpus_that_are_asked_about(put: Any) -> None:
    put(
        Machine(
            "GPU-1",
            "GPU-2",
            "GPU-3",
            name={0: "NVIDIA H100", 1: "NVIDIA H100", 2: "NVIDIA L4"},
            memory_gib={0: (70, 80), 1: (60, 81), 2: (1, 24)},
            energy_mj={0: 1000, 1: 2000, 2: 4000},
        )
    )

    two = gpus.collect(2)

    assert (two.count, two.name, two.memory_bytes) == (2, "NVIDIA H100", 80 * GIB)
    assert gpus.free_and_total_memory_bytes(2) == (60 * GIB, 81 * GIB)
    assert gpus.energy_joules(2) == 3
    all_three = gpus.collect()
    assert (all_three.name, all_three.memory_bytes) == ("NVIDIA H100 + NVIDIA L4", 24 * GIB)
    assert gpus.free_and_total_memory_bytes() == (GIB, 24 * GIB)


def test_energy_that_one_gpu_does_not_tell_is_not_known_of_all(put: Any) -> None:
    put(Machine("GPU-1", "GPU-2", energy_mj={0: 1000}))

    assert gpus.energy_joules(1) == 1
    assert gpus.energy_joules() is None
    assert gpus.energy_joules(0) is None


@pytest.mark.parametrize(
    ("order", "first"),
    [("FASTEST_FIRST", "NVIDIA H100"), ("PCI_BUS_ID", "NVIDIA L4"), ("", "NVIDIA L4")],
)
def test_gpus_are_counted_as_cuda_counts_them(put: Any, order: str, first: str) -> None:
    put(
        Machine(
            "GPU-1",
            "GPU-2",
            name={0: "NVIDIA L4", 1: "NVIDIA H100"},
            cores={0: 7680, 1: 14592},
            mhz={0: 2040, 1: 1980},
        ),
        CUDA_VISIBLE_DEVICES="0",
        CUDA_DEVICE_ORDER=order,
    )

    assert gpus.collect().name == first


CUT_UP = {1: ["MIG-aaaa-1", "MIG-bbbb-2"]}


@pytest.mark.parametrize(
    ("visible", "memory_gib"),
    [(None, 10), ("1", 10), ("0,1", 10), ("MIG-aaaa-1", 10), ("MIG-b", 20), ("MIG-b,MIG-a", 20)],
)
def test_of_slices_cuda_shows_one_alone(put: Any, visible: str | None, memory_gib: int) -> None:
    machine = Machine(
        "GPU-1",
        "GPU-2",
        slices=CUT_UP,
        name={0: "NVIDIA H100", "MIG-aaaa-1": "H100 MIG 1g.10gb", "MIG-bbbb-2": "H100 MIG 2g.20gb"},
        memory_gib={0: (80, 80), "MIG-aaaa-1": (10, 10), "MIG-bbbb-2": (20, 20)},
        energy_mj={0: 1000, 1: 2000},
    )
    put(machine, **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}))

    found = gpus.collect()

    assert (found.count, found.memory_bytes) == (1, memory_gib * GIB)
    assert "MIG" in str(found.name)
    assert gpus.energy_joules() is None  # the meter of its GPU counts the other slice as well


def test_a_whole_gpu_may_be_chosen_beside_one_that_is_cut_up(put: Any) -> None:
    put(
        Machine("GPU-1", "GPU-2", slices=CUT_UP, memory_gib={0: (80, 80)}),
        CUDA_VISIBLE_DEVICES="0",
    )

    assert gpus.collect().memory_bytes == 80 * GIB


def test_what_is_recorded_of_a_machine_are_the_gpus_that_the_engine_takes(put: Any) -> None:
    names = {0: "NVIDIA H100", 1: "NVIDIA H100", 2: "NVIDIA L4"}
    put(Machine("GPU-1", "GPU-2", "GPU-3", name=names, mhz={0: 1980, 1: 1980, 2: 2040}))
    visible = system_info.collect()

    two = system_info.of_engine(visible, 2)
    none = system_info.of_engine(visible, 0)

    assert (visible.gpu_count, visible.gpu_kind) == (3, None)  # of several kinds
    assert (two.gpu_count, two.gpu_name, two.gpu_kind) == (2, "NVIDIA H100", "NVIDIA H100")
    assert two.hardware is not None
    assert two.hardware.gpu_max_mhz == 1980
    assert (none.gpu_count, none.gpu_name, none.driver_version) == (0, None, None)
    assert system_info.of_engine(visible, 4) is visible  # with Ray others have the rest
