"""--engine-arg: how it is read, written and refused."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmlu
import run
from harness import engine_args
from harness.errors import UsageError

KNOWN = {"max_num_seqs", "enforce_eager", "compilation_config"}


def test_engine_arguments_are_read_as_json_booleans_or_text() -> None:
    pairs = [("max-num-seqs", "512"), ("enforce_eager", "True"), ("dtype", "float16"),
             ("compilation_config", '{"mode": 3}')]  # fmt: skip

    assert engine_args.parse(pairs) == {
        "max_num_seqs": 512,
        "enforce_eager": True,
        "dtype": "float16",
        "compilation_config": {"mode": 3},
    }


def test_engine_arguments_beyond_tuning_are_a_departure() -> None:
    assert engine_args.beyond_tuning(["speculative_config", "max_num_seqs"]) == (
        "speculative_config",
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{3,12}", fullmatch=True), VALUES))
def test_what_is_recorded_reads_as_the_same_values(arguments: dict[str, Any]) -> None:
    assert engine_args.parse(engine_args.as_text(arguments).items()) == arguments


def test_the_command_line_holds_them_as_values_the_last_of_a_name_counting() -> None:
    config = run.parse_flags(
        ["--engine-arg", "max_num_seqs=4", "--engine-arg", "enforce_eager=true",
         "--engine-arg", "max-num-seqs=8"]
    )  # fmt: skip

    assert config.engine_args == {"max_num_seqs": 8, "enforce_eager": True}
    assert run.parse_flags([]).engine_args == {}


@pytest.mark.parametrize("program", [run, mmlu])
def test_a_secret_is_refused_and_not_repeated(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--engine-arg", "hf_token=abc"]) == 2

    said = capsys.readouterr().err
    assert "would end up in config.json; put HF_TOKEN in the file .env" in said
    assert "abc" not in said


def test_half_an_argument_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.parse_flags(["--engine-arg", "max_num_seqs"])

    assert ended.value.code == 2
    assert "'max_num_seqs' is not NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_model_len": 5}, "--engine-arg max_model_len: use --max-model-len for that."),
        ({"max_num_seqs": True}, "a whole number of at least 1 is needed"),
        ({"max_num_seq": 4}, "no such engine argument; did you mean max_num_seqs"),
    ],
)
def test_what_vllm_would_refuse_later_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        engine_args.check(arguments, KNOWN)
