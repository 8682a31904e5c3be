"""`run.py check`: what a run reads and writes, and the command itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nltk
import pytest

import run
from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import hub_dataset
from harness.measure import check, check_inputs
from harness.measure.check_line import DOUBTFUL, MISSING, OK, Line, asked
from tests.inputs.hub_server import Hub, HubHandler, point_at
from tests.measure.checked import (
    DEMO,
    assert_matches,
    lines_of,
    states_of,
)

PROJECT = Path(__file__).resolve().parents[2]

# Machines that are well


@pytest.mark.usefixtures("cpu_machine")
def test_a_machine_without_a_gpu_is_ready_for_the_demo() -> None:
    lines = lines_of(DEMO)

    assert states_of(lines) == {OK}, lines
    assert lines["CUDA driver"].text == "not needed: the CPU build of vLLM is installed"
    assert lines["model"].text == "demo: is built in seconds at the first run"
    assert not {"GPUs", "MIG", "other processes"} & lines.keys()


# What a run reads


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A hub that opens the model to nobody."""
    server = Hub(("127.0.0.1", 0), HubHandler)
    server.files, server.refused_files, server.tokens_seen = {}, {}, []
    server.refusal = (403, "GatedRepo")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    point_at(f"http://127.0.0.1:{server.server_port}", monkeypatch, tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("cpu_machine", "gated")
def test_a_token_without_access_is_found_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    lines = lines_of(RunConfig(dataset="sample"))

    assert (lines["token"].state, lines["token"].text) == (OK, "there is one")
    assert lines["model"].state == MISSING
    assert (
        "the token given has no access to meta-llama/Llama-3.1-8B-Instruct" in lines["model"].text
    )
    assert not any("hf_secret" in line.text for line in lines.values())
    assert "disk for the model" in lines  # its size is known all the same


@pytest.mark.usefixtures("cpu_machine")
def test_a_broken_token_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "\u201chf_secret\u201d")

    line = lines_of(DEMO)["token"]

    assert line.state == MISSING
    assert line.text.startswith("HF_TOKEN holds U+201C (left double quotation mark)")
    assert "secret" not in line.text


@pytest.mark.usefixtures("cpu_machine")
def test_without_punkt_tab_no_run_can_be_scored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    nltk.data.clear_cache()

    needed, timed = lines_of(DEMO), lines_of(DEMO.with_values(mode="performance"))

    assert needed["punkt_tab"].state == MISSING
    assert needed["punkt_tab"].text.endswith("or `python run.py fetch punkt`.")
    assert states_of(needed, "punkt_tab") == {OK}
    assert timed["punkt_tab"].state == OK


@pytest.mark.usefixtures("cpu_machine")
def test_a_full_disk_lacks_room_for_results_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: SimpleNamespace(total=0, free=1_000_000)
    )

    lines = lines_of(RunConfig(dataset="sample"))

    assert lines["disk for results"].state == lines["disk for the model"].state == MISSING
    small = lines_of(DEMO.with_values(model="small"))["disk for the model"]
    assert small.state == MISSING
    assert "needs 473 MB more in" in small.text
    assert "1.0 MB are free there" in lines["disk for results"].text
    assert "its weights take 15.0 GiB" in lines["disk for the model"].text


@pytest.mark.usefixtures("cpu_machine")
def test_a_results_folder_that_cannot_be_written_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    line = lines_of(DEMO.with_values(results_dir=str(tmp_path / "file")))["results folder"]

    assert line.state == MISSING
    assert line.text.startswith(f"--results-dir {tmp_path / 'file'}")


@pytest.mark.usefixtures("cpu_machine")
def test_the_small_model_is_said_to_be_downloaded_and_text_needs_a_tokenizer() -> None:
    small = lines_of(DEMO.with_values(model="small"))["model"]
    dummy = lines_of(RunConfig(weights="dummy", dataset="sample"))["tokenizer"]

    assert (small.state, dummy.state) == (DOUBTFUL, MISSING)
    assert "`python run.py fetch small` does it now" in small.text
    assert "python run.py fetch tokenizer" in dummy.text


@pytest.mark.usefixtures("cpu_machine")
def test_another_file_than_mlcommons_is_a_doubt_and_no_file_is_missing(tmp_path: Path) -> None:
    articles = [{"input": "An article.", "output": "A summary."}]
    (tmp_path / "own.json").write_text(json.dumps(articles))

    own = check_inputs.data_set(RunConfig(dataset_path="own.json"))
    absent = check_inputs.data_set(RunConfig(dataset_path="absent.json"))

    assert own.state == DOUBTFUL
    assert_matches(own, r"^1 articles\. .* this is not MLCommons' cnn_eval\.json")
    assert absent.state == MISSING


@pytest.mark.usefixtures("cpu_machine")
def test_a_file_whose_articles_a_run_would_refuse_is_missing_as_well(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps([{"input": "Twice.", "output": "Once."}] * 2))

    twice = check_inputs.data_set(RunConfig(dataset_path="own.json"))

    assert twice.state == MISSING
    assert_matches(twice, r"entries 0 and 1 have the same input; remove one of them\.$")


@pytest.mark.usefixtures("cpu_machine")
def test_a_pipe_is_no_data_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    line = check_inputs.data_set(RunConfig(dataset_path="pipe"))

    assert line.state == MISSING
    assert_matches(line, r"^--dataset-path pipe: it is neither a file nor a folder")


def test_a_check_that_cannot_be_written_did_not_succeed() -> None:
    command = [sys.executable, "run.py", "check", "--model", "demo", "--dataset", "sample"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, check=False, cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert done.returncode == 1
    assert done.stderr == "run.py: stdout cannot be written: No space left on device.\n"


# The command


def answer(arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run.main(["check", *arguments])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    return status, said.out + said.err


@pytest.mark.usefixtures("cpu_machine")
def test_the_command_prints_a_table_and_exits_with_0(capfd: pytest.CaptureFixture[str]) -> None:
    status, said = answer(["--model", "demo", "--dataset", "sample"], capfd)

    assert status == 0
    assert said.splitlines()[0].split()[:2] == ["Python", "ok"]
    assert said.endswith("\nA run can begin.\n")


@pytest.mark.usefixtures("cpu_machine")
def test_what_is_missing_makes_the_status_2(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "'broken'")

    status, said = answer(["--model", "small", "--dataset", "sample"], capfd)

    assert status == 2
    assert said.endswith("A run cannot begin: 1 missing, 1 doubtful.\n")


@pytest.mark.usefixtures("cpu_machine")
def test_programs_get_the_same_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    status, said = answer(["--json", "--model", "small", "--dataset", "sample"], capfd)

    found = json.loads(said)
    assert (status, found["ready"]) == (0, True)
    assert [line["name"] for line in found["lines"] if line["state"] == DOUBTFUL] == ["model"]
    assert all(line.keys() == {"name", "state", "text"} for line in found["lines"])


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--category", "edge", "--compliance", "1"], "--compliance 1: TEST06 belongs to"),
        (["--category", "edge", "--scenario", "server"], "--scenario server does not exist"),
    ],
)
def test_flags_that_no_run_takes_are_refused(
    flags: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, said = answer(flags, capfd)

    assert status == 2
    assert said.startswith(f"run.py: {text}")


@pytest.mark.usefixtures("cpu_machine")
def test_the_flags_of_a_run_decide_what_is_looked_at() -> None:
    unknown = lines_of(DEMO.with_values(engine_args={"max_num_seq": 4}))["engine arguments"]
    known = lines_of(DEMO.with_values(engine_args={"max_num_seqs": 4}))["engine arguments"]

    assert (unknown.state, known.state) == (MISSING, OK)
    assert "max_num_seqs" in unknown.text


@pytest.mark.usefixtures("cpu_machine")
def test_a_network_that_swallows_every_word_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "LIMIT_S", 2.0)
    monkeypatch.setattr(hub_dataset, "hub_answers", lambda _name: time.sleep(60))
    begin = time.monotonic()

    lines = lines_of(RunConfig(model="demo"))

    assert time.monotonic() - begin < 30
    assert lines["data set"].state == DOUBTFUL
    assert_matches(lines["data set"], "no answer within 2 s; see .*HTTPS_PROXY")


@pytest.mark.usefixtures("cpu_machine")
def test_a_fault_of_the_program_is_not_taken_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(check_inputs, "token", wrong)

    with pytest.raises(ZeroDivisionError):
        check.look(DEMO)


def test_a_refusal_becomes_a_line() -> None:
    def refuse() -> str:
        raise UsageError("--model x: there is none; take another.")

    assert asked("model", refuse) == Line(
        "model", MISSING, "--model x: there is none; take another."
    )
