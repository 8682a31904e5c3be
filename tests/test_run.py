"""What run.py refuses before the model loads: one or two sentences, exit 2, nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
from harness.config import RunConfig
from harness.engine import vllm as engine
from harness.errors import UsageError
from harness.loadgen import release
from harness.machine import gpus

PROJECT = Path(__file__).resolve().parent.parent


def refused(
    arguments: list[str], results: Path, capfd: pytest.CaptureFixture[str], status: int = 2
) -> str:
    """Runs run.py in this process; returns what it said on stderr."""
    found = run.main([*arguments, "--results-dir", str(results)])
    said = capfd.readouterr().err
    assert found == status
    assert not results.exists() or list(results.iterdir()) == []
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--category", "edge", "--scenario", "server"], "--scenario server does not exist"),
        (["--total-sample-count", "0"], "--total-sample-count 0"),
        (["--total-sample-count", "99999", "--dataset", "synthetic"], "--total-sample-count 99999"),
        (["--gpu-memory-utilization", "1.2"], "--gpu-memory-utilization 1.2"),
        (["--max-model-len", "64", "--dataset", "sample"], "--max-model-len 64"),
        (
            ["--max-model-len", "9000", "--dataset", "sample"],
            "--max-model-len 9000: the model ends at 8192 tokens",
        ),
        (["--dataset-path", ""], "--dataset-path has an empty value"),
        (["--engine-arg", "hf_token=secret"], "put HF_TOKEN in the file .env"),
        (["--engine-arg", "quantization=fp8"], "--engine-arg quantization: use --precision"),
        (["--engine-arg", "max_num_seqs=abc"], "--engine-arg max_num_seqs=abc: a whole number"),
        (["--data-parallel-size", "400"], "--data-parallel-size 400"),
        (["--model", "./no/such/folder"], "--model ./no/such/folder"),
        (["--dataset-path", "no-such-file.json"], "--dataset-path no-such-file.json"),
        (["--min-duration", "-1"], "--min-duration -1"),
        (["--min-duration", "1e9"], "--min-duration 1e+09: a test may last 604800 s at most"),
        (
            [
                "--scenario=server",
                "--server-target-qps=1e5",
                "--min-duration=600",
                "--dataset=sample",
            ],
            "--server-target-qps 100000: the test would have 60,000,000 queries, and LoadGen",
        ),
        (
            ["--scenario=server", "--server-target-qps=1e-6", "--dataset=sample"],
            "--server-target-qps 1e-06: the test of 40 queries would take 11111 h",
        ),
        (["--dataset-path", "caf\udce9.json"], "caf?.json: this holds bytes that are not UTF-8"),
        (["--repeat", "0"], "--repeat 0: 1 to 100 performance tests are possible"),
        (["--repeat", "101"], "--repeat 101: 1 to 100 performance tests are possible"),
        (["--repeat", "3", "--mode", "accuracy"], "--repeat 3: it repeats the performance test"),
        (["--tune", "0"], "--tune 0: a positive number of minutes"),
        (["--tune", "0.1", "--dataset", "sample"], "--tune 0.1: one trial takes about"),
    ],
)
def test_a_bad_input_is_refused_in_a_sentence(
    arguments: list[str], text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    demo = [] if "--model" in arguments else ["--model", "demo"]

    said = refused([*demo, *arguments], tmp_path / "results", capfd)

    assert said.startswith("run.py: ")
    assert text in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ([], "ends at 8192 tokens, and the longest prompt of --dataset-path {file} needs "),
        (["--max-model-len", "9000"], "--max-model-len 9000: the longest prompt has"),
    ],
)
def test_an_article_that_is_too_long_is_refused_by_what_was_given(
    more: list[str], text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "long.json"
    file.write_text(json.dumps([{"input": "word " * 20_000, "output": "Words."}]))

    said = refused(
        ["--model", "demo", "--dataset-path", str(file), *more], tmp_path / "results", capfd
    )

    assert text.format(file=file) in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--scenario", "batch"], "--scenario"),
        (["--keep-all", "yes"], "'yes' is neither 1 nor 0"),
        (["--total-sample-count", "many"], "'many' is neither a whole number nor auto"),
        (["--engine-arg", "max_num_seqs"], "'max_num_seqs' is not NAME=VALUE"),
        (["--prec", "bf16"], "unrecognized arguments: --prec"),
    ],
)
def test_an_unknown_flag_or_value_is_refused_in_a_line(
    arguments: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(arguments)

    said = capfd.readouterr().err
    assert ended.value.code == 2
    assert text in said
    assert said.count("\n") == 1


def test_fp8_on_a_cpu_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if engine.installed_build() != "cpu":
        pytest.skip("the CUDA build is installed")

    said = refused(["--model", "demo", "--precision", "fp8"], tmp_path / "r", capfd)

    assert "--precision fp8 needs a GPU" in said


def test_the_cuda_build_without_a_gpu_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "installed_build", lambda: "gpu")
    monkeypatch.setattr(gpus, "_ask_each_gpu", lambda _question, _first: [])

    said = refused(["--model", "demo"], tmp_path / "r", capfd)

    assert "No NVIDIA GPU is visible" in said
    assert "VARIANT=cpu" in said


def test_loadgen_of_another_round_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        release.check(RunConfig(version="6.1"), release.Installed("5.1.2", "5.1", True))

    assert str(error.value) == (
        "--version 6.1: the installed LoadGen 5.1.2 carries the seeds of v5.1; pip install "
        "mlcommons-loadgen==6.0.17, or use --version 5.1."
    )


def test_the_installed_loadgen_carries_the_seeds_of_its_round() -> None:
    assert release.installed("llama3_1-8b") == release.Installed("5.1.2", "5.1", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_results_folder_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)

    assert "--results-dir" in refused(["--model", "demo"], locked, capfd)


def test_a_results_folder_that_is_a_file_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").write_text("a file")

    found = run.main(["--model", "demo", "--results-dir", str(tmp_path / "results")])

    assert found == 2
    assert "is not a folder; choose another one" in capfd.readouterr().err


def test_an_engine_argument_that_vllm_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean max_num_seqs"):
        engine.check_engine_args({"max_num_seq": 4})


def test_engine_arguments_are_known_before_vllm_is_imported() -> None:
    script = (
        "import json, sys; from harness.engine import vllm as engine;"
        "names = sorted(engine._engine_args_by_source());"
        "engine.check_engine_args({'max_num_seqs': 4, 'block_size': 16});"
        "print(json.dumps([names, 'vllm' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == [sorted(engine._known_engine_args()), False]


@pytest.mark.parametrize(
    "source",
    [
        None,
        "class Arguments:\n    model: str",
        "class EngineArgs(Speed):\n    model: str\nclass AsyncEngineArgs(EngineArgs):\n    x: str",
    ],
)
def test_another_vllm_is_imported_for_its_engine_arguments(
    source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "source_of", lambda *_of: source)

    with pytest.raises(UsageError, match="did you mean max_num_seqs"):
        engine.check_engine_args({"max_num_seq": 4})


def test_a_closed_pipe_does_not_end_the_run() -> None:
    script = (
        "from harness.terminal import Terminal; import sys; t = Terminal();"
        "[t.say('x' * 70000) for _ in range(20)]; sys.stderr.write('still here')"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "still here")


def test_help_names_every_flag_and_its_default() -> None:
    shown = subprocess.run(
        [sys.executable, "run.py", "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    for flag in (
        "--version", "--model", "--backend", "--category", "--scenario", "--mode", "--precision",
        "--tensor-parallel-size", "--max-new-tokens", "--total-sample-count",
        "--server-target-qps", "--dataset", "--dataset-path", "--results-dir", "--keep-all",
        "--high-accuracy", "--max-model-len", "--gpu-memory-utilization", "--extra-metrics",
        "--weights", "--min-duration", "--engine-arg", "--data-parallel-size",
        "--pipeline-parallel-size", "--distributed-executor-backend",
    ):  # fmt: skip
        assert flag in shown
