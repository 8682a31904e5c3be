"""What the report says and draws of the machine during a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from harness.logs.times import write_telemetry
from harness.metrics import TelemetryPoint
from harness.report import telemetry, telemetry_plot
from harness.report.make import make_report
from tests.report.conftest import MakeRun, legend

QUIET = TelemetryPoint(
    time_s=0.0,
    gpu_utilisation_percent=98.0,
    gpu_power_w=650.0,
    gpu_held_back_by="nothing",
    gpu_ecc_errors=7,
    gpu_other_processes=0,
    client_cpu_percent=40.0,
    engine_steps=100,
    engine_tokens=25_600,
    engine_preemptions=0,
    engine_running=256,
    engine_waiting=0,
    kv_cache_percent=61.0,
)

STARVED = replace(QUIET, gpu_utilisation_percent=82.0, engine_cpu_percent=99.0, engine_waiting=3)


def seconds(count: int = 100, **of_the_last: object) -> list[TelemetryPoint]:
    """So many seconds of an untroubled test, of which the last may be another."""
    points = [replace(QUIET, time_s=1.0 + second) for second in range(count)]
    points[-1] = replace(points[-1], **of_the_last)  # type: ignore[arg-type]
    return points


def test_an_untroubled_test_casts_no_doubt() -> None:
    assert list(telemetry.doubts(seconds())) == []


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            [replace(point, gpu_held_back_by="power") for point in seconds(62)] + seconds(38),
            "held back by its power limit at some moment of 62 % of the seconds",
        ),
        (
            [*seconds(60), *(replace(QUIET, time_s=240.0, gpu_held_back_by="temperature"),) * 40],
            "slowed down by its temperature 40 % of the time, first after 4 min",
        ),
        (seconds(gpu_held_back_by="hardware"), "own hardware slowed it down 1 % of the time"),
        (seconds(gpu_ecc_errors=9), "counted 2 memory errors (ECC)"),
        (seconds(engine_preemptions=1240), "put requests back 1,240 times (preemptions)"),
        (seconds(gpu_other_processes=1), "1 other process used the GPU"),
        (
            [replace(point, client_cpu_percent=97.0) for point in seconds()],
            "kept its core busy to 97 %",
        ),
        (
            seconds(60) + [replace(STARVED, time_s=61.0 + more) for more in range(40)],
            "waited for the processor: in 40 % of the seconds it worked for only 82 % of the time",
        ),
    ],
    ids=["power", "heat", "hardware", "ecc", "preemptions", "others", "client", "processor"],
)
def test_what_slowed_the_machine_is_one_sentence(points: list[TelemetryPoint], said: str) -> None:
    (sentence,) = telemetry.doubts(points)

    assert said in sentence


@pytest.mark.parametrize(
    "change",
    [{"engine_waiting": 0}, {"engine_cpu_percent": 50.0}, {"gpu_utilisation_percent": None}],
    ids=["no request that waits", "an engine that sleeps", "no GPU"],
)
def test_a_gpu_without_work_waits_for_no_processor(change: dict[str, object]) -> None:
    points = [replace(STARVED, **change)] * 100  # type: ignore[arg-type]
    assert list(telemetry.doubts(points)) == []


def test_a_limit_that_was_only_touched_is_no_doubt() -> None:
    assert list(telemetry.doubts(seconds(gpu_held_back_by="power"))) == []


def test_the_report_tells_what_the_machine_did(make_run: MakeRun) -> None:
    run = make_run()
    write_telemetry(run / "telemetry.csv", seconds(engine_preemptions=3))

    record = make_report(run)

    assert record["telemetry"]["engine_tokens_per_step"] == 256.0
    assert record["telemetry"]["gpu_power_w_mean"] == pytest.approx(650.0)
    assert json.loads((run / "summary.json").read_text())["telemetry"] == record["telemetry"]
    text = (run / "report.md").read_text()
    assert "> The KV cache was full: the engine put requests back 3 times" in text
    assert "| KV cache in use, most | 61 % |" in text
    assert "GPU memory" not in text  # it could not be seen
    assert (run / "plots" / "telemetry.png").is_file()
    assert "verdict" in record
    assert not any("KV cache" in reason for reason in record["verdict"]["reasons"])


def test_a_folder_without_telemetry_has_its_report(make_run: MakeRun) -> None:
    record = make_report(make_run())

    assert record["telemetry"] is None
    assert record["plots"]["telemetry"] is None


@pytest.mark.usefixtures("drawn")
def test_the_figure_has_a_panel_for_each_unit_that_was_seen(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    assert telemetry_plot.telemetry(tmp_path / "a.png", seconds(3000), run="a run")

    panels = drawn[0].axes
    assert [axes.get_ylabel() for axes in panels] == ["%", "W", "requests", "% of a core"]
    assert legend(panels[0]) == ["GPU utilisation", "KV cache in use"]
    assert len(panels[1].get_lines()[0].get_ydata()) == 600  # type: ignore[arg-type]
    assert panels[-1].get_xlim() == (0.0, 3000.0)


def test_nothing_is_drawn_of_a_single_second(tmp_path: Path) -> None:
    assert not telemetry_plot.telemetry(tmp_path / "a.png", seconds(1), run="a run")
    assert not telemetry_plot.telemetry(tmp_path / "a.png", [], run="a run")
