"""Flags taken out of a command, and set anew."""

from __future__ import annotations

import pytest

from harness.command_line import value_of, with_flag, without_flag, without_flags


@pytest.mark.parametrize(
    ("command", "flag", "left"),
    [
        ("--a 1 --total=2 --total 3 --keep --total", "--total", "--a 1 --keep"),
        ("--keep --a 1", "--keep", "--a 1"),
        ("--total-sample-count 20 --total 3", "--total", "--total-sample-count 20"),
        ("--tune 5 --model demo --tune=6", "--tune", "--model demo"),
    ],
)
def test_a_flag_is_taken_out_however_it_was_given(command: str, flag: str, left: str) -> None:
    assert without_flag(command.split(), flag) == left.split()


def test_of_a_flag_that_can_be_repeated_only_what_matches_is_taken_out() -> None:
    command = ["run.py", "--engine-arg", "x=1", "--engine-arg=y=2"]

    left = without_flag(command, "--engine-arg", lambda value: value.startswith("x="))

    assert left == ["run.py", "--engine-arg=y=2"]


def test_several_flags_are_taken_out_at_once() -> None:
    assert without_flags(["--a", "1", "--b=2", "--c"], "--a", "--c") == ["--b=2"]


def test_a_flag_is_set_in_place_of_every_earlier_value() -> None:
    command = ["--mode", "both", "--a", "1", "--mode=accuracy"]

    assert with_flag(command, "--mode", "performance") == ["--a", "1", "--mode", "performance"]


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("--n 1 --total=2", "1"),
        ("--n=1 --n 3", "3"),
        ("--n --total 2", None),
        ("--total 2", None),
        ("--total 2 --n", None),
    ],
)
def test_what_a_flag_was_last_given_is_found_however_it_was(
    command: str, value: str | None
) -> None:
    assert value_of(command.split(), "--n") == value
