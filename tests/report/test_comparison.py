"""report.py compare: the files it leaves, what it says, and its exit status."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import report
from harness.config import Scenario
from harness.logs.times import write_telemetry
from harness.metrics import TelemetryPoint
from harness.report import comparison
from harness.report import comparison_measures as measures
from harness.report.comparison import Comparison, slower_than
from tests.conftest import PROJECT
from tests.report.comparisons import (
    compared,
    folder_of,
    offline_test,
    read_record,
    server_test,
    two_runs,
)

SERVER, SINGLESTREAM = Scenario.SERVER, Scenario.SINGLESTREAM


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two Server runs of real logs, the second half as slow again."""
    return two_runs(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def written(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their comparison."""
    output = tmp_path_factory.mktemp("comparison") / "of" / "both"
    assert report.main(["compare", *map(str, pair), "--output", str(output)]) == 0
    return output


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_: Path(path).write_text("<svg "))


def test_the_comparison_is_written_where_it_was_asked_for(written: Path) -> None:
    names = sorted(str(path.relative_to(written)) for path in written.rglob("*.*"))
    assert names == [
        "comparison.html",
        "comparison.json",
        "comparison.md",
        "figures/differences.svg",
        "figures/latency.svg",
        "figures/tokens_per_sec.svg",
        "figures/tpot.svg",
        "figures/ttft.svg",
    ]


def test_the_record_is_for_programs(pair: tuple[Path, Path], written: Path) -> None:
    record = read_record(written)
    assert [(run["label"], run["path"]) for run in record["runs"]] == [
        ("A", str(pair[0])),
        ("B", str(pair[1])),
    ]
    figures = {figure["key"]: figure for figure in record["figures"]}
    (difference,) = figures["latency_p50"]["differences"]
    assert difference["difference"] == pytest.approx(0.5, rel=1e-3)
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert difference["more_than_chance"] is True
    assert record["conclusions"][0]["decided_by"] == "latency_p50"
    assert record["not_the_same_work"] == []


def test_it_is_told_on_the_terminal(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.main(["compare", *map(str, pair), "--output", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["A", pair[0].name, "Server,"]
    assert "--precision" in lines[5] and lines[5].split()[-2:] == ["bf16", "fp8"]
    assert any(line.split()[:3] == ["whole", "answer,", "p50"] for line in lines)
    assert lines[-1] == f"  {tmp_path}/comparison.html"


@pytest.mark.usefixtures("quick_figures")
def test_without_an_output_it_lies_beside_the_runs(pair: tuple[Path, Path]) -> None:
    found = comparison.compare(pair)
    now = datetime(2026, 11, 28, 21, 0, 0)
    folders = [comparison.write(found, None, now).path for _ in range(2)]
    assert folders == [
        pair[0].parent / "comparisons" / name for name in ("20261128-210000", "20261128-210000-2")
    ]
    shutil.rmtree(pair[0].parent / "comparisons")


@pytest.mark.usefixtures("quick_figures")
def test_a_comparison_replaces_the_one_in_its_folder(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("comparison.html", "figures/latency.svg"):
        (tmp_path / name).write_text("old")
    comparison.write(comparison.compare(pair), tmp_path, datetime(2026, 11, 28))
    assert "old" not in (tmp_path / "comparison.html").read_text()[:10]
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_did_not_do_the_same_work_is_refused_unless_asked_for(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder_of(tmp_path / "dummy", weights="dummy")
    arguments = ["compare", str(pair[0]), str(other), "--output", str(tmp_path / "out")]
    assert report.main(arguments) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert "weights: A real, B dummy" in refused and "add --anyway" in refused
    assert not (tmp_path / "out").exists()
    assert report.main([*arguments, "--anyway"]) == 0
    assert "did not do the same work: weights: A real, B dummy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "limit", "status"), [(0, "2%", 4), (0, "45", 4), (0, "51%", 0), (1, "0", 0)]
)
@pytest.mark.usefixtures("quick_figures")
def test_a_slower_run_ends_with_4(
    pair: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: int,
    limit: str,
    status: int,
) -> None:
    runs = [str(pair[first]), str(pair[1 - first])]
    ended = report.main(["compare", *runs, "--output", str(tmp_path), "--fail-if-slower", limit])
    assert ended == status
    errors = capsys.readouterr().err
    if status:
        assert re.search(
            r"B \(.*\) is slower than A by 4\d\.\d % at least \(95 % confidence\)", errors
        )
        assert f"allowed are {limit.removesuffix('%')} %." in errors
    else:
        assert errors == ""


@pytest.mark.parametrize("text", ["much", "-1%", "100%", "nan"])
def test_a_limit_that_is_none_is_refused(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        report.main(["compare", *map(str, pair), f"--fail-if-slower={text}"])
    assert ended.value.code == 2
    assert "is no share in percent, such as 2%" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_figures")
def test_a_gate_that_cannot_tell_does_not_let_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(folder_of(tmp_path / name, Scenario.OFFLINE)) for name in ("one", "two")]
    arguments = ["compare", *runs, "--output", str(tmp_path / "out")]
    assert report.main(arguments) == 0
    assert "cannot be said: the tests are too short" in capsys.readouterr().out.replace("\n ", "")
    assert report.main([*arguments, "--fail-if-slower", "2%"]) == 2
    assert "give both more samples or repeat them" in capsys.readouterr().err
    assert (tmp_path / "out" / "comparison.html").exists()


def of(*runs: Any) -> Comparison:
    figures = measures.figures(runs)
    deciding = [measures.deciding(figures, runs, number) for number in range(1, len(runs))]
    return Comparison(list(runs), [], [], figures, deciding)


def test_only_what_is_slower_for_certain_fails() -> None:
    tests = [offline_test(noise=0.4, seed=seed, slower=slower) for seed, slower in
             ((0, 1.0), (1, 1.03), (2, 1.3))]  # fmt: skip
    runs = [compared(test, label=label, scenario=Scenario.OFFLINE)
            for label, test in zip("ABC", tests, strict=True)]  # fmt: skip
    sentences = slower_than(of(*runs), 0.02)
    assert [sentence[:1] for sentence in sentences] == ["C"]


def test_three_runs_are_each_held_against_the_first() -> None:
    speeds = {"A": 1.0, "B": 0.9, "C": 1.1}
    runs = [compared(server_test(seed=ord(a), slower=s), label=a) for a, s in speeds.items()]
    found = of(*runs)
    assert found.conclusions[0].startswith("B is faster. The latency (whole answer, p50) of B is")
    assert found.conclusions[1].startswith("C is slower. The latency (whole answer, p50) of C is")
    table = found.terminal()
    assert "B to A" in table and "C to A" in table


def test_a_run_that_was_not_steady_is_named() -> None:
    test = offline_test()
    slowed = dataclasses.replace(
        test,
        completed_s=test.completed_s**1.3,
        timeline_s=test.timeline_s**1.3,
    )
    runs = [
        compared(t, label=a, scenario=Scenario.OFFLINE) for a, t in (("A", test), ("B", slowed))
    ]
    notes = of(*runs).notes
    assert [note[:18] for note in notes if "steady:" in note] == ["B was not steady: "]


def test_an_invalid_run_is_compared_and_called_so(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "one", SINGLESTREAM)
    second = folder_of(tmp_path / "two", SINGLESTREAM)
    for log in (second / "Performance").iterdir():
        shutil.copy(PROJECT / "tests/data/singlestream-short/Performance" / log.name, log)
    shutil.copy(PROJECT / "tests/data/singlestream-short/samples.csv", second)
    notes = comparison.compare([first, second]).notes
    assert any(note.startswith("B is INVALID by LoadGen's log: ") for note in notes)


def test_comparing_needs_no_engine(pair: tuple[Path, Path], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('vllm', 'torch', 'mlperf_loadgen', 'transformers', 'datasets'):\n"
        "    sys.modules[name] = None\n"
        "import report\n"
        "sys.exit(report.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "compare", *map(str, pair), "--output", str(tmp_path)]
    subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)
    assert json.loads((tmp_path / "comparison.json").read_text())["schema_version"] == 1


def test_an_output_that_is_a_file_is_named(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    assert report.main(["compare", *map(str, pair), "--output", str(tmp_path / "out")]) == 2
    assert f"{tmp_path}/out cannot be written: File exists" in capsys.readouterr().err


def test_a_terminal_that_takes_nothing_more_is_named(pair: tuple[Path, Path]) -> None:
    command = [sys.executable, "report.py", "compare", *map(str, pair), "--output"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, str(pair[0].parent / "out")],
            check=False, cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert done.returncode == 1
    assert "stdout cannot be written: No space left on device." in done.stderr


def test_what_the_machine_did_is_told_of_each_run(tmp_path: Path) -> None:
    folders = two_runs(tmp_path)
    hot = TelemetryPoint(1.0, gpu_held_back_by="power")
    write_telemetry(folders[1] / "telemetry.csv", [hot])
    notes = comparison.compare(folders).notes
    said = "B: The GPU was held back by its power limit at some moment of 100 % of the seconds"
    assert any(note.startswith(said) for note in notes)


def test_a_difference_that_starts_may_make_is_said_of_this_test_alone() -> None:
    tests = [offline_test(4000, noise=0.01, seed=seed, slower=slower) for seed, slower in
             ((0, 1.0), (1, 1.004))]  # fmt: skip
    once = [
        compared(test, label=a, scenario=Scenario.OFFLINE)
        for a, test in zip("AB", tests, strict=True)
    ]
    (sentence,) = of(*once).conclusions
    assert sentence.startswith("B is slower in this test. Tokens/s in the steady part of B is 0.")
    assert sentence.endswith("but no more than two starts of the same thing may differ by.")
