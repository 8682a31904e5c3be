"""The submission tree, made from LoadGen logs of full official length: complete, and only then."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import run
from harness.errors import UsageError
from harness.metrics import ComplianceCheck, ComplianceResult
from harness.results.folder import RunFolder
from harness.rules import verdict
from harness.submission import checks as submission_checks
from harness.submission import system_description
from harness.submission import tree as submission
from harness.submission.finished_run import FinishedRun, read_run
from harness.submission.tree import Submission
from tests import builders as official_runs
from tests import submission_rules

Runs = dict[tuple[str, str, str], Path]
SCENARIOS = {
    "datacenter": ("offline", "server", "interactive"),
    "edge": ("offline", "singlestream"),
}
WORDS = {
    "status": "available",
    "system_name": "Engine double (1 x)",
    "host_processors_per_node": "2",
    "host_processor_core_count": "32",
    "host_memory_configuration": "16 x 16 GB DDR5",
    "host_storage_capacity": "2 TB",
    "host_storage_type": "NVMe SSD",
    "host_networking": "100 GbE",
    "host_networking_topology": "N/A",
    "host_network_card_count": "1",
    "accelerator_host_interconnect": "PCIe Gen5 x16",
    "accelerator_memory_configuration": "HBM3e",
    "cooling": "air",
}
NAME = "Engine_double_1_x"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return official_runs.unpack(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project without git, in place of this one."""
    root = tmp_path_factory.mktemp("project")
    (root / "run.py").write_text("pass\n")
    (root / "README.md").write_text("# A project\n")
    (root / "harness").mkdir()
    (root / "harness" / "__init__.py").write_text("")
    return root


@pytest.fixture
def system_json(tmp_path: Path) -> Path:
    path = tmp_path / "system.json"
    path.write_text(json.dumps(WORDS))
    return path


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Callable[[str, str], list[FinishedRun]]:
    """Every run of a category, read once."""
    read: dict[tuple[str, str], list[FinishedRun]] = {}

    def of(version: str, category: str) -> list[FinishedRun]:
        key = version, category
        if key not in read:
            read[key] = [read_run(runs[version, category, name]) for name in SCENARIOS[category]]
        return list(read[key])

    return of


@pytest.fixture
def good(whole: Callable[[str, str], list[FinishedRun]]) -> list[FinishedRun]:
    return whole("5.1", "datacenter")


def make(
    runs: list[FinishedRun], folder: Path, project: Path, system_json: Path | None, **asked: Any
) -> Path:
    out = folder / "out"
    values = {"submitter": "ACME", "division": "closed", "system_json": system_json} | asked
    submission.make_tree(Submission(out=out, **values), runs, project)
    return out


def changed(one: FinishedRun, *path: str, value: Any) -> FinishedRun:
    """The same run with one value of its config.json changed."""
    config = json.loads(json.dumps(one.evidence.config))
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dataclasses.replace(one, evidence=dataclasses.replace(one.evidence, config=config))


@pytest.mark.parametrize("category", ["datacenter", "edge"])
@pytest.mark.parametrize("version", ["5.1", "6.1"])
def test_a_tree_of_official_length_runs_breaks_no_rule(
    version: str,
    category: str,
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path: Path,
    project: Path,
    system_json: Path,
) -> None:
    out = make(whole(version, category), tmp_path, project, system_json)

    assert submission_rules.problems(out, version) == []


def test_loadgens_logs_are_in_the_tree_byte_for_byte(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    out = make(good, tmp_path, project, system_json)

    for one in good:
        results = out / "closed/ACME/results" / NAME / "llama3.1-8b" / one.evidence.scenario.label
        for source, target in (("Performance", "performance/run_1"), ("Accuracy", "accuracy")):
            for log in ("mlperf_log_summary.txt", "mlperf_log_detail.txt"):
                there = (results / target / log).read_bytes()
                assert there == (one.folder.path / source / log).read_bytes()


def test_the_accuracy_log_is_cut_as_the_official_tool_does_and_its_hash_is_of_the_whole(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    out = make(good, tmp_path, project, system_json)

    whole_log = (good[0].folder.accuracy / "mlperf_log_accuracy.json").read_bytes()
    folder = out / "closed/ACME/results" / NAME / "llama3.1-8b/Offline/accuracy"
    cut = (folder / "mlperf_log_accuracy.json").read_bytes()
    assert len(whole_log) > 1_000_000
    assert cut == whole_log[:4096] + b"\n\n...\n\n" + whole_log[-4096:]
    lines = (folder / "accuracy.txt").read_text().splitlines()
    assert lines[-1] == f"hash={hashlib.sha256(whole_log).hexdigest()}"
    assert lines[:4] == [
        "",
        "Results",
        "",
        "{'rouge1': '100.0', 'rouge2': '100.0', 'rougeL': '100.0', 'rougeLsum': '100.0', "
        f"'gen_len': {good[0].evidence.accuracy and good[0].evidence.accuracy.gen_len}, "
        "'gen_num': 13368}",
    ]


def test_a_short_accuracy_log_is_not_cut(tmp_path: Path) -> None:
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text("[\n]\n")

    assert submission.truncated(log) == "[\n]\n"


def test_the_layouts_differ_where_the_rounds_do(
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path: Path,
    project: Path,
    system_json: Path,
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = make(whole("5.1", "datacenter"), tmp_path / "old", project, system_json)
    new = make(whole("6.1", "datacenter"), tmp_path / "new", project, system_json)

    def files(tree: Path) -> set[str]:
        place = tree / "closed/ACME"
        found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        return {name.replace(NAME, "SYS") for name in found if "Server" in name or "run.py" in name}

    logs = {
        "results/SYS/llama3.1-8b/Server/performance/run_1/mlperf_log_detail.txt",
        "results/SYS/llama3.1-8b/Server/performance/run_1/mlperf_log_summary.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/accuracy.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_accuracy.json",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_detail.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_summary.txt",
    }
    assert files(old) == logs | {
        "code/llama3.1-8b/run.py",
        "measurements/SYS/llama3.1-8b/Server/SYS.json",
        "measurements/SYS/llama3.1-8b/Server/user.conf",
        "measurements/SYS/llama3.1-8b/Server/README.md",
        "compliance/SYS/llama3.1-8b/Server/TEST06/verify_accuracy.txt",
        "compliance/SYS/llama3.1-8b/Server/TEST06/accuracy/mlperf_log_accuracy.json",
    }
    assert files(new) == logs | {
        "src/run.py",
        "results/SYS/llama3.1-8b/Server/measurements.json",
        "results/SYS/llama3.1-8b/Server/user.conf",
        "results/SYS/llama3.1-8b/Server/README.md",
        "results/SYS/llama3.1-8b/Server/TEST06/verify_accuracy.txt",
        "results/SYS/llama3.1-8b/Server/TEST06/accuracy/mlperf_log_accuracy.json",
    }


def test_every_round_has_a_layout() -> None:
    from harness.rounds import ROUNDS

    assert submission.LAYOUTS.keys() == ROUNDS.keys()


def remove(path: str) -> Callable[[Path], None]:
    return lambda tree: (tree / path).unlink()


def add(path: str) -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        (tree / path).write_text("x")

    return write


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(tree: Path) -> None:
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new))

    return edit


RESULTS = f"closed/ACME/results/{NAME}/llama3.1-8b"
BREAKS: tuple[tuple[Callable[[Path], None], str], ...] = (
    (remove("closed/ACME/calibration.md"), "calibration.md is missing"),
    (remove(f"{RESULTS}/Server/accuracy/accuracy.txt"), "four files"),
    (remove(f"closed/ACME/measurements/{NAME}/llama3.1-8b/Offline/user.conf"), "user.conf"),
    (
        remove(f"closed/ACME/compliance/{NAME}/llama3.1-8b/Server/TEST06/verify_accuracy.txt"),
        "TEST06 is missing",
    ),
    (replace(f"closed/ACME/systems/{NAME}.json", '"air"', '""'), "cooling is empty"),
    (
        replace(f"{RESULTS}/Offline/accuracy/accuracy.txt", "'rouge1': '100.0'", "'rouge1': '3'"),
        "rouge1 is 3.0",
    ),
    (
        replace(
            f"{RESULTS}/Server/performance/run_1/mlperf_log_detail.txt",
            '"result_validity", "value": "VALID"',
            '"result_validity", "value": "INVALID"',
        ),
        "result_validity",
    ),
    (lambda tree: shutil.rmtree(tree / RESULTS / "Offline"), "Offline and one of"),
    (lambda tree: (tree / RESULTS / "Server" / "empty").mkdir(), "empty folder"),
    (add(f"{RESULTS}/Server/performance/run_1/notes.txt"), "two logs alone"),
)


@pytest.fixture(scope="module")
def made(
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "system.json").write_text(json.dumps(WORDS))
    return make(whole("5.1", "datacenter"), folder, project, folder / "system.json")


@pytest.mark.parametrize(("edit", "words"), BREAKS)
def test_the_walk_over_the_rules_sees_what_is_broken(
    edit: Callable[[Path], None], words: str, made: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(made, tree)
    edit(tree)

    assert any(words in problem for problem in submission_rules.problems(tree, "5.1"))


def refused(runs: list[FinishedRun], division: str = "closed") -> str:
    with pytest.raises(UsageError) as caught:
        submission_checks.check(runs, division)
    return str(caught.value)


def test_a_run_whose_verdict_fails_is_refused_with_its_reasons(good: list[FinishedRun]) -> None:
    good[1] = dataclasses.replace(
        good[1], result="VALID BUT UNOFFICIAL", reasons=("It ran 20 samples.",)
    )

    said = refused(good)

    assert f"{good[1].folder.name} is VALID BUT UNOFFICIAL:\n    It ran 20 samples." in said
    assert "--division open" in said


def test_open_takes_a_run_that_is_not_official_and_a_single_scenario(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    one = dataclasses.replace(good[1], result="INVALID", reasons=("Too short.",))

    out = make([one], tmp_path, project, system_json, division="open")

    described = json.loads((out / "open/ACME/systems" / f"{NAME}.json").read_text())
    assert described["division"] == "open"
    assert submission_checks.doubts([one]) == (f"{one.folder.name} is INVALID.",)


def test_a_failed_run_is_refused_in_open_too(good: list[FinishedRun]) -> None:
    good[0] = dataclasses.replace(good[0], result="FAILED", reasons=("The engine died.",))

    assert "The engine died." in refused(good, "open")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("server", "interactive"), "There is no Offline run, which is required."),
        (("offline",), "neither a Server nor an Interactive run"),
    ],
)
def test_a_missing_scenario_of_the_datacenter_is_named(
    names: tuple[str, ...], words: str, good: list[FinishedRun]
) -> None:
    assert words in refused([one for one in good if one.evidence.scenario.value in names])


@pytest.mark.parametrize(
    ("name", "words"),
    [("offline", "no SingleStream run"), ("singlestream", "no Offline run")],
)
def test_edge_needs_both_its_scenarios(
    name: str, words: str, whole: Callable[[str, str], list[FinishedRun]]
) -> None:
    kept = [one for one in whole("5.1", "edge") if one.evidence.scenario.value == name]

    assert words in refused(kept)


def test_two_scenarios_are_enough_for_the_datacenter(good: list[FinishedRun]) -> None:
    submission_checks.check(good[:2], "closed")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("flags", "version"), "6.1", "The round differs"),
        (("flags", "category"), "edge", "The category differs"),
        (("system", "git_commit"), "f" * 40, "The commit of this program differs"),
        (("system", "gpu_name"), "another GPU", "The GPU differs"),
        (("system", "gpu_count"), 8, "The number of GPUs differs"),
        (("system", "vllm_version"), "0.1", "The vLLM differs"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    path: tuple[str, ...], value: object, words: str, good: list[FinishedRun]
) -> None:
    good[2] = changed(good[2], *path, value=value)

    said = refused(good, "open")

    assert words in said
    assert good[2].folder.name in said


def test_a_scenario_given_twice_is_refused(good: list[FinishedRun]) -> None:
    assert "Offline is there 2 times" in refused([*good, good[0]])


def judged_again(finished: FinishedRun, **evidence: Any) -> FinishedRun:
    """The run with other evidence, and the verdict on that."""
    changed = dataclasses.replace(finished.evidence, **evidence)
    judged = verdict.judge(changed)
    reasons = tuple(broken.sentence for broken in judged.failed)
    return FinishedRun(finished.folder, changed, judged.result, reasons)


def test_a_run_without_test06_is_refused_in_closed_alone(good: list[FinishedRun]) -> None:
    good[1] = judged_again(good[1], compliance=None)

    assert "TEST06, which a datacenter submission needs, was not run" in refused(good)
    submission_checks.check(good, "open")


def test_a_failed_test06_is_refused_with_what_failed(good: list[FinishedRun]) -> None:
    failed = ComplianceResult(
        False, (ComplianceCheck("answers", False, "Two of them are bad."),), verified=True
    )
    good[1] = judged_again(good[1], compliance=failed)

    assert "Two of them are bad." in refused(good)


@pytest.mark.parametrize(
    "name",
    [
        "Performance/mlperf_log_detail.txt",
        "Accuracy/mlperf_log_accuracy.json",
        "Compliance/TEST06/verify_accuracy.txt",
        "user.conf",
    ],
)
def test_a_log_that_is_not_there_is_named(
    name: str, good: list[FinishedRun], tmp_path: Path
) -> None:
    copy = tmp_path / good[0].folder.name
    shutil.copytree(good[0].folder.path, copy)
    (copy / name).unlink()
    good[0] = dataclasses.replace(good[0], folder=RunFolder(copy))

    assert f"there is no {name}" in refused(good, "open")


def test_a_run_that_was_not_scored_is_refused(good: list[FinishedRun]) -> None:
    evidence = dataclasses.replace(good[0].evidence, accuracy=None)
    good[0] = dataclasses.replace(good[0], evidence=evidence)

    assert "its answers were not scored" in refused(good, "open")


def test_all_missing_words_are_listed_at_once_with_their_meaning_and_nothing_is_written(
    good: list[FinishedRun], tmp_path: Path, project: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        make(good, tmp_path, project, None)

    said = str(caught.value)
    for name in WORDS:
        assert f"  {name}: {system_description.FIELDS[name]}" in said
    assert "gpu" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_cannot_be_finished_leaves_nothing(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def no_space(_path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submission, "sha256", no_space)

    with pytest.raises(OSError, match="No space"):
        make(good, tmp_path, project, system_json)
    assert [path.name for path in tmp_path.iterdir()] == ["system.json"]


def test_an_existing_folder_is_never_touched(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(UsageError, match="it exists already"):
        make(good, tmp_path, project, system_json)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["My Company", "../up", ".hidden", "a/b", ""])
def test_a_submitter_that_is_no_folder_name_is_refused(
    name: str, good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    with pytest.raises(UsageError, match="names a folder"):
        make(good, tmp_path, project, system_json, submitter=name)


def test_no_path_of_the_machine_gets_into_the_measurements(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    places = (("resolved", "engine", "model"), ("resolved", "engine", "download_dir"),
              ("model", "path"), ("flags", "results_dir"))  # fmt: skip
    for place in places:
        good[0] = changed(good[0], *place, value="/home/me/secret")
    command = ["python", "run.py", "--results-dir", "/home/me/secret", "--mode", "both"]
    good[0] = changed(good[0], "run", "command", value=command)

    out = make(good, tmp_path, project, system_json)

    folder = out / "closed/ACME/measurements" / NAME / "llama3.1-8b/Offline"
    texts = [path.read_text() for path in folder.iterdir()]
    assert not any("secret" in text for text in texts)
    assert any("python run.py --mode both" in text for text in texts)


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("bf16", "Nothing is quantised"),
        ("fp16", "converted to fp16"),
        ("fp8", '- `quantization="fp8_per_channel"` in Offline'),
    ],
)
def test_the_calibration_says_what_was_done_to_the_weights(
    precision: str, words: str, good: list[FinishedRun], tmp_path: Path, project: Path,
    system_json: Path,
) -> None:  # fmt: skip
    scheme = "fp8_per_channel" if precision == "fp8" else None
    runs = [changed(one, "flags", "precision", value=precision) for one in good]
    runs = [changed(one, "resolved", "engine", "quantization", value=scheme) for one in runs]

    out = make(runs, tmp_path, project, system_json)

    text = (out / "closed/ACME/calibration.md").read_text()
    assert words in text
    assert text.count("\n## ") == 1


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    def ask(arguments: list[str]) -> tuple[int, str]:
        status = run.main(arguments)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    yield ask


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--submission", "out"], "--submission: name the run folders"),
        (["--submission", "out", "results/latest"], "--submitter NAME is missing"),
        (["results/latest"], "results/latest: this goes with --submission"),
        (["--submitter", "ACME"], "--submitter: this goes with --submission"),
        (["--system-json", "x.json"], "--system-json: this goes with --submission"),
        (
            ["--submission", "out", "--submitter", "ACME", "no/such/folder"],
            "is not a run folder",
        ),
    ],
)
def test_a_command_that_lacks_its_other_half_is_refused_in_a_sentence(
    arguments: list[str], words: str, said: Callable[[list[str]], tuple[int, str]]
) -> None:
    status, text = said(arguments)

    assert status == 2
    assert words in text
    assert text.count("\n") == 1


def test_the_command_makes_the_tree_and_says_how_to_check_it(
    runs: Runs, tmp_path: Path, project: Path, system_json: Path,
    said: Callable[[list[str]], tuple[int, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(run, "PROJECT", project)
    folders = [str(runs["5.1", "edge", name]) for name in SCENARIOS["edge"]]

    status, text = said(
        ["--submission", str(tmp_path / "out"), "--submitter", "ACME",
         "--system-json", str(system_json), *folders]
    )  # fmt: skip

    assert (status, text) == (
        0,
        f"The closed submission of ACME is in {tmp_path / 'out'}.\n"
        "The official checker: make third-party, then make check-submission "
        f"TREE={tmp_path / 'out'}\n",
    )
    assert submission_rules.problems(tmp_path / "out", "5.1") == []
