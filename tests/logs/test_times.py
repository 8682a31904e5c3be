"""samples.csv and timeline.csv: what is written is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.times import (
    read_samples,
    read_telemetry,
    read_timeline,
    write_samples,
    write_telemetry,
    write_timeline,
)
from harness.metrics import SampleTimes, TelemetryPoint, TimelinePoint
from tests.builders import DATA


def test_sample_times_and_timeline_are_read(tmp_path: Path) -> None:
    samples, timeline = tmp_path / "samples.csv", tmp_path / "timeline.csv"
    samples.write_text(
        "sample_index,issued_s,first_token_s,completed_s,tokens\n"
        "7,0.000000,,1.500000,128\n3,0.250000,0.500000,2.000000,64\n"
    )
    timeline.write_text("time_s,tokens,samples_done,outstanding\n0.5,10,0,2\n")
    assert read_samples(samples) == [
        SampleTimes(7, 0.0, None, 1.5, 128),
        SampleTimes(3, 0.25, 0.5, 2.0, 64),
    ]
    assert read_timeline(timeline) == [TimelinePoint(0.5, 10, 0, 2)]


HEADER = "sample_index,issued_s,first_token_s,completed_s,tokens\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "does not begin with the line sample_index,issued_s"),
        ("time_s,tokens\n", "does not begin with the line sample_index,issued_s"),
        (
            "sample_index,issued_s,first_token_s,completed_s,tokens\n1,0.0,,1\n",
            "line 2: '1,0.0,,1'",
        ),
        ("sample_index,issued_s,first_token_s,completed_s,tokens\n1,0,,1,\n", "line 2: '1,0,,1,'"),
        (f"{HEADER}1,nan,,1,2\n", "line 2: '1,nan,,1,2' is damaged"),
        (f"{HEADER}1,0,,inf,2\n", "line 2: '1,0,,inf,2' is damaged"),
        (f"{HEADER}1,0,,1e300,2\n", "line 2: '1,0,,1e300,2' is damaged"),
        (f"{HEADER}1,0,,1,-2\n", "line 2: '1,0,,1,-2' is damaged"),
        (f"{HEADER}1,0,,1,2\n{'9' * 200_000},0,,1,2\n", r"line 3: '9{59}\.\.\. is damaged"),
    ],
)
def test_damaged_sample_times_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(LogError, match=sentence):
        read_samples(path)


def test_sample_times_are_written_to_the_microsecond_as_run_folders_have_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "samples.csv"
    samples = [SampleTimes(7, 0.0, None, 1.5, 128), SampleTimes(3, 0.25, 0.5, 2.1234567, 64)]
    write_samples(path, samples)
    assert path.read_bytes() == (
        b"sample_index,issued_s,first_token_s,completed_s,tokens\n"
        b"7,0.000000,,1.500000,128\n3,0.250000,0.500000,2.123457,64\n"
    )


@pytest.mark.parametrize("name", ["offline-valid", "server-valid", "singlestream-valid"])
def test_sample_times_of_a_run_are_written_as_they_were_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "samples.csv"
    write_samples(path, read_samples(DATA / name / "samples.csv"))
    assert path.read_bytes() == (DATA / name / "samples.csv").read_bytes()


def test_timeline_is_written_to_the_millisecond_as_run_folders_have_it(tmp_path: Path) -> None:
    path = tmp_path / "timeline.csv"
    write_timeline(path, [TimelinePoint(0.25, 10, 0, 2), TimelinePoint(0.5004, 20, 2, 0)])
    assert path.read_bytes() == (
        b"time_s,tokens,samples_done,outstanding\n0.250,10,0,2\n0.500,20,2,0\n"
    )
    assert read_timeline(path) == [TimelinePoint(0.25, 10, 0, 2), TimelinePoint(0.5, 20, 2, 0)]


def test_telemetry_that_is_written_is_read_with_its_unknowns(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.csv"
    points = [
        TelemetryPoint(1.0),
        TelemetryPoint(
            2.0, gpu_power_w=650.5, gpu_held_back_by="nothing", engine_steps=7, gpu_ecc_errors=0
        ),
    ]

    write_telemetry(path, points)

    assert read_telemetry(path) == points


def test_telemetry_of_earlier_days_has_a_column_less(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.csv"
    write_telemetry(path, [TelemetryPoint(1.0, kv_cache_percent=3.0)])
    path.write_text("\n".join(line.rpartition(",")[0] for line in path.read_text().splitlines()))

    assert read_telemetry(path) == [TelemetryPoint(1.0, kv_cache_percent=3.0)]


@pytest.mark.parametrize("row", ["1.0", "1.0" + ",x" * 19, "nan" + "," * 19, "1.0" + "," * 20])
def test_damaged_telemetry_is_named(row: str, tmp_path: Path) -> None:
    path = tmp_path / "telemetry.csv"
    write_telemetry(path, [])
    path.write_text(path.read_text() + row + "\n")

    with pytest.raises(LogError, match=r"telemetry\.csv, line 2"):
        read_telemetry(path)
