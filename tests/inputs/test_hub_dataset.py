"""CNN/DailyMail in the hub's format: which rows it gives, and what is said when there are none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import RunConfig
from harness.inputs.dataset import load_dataset
from harness.inputs.prompts import PROMPT_TEMPLATE
from tests.inputs.article_files import VOCAB, refused


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def hub_folder(
    folder: Path, count: int, columns: tuple[str, str] = ("article", "highlights")
) -> Path:
    """A folder as the hub has it: a card naming two versions, and a parquet file of each split."""
    from datasets import Dataset as Rows

    card = ["---", "configs:"]
    for version in ("1.0.0", "3.0.0"):
        (folder / version).mkdir(parents=True)
        card += [f"- config_name: {version}", "  data_files:"]
        for split in ("train", "validation"):
            card += [f"  - split: {split}", f"    path: {version}/{split}-*"]
            rows = {
                columns[0]: [f"{version} {split} article {i}" for i in range(count)],
                columns[1]: [f"{split} {i} ." for i in range(count)],
                "id": [f"{i:040x}" for i in range(count)],
            }
            Rows.from_dict(rows).to_parquet(folder / version / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return folder


@pytest.mark.usefixtures("own_cache")
def test_cnndm_is_the_validation_split_of_version_3_in_order(
    tokenizer: Any, tmp_path: Path
) -> None:
    settings = RunConfig(dataset_path=str(hub_folder(tmp_path / "cnn", 12)))

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert [sample.reference for sample in data.samples] == [f"validation {i} ." for i in range(12)]
    text = tokenizer.decode(data.samples[11].token_ids, skip_special_tokens=True)
    assert text == PROMPT_TEMPLATE.format(input="3.0.0 validation article 11")
    assert data.unofficial_because == "The data set has 12 articles; the official one has 13,368."


@pytest.mark.usefixtures("own_cache")
def test_cnndm_for_edge_is_a_shuffle_and_marked_unofficial(tokenizer: Any, tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "cnn", 12)
    settings = RunConfig(dataset_path=str(folder), category="edge")

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    order = [sample.reference for sample in data.samples]
    shuffled = np.random.default_rng(42).permutation(12)  # what shuffle(seed=42) is made of
    assert order == [f"validation {i} ." for i in shuffled]
    assert data.unofficial_because == (
        "The data set is a subset remade by shuffle(seed=42); the edge targets belong to the "
        "official sample_cnn_eval_5000.json (see --dataset-path)."
    )


@pytest.mark.usefixtures("own_cache")
def test_a_folder_without_the_columns_is_refused(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "cnn", 2, columns=("document", "summary"))

    assert refused(RunConfig(dataset_path=str(folder))) == (
        f"--dataset-path {folder}: the data set has no column article (it has document, summary, "
        "id); give abisee/cnn_dailymail or the official cnn_eval.json."
    )


@pytest.mark.usefixtures("own_cache")
def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    text = refused(RunConfig(dataset_path=str(tmp_path / "empty")))

    assert text.startswith(f"--dataset-path {tmp_path}/empty: the folder cannot be read as ")


TABLE = "article,highlights\na,b\n"


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"cnn.py": ""}, "Dataset scripts are no longer supported, but found cnn.py"),
        ({"cnn.py": "", "validation.csv": TABLE}, "Dataset scripts are no longer supported"),
        ({"README.md": "---\nconfigs: [\n---\n", "validation.csv": TABLE}, "while parsing a flow"),
        ({"README.md": "---\nconfigs:\n- 5\n---\n", "validation.csv": TABLE}, "argument of type"),
        ({"validation.zip": "no archive"}, "File is not a zip file"),
        ({"validation.parquet": "PAR1"}, "Parquet file size is 4 bytes"),
        ({"validation.json": "{"}, "JSON parse error: Missing a name for object member"),
        ({"train.csv": TABLE}, 'Unknown split "validation"'),
    ],
)
def test_a_folder_that_the_library_cannot_read_is_refused_in_a_sentence(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    folder = tmp_path / "cnn"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)

    assert refused(RunConfig(dataset_path=str(folder))).startswith(
        f"--dataset-path {folder}: the folder cannot be read as abisee/cnn_dailymail in the hub's "
        f"format ({said}"
    )


@pytest.mark.usefixtures("own_cache")
def test_without_the_hub_the_way_out_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    template = closed + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    text = refused(RunConfig(category="edge"))

    assert text == (
        "--dataset cnndm: abisee/cnn_dailymail is not on this machine and cannot be had from the "
        "hub (it does not answer); give --dataset-path sample_cnn_eval_5000.json, which `python "
        "run.py fetch dataset --category edge` gets from MLCommons, or use --dataset sample."
    )


def test_a_variable_of_the_library_that_is_no_number_is_refused() -> None:
    code = (
        "from harness.errors import UsageError\n"
        "from harness.inputs import hub_dataset\n"
        "try:\n"
        "    hub_dataset.datasets_library(None)\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_DATASETS_IN_MEMORY_MAX_SIZE": "lots"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "The library `datasets` cannot be imported (could not convert string to float: 'lots'); "
        "correct or unset the environment variables named HF_DATASETS_...\n"
    )
