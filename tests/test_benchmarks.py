"""The programs of benchmarks/, as far as they answer without an engine and without a GPU."""

from __future__ import annotations

import argparse
import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import command, official_length, one_token_model
from harness import processes
from harness.config import Scenario
from harness.errors import UsageError
from harness.rules import advice
from harness.rules.verdict import judge
from tests.rules.changes import Change, asked, invalid, recorded, slow
from tests.rules.runs import OFFLINE, SCENARIOS, SERVER, SINGLESTREAM, good

PROJECT = Path(__file__).resolve().parent.parent

WRONG = [
    ("attention", "--answers", "0"),
    ("client", "--in-flight", "0"),
    ("compare_power", "--pairs", "0"),
    ("compare_power", "--slower", "-3"),
    ("compare_power", "--only", "zzz"),
    ("faults", "--only", "SIGKILL ["),
    ("faults", "--only", "SIGQUIT"),
    ("first_start", "--repeat", "0"),
    ("fp8", "--tokens", "-1"),
    ("gpu", "--samples", "0"),
    ("gpu", "--minutes", "nan"),
    ("in_parts", "--parts", "1"),
    ("mmlu_prompts", "--protocol", "plane"),
    ("official_length", "--min-duration", "0"),
    ("one_token", "--context", "5000"),
    ("overhead", "--repeat", "0"),
    ("parse_logs", "--samples", "0"),
    ("pipe", "--rates", "0"),
    ("pipe", "--seconds", "inf"),
    ("report_time", "--repeat", "0"),
    ("rouge", "--summaries", "0"),
    ("rouge", "--processes", "two"),
    ("server_knee", "--answer-s", "0"),
    ("server_knee", "--slots", "0"),
    ("telemetry", "--every", "0"),
    ("telemetry", "--pairs", "1"),
]


@pytest.mark.parametrize(("program", "flag", "value"), WRONG)
def test_wrong_value_is_refused_in_a_line_that_names_the_flag(
    program: str, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"benchmarks.{program}").main

    with pytest.raises(SystemExit) as ended:
        main([flag, value])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert flag in said and value in said
    assert said.count("\n") == 1


def test_refusal_names_the_command_for_help_as_it_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/pipe.py", "--speed"])

    with pytest.raises(SystemExit):
        importlib.import_module("benchmarks.pipe").main()

    assert capsys.readouterr().err == (
        "pipe.py: unrecognized arguments: --speed (all flags: python benchmarks/pipe.py --help)\n"
    )


def test_wrong_setting_of_the_engine_is_refused_before_anything_is_looked_for() -> None:
    for program in ("overhead", "telemetry"):
        main = importlib.import_module(f"benchmarks.{program}").main

        with pytest.raises(UsageError, match="--gpu-memory-utilization 2"):
            main(["--model", "demo", "--gpu-memory-utilization", "2"])


def test_pairs_are_made_of_two_runs_and_no_other_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = importlib.import_module("benchmarks.compare_power").main

    with pytest.raises(SystemExit):
        main(["results/a", "results/b", "results/c"])

    assert "3 run folders" in capsys.readouterr().err


def test_numbers_of_a_command_line() -> None:
    assert command.count("12") == 12
    assert command.above_zero("0.5") == 0.5
    for text in ("0", "-1", "1.5", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match="whole number of 1 or more"):
            command.count(text)
    for text in ("0", "-1", "nan", "inf", "much"):
        with pytest.raises(argparse.ArgumentTypeError, match="number above 0"):
            command.above_zero(text)


def test_program_says_why_it_ends_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []
    monkeypatch.setattr(sys, "argv", ["benchmarks/pipe.py"])
    monkeypatch.setattr(processes, "watch_over_children", lambda: None)
    monkeypatch.setattr(processes, "adopt_orphans", lambda: None)
    monkeypatch.setattr(processes, "end_children_for_good", lambda: ended.append(True))

    def misused() -> int:
        raise UsageError("--rates 9: too few.")

    def interrupted() -> int:
        raise KeyboardInterrupt

    assert [command.carry_out(main) for main in (lambda: 0, misused, interrupted)] == [0, 2, 130]
    assert capsys.readouterr().err == "pipe.py: --rates 9: too few.\npipe.py: interrupted.\n"
    assert ended == [True] * 3


def test_a_process_whose_own_parent_has_ended_is_not_left_behind() -> None:
    parent = (
        "import subprocess;print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    )
    script = (
        "import subprocess, sys; from benchmarks import command;"
        f"run = lambda: subprocess.run([sys.executable, '-c', {parent!r}]).returncode;"
        "sys.exit(command.carry_out(run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True
    )

    assert not psutil.pid_exists(int(done.stdout))


def test_one_token_finds_the_shape_of_the_model_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert one_token_model.LLAMA.is_file()


@pytest.mark.parametrize(
    ("scenario", "change"),
    [
        *((scenario, asked()) for scenario in SCENARIOS),
        (OFFLINE, asked(min_duration_s=2.0)),
        (SINGLESTREAM, asked(min_duration_s=2.0)),
        (OFFLINE, invalid(result_min_duration_met=False)),
        (SERVER, slow(3000.0, "ttft")),
    ],
)
def test_what_the_report_of_an_engine_double_proposes_can_be_typed(
    scenario: Scenario, change: Change
) -> None:
    edge = scenario is SINGLESTREAM
    typed = ["--scenario", scenario.value, "--min-duration", "2", "--results-dir", "results"]
    typed += ["--category", "edge"] if edge else []
    program = ["python", "benchmarks/official_length.py"]
    run = recorded("run", command=[*program, *typed])(change(good(scenario)))

    steps = advice.next_steps(run, judge(run).failed)

    commands = [shlex.split(step.command) for step in steps if step.command]
    assert commands and all(words[:2] == program for words in commands)
    for words in commands:
        asked_for = official_length.settings_of(words[2:])
        assert asked_for.category == ("edge" if edge else "datacenter")
