"""What is seen of GPUs and processes, by a driver whose answers are set."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import types
from typing import Any

import psutil
import pytest

from harness.machine import telemetry
from harness.machine.gpu_readings import GpuReadings, columns, read
from harness.machine.visible import Device
from harness.metrics import EngineState, TelemetryPoint


class NVMLError(Exception):
    pass


class Driver(types.ModuleType):
    """Two GPUs; the second is hot and held back, and does not tell its utilisation."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.pids: list[int] = []

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:
        if gpu == 1:
            raise NVMLError("Not Supported")
        return types.SimpleNamespace(gpu=90, memory=40)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        return (650_000, 700_000)[gpu]

    def nvmlDeviceGetClockInfo(self, gpu: int, kind: int) -> int:
        assert kind == 1
        return (1980, 1410)[gpu]

    def nvmlDeviceGetTemperature(self, gpu: int, kind: int) -> int:
        assert kind == 0
        return (61, 87)[gpu]

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Any:
        return types.SimpleNamespace(used=(70 + gpu) * 2**30)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:
        return (0x4 | 0x1, 0x40)[gpu]  # power cap while idle; hot by its hardware

    def nvmlDeviceGetTotalEccErrors(self, gpu: int, kind: int, _counter: int) -> int:
        return 3 * gpu + kind

    def nvmlDeviceGetPcieThroughput(self, _gpu: int, way: int) -> int:
        return (1000, 2000)[way]

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: int) -> list[Any]:
        return [types.SimpleNamespace(pid=pid) for pid in self.pids[gpu : gpu + 1]]


GPUS = [Device(index, index, is_slice=False) for index in (0, 1)]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    module = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return module


def test_several_gpus_are_told_by_their_sum_their_mean_or_the_worst(driver: Driver) -> None:
    seen = columns([read(driver, GPUS, {1})])

    assert seen == {
        "gpu_utilisation_percent": 90.0,
        "gpu_power_w": 1350.0,
        "gpu_sm_mhz": 1410.0,
        "gpu_temperature_c": 87.0,
        "gpu_memory_mib": 71 * 1024,
        "gpu_held_back_by": "power+temperature",
        "gpu_ecc_errors": 0 + 1 + 3 + 4,
        "gpu_pcie_mb_per_s": 6.0,
        "gpu_other_processes": None,
    }


@pytest.mark.parametrize(
    ("pids", "others"),
    [([11, 12], 0), ([11, 99], 1), ([98, 99], None)],  # a container knows no number of its own
    ids=["ours", "another", "a container"],
)
def test_other_processes_are_counted_where_the_driver_knows_ours(
    pids: list[int], others: int | None, driver: Driver
) -> None:
    driver.pids = pids

    assert columns([read(driver, GPUS, {11, 12})])["gpu_other_processes"] == others


def test_a_driver_that_answers_nothing_leaves_everything_unknown() -> None:
    silent = types.ModuleType("pynvml")
    silent.NVMLError = NVMLError  # type: ignore[attr-defined]

    assert set(columns([read(silent, GPUS, set())]).values()) == {None}


def test_the_gpus_of_several_machines_are_told_together(driver: Driver) -> None:
    cool = GpuReadings(
        utilisation_percent=(30.0,), power_mw=(100_000,), sm_mhz=(1700,), temperature_c=(40,)
    )

    together = columns([read(driver, GPUS, {1}), cool])

    assert together["gpu_utilisation_percent"] == (90 + 30) / 2
    assert together["gpu_power_w"] == 650 + 700 + 100
    assert (together["gpu_sm_mhz"], together["gpu_temperature_c"]) == (1410, 87)


def test_half_of_the_gpus_are_not_told_for_all_of_them(driver: Driver) -> None:
    assert columns([read(driver, GPUS, {1}), None]) == {}


@pytest.mark.usefixtures("driver")
def test_seconds_before_the_first_query_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "LOOK_EVERY_S", 0.02)
    began_at: list[float] = []
    states = [EngineState(10, 500, 1, 0, 0, 0.0), EngineState(14, 700, 3, 6, 2, 55.5)]

    with telemetry.watching(
        lambda: began_at[0] if began_at else None, lambda: states[bool(began_at)]
    ) as seen:
        time.sleep(0.15)
        assert seen.points == []
        began_at.append(time.monotonic())
        deadline = time.monotonic() + 10
        while len(seen.points) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)

    first, second = seen.points[:2]
    assert 0 <= first.time_s < second.time_s < 10
    # The engine's counts are those of this test alone.
    assert (first.engine_steps, first.engine_tokens, first.engine_preemptions) == (4, 200, 2)
    assert (first.engine_running, first.engine_waiting, first.kv_cache_percent) == (6, 2, 55.5)
    assert first.gpu_power_w == 1350.0
    assert second.client_cpu_percent is not None
    assert second.processes_memory_mib is not None
    assert second.processes_memory_mib > 10


def test_without_a_driver_processes_are_seen_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(telemetry, "LOOK_EVERY_S", 0.02)
    now = time.monotonic()

    with telemetry.watching(lambda: now, lambda: None) as seen:
        deadline = time.monotonic() + 10
        while not seen.points and time.monotonic() < deadline:
            time.sleep(0.01)

    assert seen.points[0].gpu_power_w is None
    assert seen.points[0].engine_steps is None
    assert seen.points[0].processes_memory_mib is not None


@pytest.mark.usefixtures("driver")
def test_the_busiest_process_of_the_engine_is_neither_the_client_nor_loadgen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry, "LOOK_EVERY_S", 0.2)
    now = time.monotonic()
    loop = "while True: pass"
    title = "import setproctitle; setproctitle.setproctitle('VLLM::EngineCore'); print(flush=True)"
    with contextlib.ExitStack() as stack:
        engine, loadgen = (
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            )
            for code in (f"{title}\n{loop}", f"print(flush=True)\n{loop}")
        )
        try:
            for process in (engine, loadgen):
                assert process.stdout is not None
                process.stdout.readline()
            with telemetry.watching(lambda: now, lambda: None) as seen:
                deadline = time.monotonic() + 20
                while len(seen.points) < 3 and time.monotonic() < deadline:
                    time.sleep(0.01)
        finally:
            engine.kill()
            loadgen.kill()

    found = seen.points[-1]
    assert found.engine_cpu_percent is not None
    assert found.processes_cpu_percent is not None
    assert found.client_cpu_percent is not None
    assert 5 < found.engine_cpu_percent < 110
    others = found.processes_cpu_percent - found.engine_cpu_percent - found.client_cpu_percent
    assert others > 5  # of the one that stands for LoadGen


@pytest.mark.usefixtures("driver")
def test_processes_of_the_engine_that_belong_to_ray_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry, "LOOK_EVERY_S", 0.1)
    now, not_below_this_one = time.monotonic(), os.getppid()

    def last_look(of_ray: tuple[int, ...]) -> TelemetryPoint:
        with telemetry.watching(lambda: now, lambda: None, of_ray=lambda: of_ray) as seen:
            deadline = time.monotonic() + 20
            while len(seen.points) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
        return seen.points[-1]

    alone, with_ray = last_look(()), last_look((not_below_this_one, 2**30))

    assert alone.engine_cpu_percent is None
    assert with_ray.engine_cpu_percent is not None
    assert alone.processes_memory_mib is not None
    assert with_ray.processes_memory_mib is not None
    resident_mib = psutil.Process(not_below_this_one).memory_info().rss / 2**20
    grown_mib = with_ray.processes_memory_mib - alone.processes_memory_mib
    assert resident_mib / 2 < grown_mib < 2 * resident_mib + 5
