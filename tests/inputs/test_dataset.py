"""The samples: the official prompt word for word, equal everywhere, and bad data refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import dataset, demo_model, model
from harness.inputs.dataset import PROMPT_TEMPLATE, Dataset, load_dataset

VOCAB = 4096
BOS = 4091  # of the demo tokenizer
EDGE_COUNT = 5000
SYNTHETIC = RunConfig(dataset="synthetic", model="llama3.1-8b-instruct", weights="dummy")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    demo_model._build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def write(path: Path, content: Any) -> RunConfig:
    path.write_text(json.dumps(content), encoding="utf-8")
    return RunConfig(dataset_path=str(path))


def entries(count: int) -> list[dict[str, Any]]:
    """Tokenised articles, all different."""
    return [{"tok_input": [1, 2 + i % 4000, i // 4000], "output": f"no. {i}"} for i in range(count)]


def refused(settings: RunConfig, tokenizer: Any = None) -> str:
    with pytest.raises(UsageError) as caught:
        load_dataset(settings, tokenizer, VOCAB)
    return str(caught.value)


# The prompt


def test_prompt_template_is_the_official_one_word_for_word() -> None:
    assert PROMPT_TEMPLATE == (
        "Summarize the following news article in 128 tokens. Please output the summary only, "
        "without any other text.\n\nArticle:\n{input}\n\nSummary:"
    )


def test_shipped_articles_carry_the_official_instruction_and_become_prompts(
    tokenizer: Any,
) -> None:
    articles = json.loads(dataset.SAMPLE_ARTICLES.read_text(encoding="utf-8"))

    data = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    assert {article["instruction"] for article in articles} == {PROMPT_TEMPLATE}
    assert len(data) == 40
    assert data.unofficial_because is not None
    for sample, article in zip(data.samples, articles, strict=True):
        assert sample.token_ids == tokenizer.encode(PROMPT_TEMPLATE.format(input=article["input"]))
        assert sample.reference == article["output"]


def test_more_samples_than_shipped_articles_take_the_articles_over_again(tokenizer: Any) -> None:
    whole = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    data = load_dataset(
        RunConfig(dataset="sample", total_sample_count=100), lambda: tokenizer, VOCAB
    )

    assert [sample.index for sample in data.samples] == list(range(100))
    assert [sample.token_ids for sample in data.samples[80:]] == [
        sample.token_ids for sample in whole.samples[:20]
    ]


def test_prompts_begin_with_bos_and_hold_no_other_special_token(tokenizer: Any) -> None:
    data = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    assert all(sample.token_ids[0] == BOS for sample in data.samples)
    assert all(max(sample.token_ids[1:]) < BOS for sample in data.samples)


def test_a_very_long_article_is_not_cut_off(
    tokenizer: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    article = "The council voted. " * 5000 + "The end"
    settings = write(tmp_path / "long.json", [{"input": article, "output": "Voted ."}])

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.longest_prompt_tokens > 2 * tokenizer.model_max_length
    text = tokenizer.decode(data.samples[0].token_ids, skip_special_tokens=True)
    assert text == PROMPT_TEMPLATE.format(input=article)
    assert capfd.readouterr().err == ""  # no warning about the model's maximum length


# Subsets and checksums


def test_the_same_seed_gives_the_same_subset_in_order(tmp_path: Path) -> None:
    settings = write(tmp_path / "many.json", entries(100))

    data = load_dataset(settings, None, VOCAB)
    small = data.subset(5)

    assert [sample.source_index for sample in small.samples] == [5, 33, 49, 53, 97]
    assert [sample.index for sample in small.samples] == [0, 1, 2, 3, 4]
    assert [sample.reference for sample in small.samples] == [
        "no. 5", "no. 33", "no. 49", "no. 53", "no. 97",
    ]  # fmt: skip
    assert small == load_dataset(settings.with_values(total_sample_count=5), None, VOCAB)
    assert small.checksum != data.checksum
    assert data.subset(100) is data


def test_the_checksum_is_the_same_on_every_machine_and_sees_every_change(tmp_path: Path) -> None:
    base = [{"tok_input": [1, 70000], "output": "é ."}, {"tok_input": [2], "output": "b"}]
    ids_moved = [{"tok_input": [1], "output": "é ."}, {"tok_input": [70000, 2], "output": "b"}]
    other_text = [base[0], {"tok_input": [2], "output": "c"}]

    def checksum(content: Any) -> str:
        return load_dataset(write(tmp_path / "x.json", content), None, 128256).checksum

    assert checksum(base) == "fc32566e5dae24d8c78a033e700c10ea887a053e51b6cc28ad481b07a887f528"
    assert len({checksum(base), checksum(ids_moved), checksum(other_text)}) == 3


def test_more_samples_than_there_are_is_refused(tmp_path: Path) -> None:
    settings = write(tmp_path / "few.json", entries(3)).with_values(total_sample_count=4)

    said = "--total-sample-count 4: the data set has 3 samples; use --total-sample-count 3 or less."
    assert refused(settings) == said
    with pytest.raises(UsageError, match="the data set has 3 samples"):
        load_dataset(settings.with_values(total_sample_count=3), None, VOCAB).subset(4)


# Official files


def test_tok_input_is_fed_as_it_is_and_needs_no_tokenizer(tmp_path: Path) -> None:
    settings = write(tmp_path / "cnn_eval.json", entries(3))

    data = load_dataset(settings, None, VOCAB)

    assert [sample.token_ids for sample in data.samples] == [[1, 2, 0], [1, 3, 0], [1, 4, 0]]


@pytest.mark.parametrize(("category", "count"), [("datacenter", 13368), ("edge", EDGE_COUNT)])
def test_a_file_of_the_official_size_is_taken_at_the_users_word(
    tmp_path: Path, category: str, count: int
) -> None:
    settings = write(tmp_path / "official.json", entries(count)).with_values(category=category)

    data = load_dataset(settings, None, VOCAB)

    assert data.unofficial_because is None
    assert data.source == f"{tmp_path}/official.json, taken at the user's word"


def test_official_articles_may_repeat_themselves(tmp_path: Path) -> None:
    content = entries(13367)

    data = load_dataset(write(tmp_path / "official.json", [*content, content[0]]), None, VOCAB)

    assert len(data) == 13368


def test_the_file_of_the_other_category_is_unofficial(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path / "edge.json", entries(EDGE_COUNT)), None, VOCAB)

    assert data.unofficial_because == (
        "The data set is edge.json with 5,000 articles; the official one has 13,368 in the "
        "datacenter category."
    )


def test_token_ids_that_are_not_the_prompts_are_unofficial(tokenizer: Any, tmp_path: Path) -> None:
    content = [{"input": f"Story {i}.", **entry} for i, entry in enumerate(entries(EDGE_COUNT))]
    settings = write(tmp_path / "edge.json", content).with_values(category="edge")

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.unofficial_because == (
        "The token ids of the data set (entry 0) are not those of the official prompt under this "
        "model's tokenizer."
    )


def test_token_ids_that_are_the_prompts_are_official(tokenizer: Any, tmp_path: Path) -> None:
    stories = [f"Story {i}." for i in range(EDGE_COUNT)]
    prompts = tokenizer([PROMPT_TEMPLATE.format(input=story) for story in stories])["input_ids"]
    content = [
        {"instruction": PROMPT_TEMPLATE, "input": story, "tok_input": prompt, "output": "."}
        for story, prompt in zip(stories, prompts, strict=True)
    ]
    settings = write(tmp_path / "edge.json", content).with_values(category="edge")

    assert load_dataset(settings, lambda: tokenizer, VOCAB).unofficial_because is None


def test_a_file_of_the_official_size_without_token_ids_is_unofficial(
    tokenizer: Any, tmp_path: Path
) -> None:
    content = [{"input": f"Story {i}.", "output": "."} for i in range(EDGE_COUNT)]
    settings = write(tmp_path / "edge.json", content)
    settings = settings.with_values(category="edge", total_sample_count=2)

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.unofficial_because == (
        "The data set is edge.json, which lacks the official token ids; they were made here."
    )


# The hub's format


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

    assert text.startswith(
        "--dataset cnndm: abisee/cnn_dailymail is not on this machine and cannot be had from the "
        "hub ("
    )
    assert text.endswith(
        "; give --dataset-path sample_cnn_eval_5000.json, or use --dataset sample."
    )


# Bad files


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(RunConfig(dataset_path=f"{tmp_path}/none.json")) == (
        f"--dataset-path {tmp_path}/none.json: there is no such file; give the official "
        "cnn_eval.json, or use --dataset sample."
    )


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("<html>")

    assert refused(RunConfig(dataset_path=str(path))) == (
        f"--dataset-path {path}: the file is not JSON (Expecting value: line 1 column 1 (char 0)); "
        "give the official cnn_eval.json as it came."
    )


GOOD = {"tok_input": [1, 2], "output": "a"}
TEXT = {"input": "Story.", "output": "a"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "the file is not a JSON list of articles; give one in the schema of the "
                   "official cnn_eval.json."),
        ([], "the data set holds no articles; give one that does."),
        ([3], "entry 0 is not an object; each needs input and output."),
        ([GOOD, {"output": "b"}], "entry 1 has no tok_input; every entry needs tok_input and "
                                  "output."),
        ([GOOD, {"tok_input": [3]}], "entry 1 has no output; every entry needs tok_input and "
                                     "output."),
        ([TEXT, {"output": "b"}], "entry 1 has no input; every entry needs input and output."),
        ([GOOD, {**GOOD, "tok_input": "1 2"}], "tok_input of entry 1 is not a list of token ids; "
                                               "correct the file."),
        ([GOOD, {**GOOD, "tok_input": [1.5]}], "tok_input of entry 1 is not a list of token ids; "
                                               "correct the file."),
        ([{**GOOD, "tok_input": []}], "tok_input of entry 0 is empty; fill or remove the entry."),
        ([{**TEXT, "input": None}], "input of entry 0 is not a text; correct the file."),
        ([{**TEXT, "output": 5}], "output of entry 0 is not a text; correct the file."),
        ([TEXT, {**TEXT, "input": " "}], "input of entry 1 is empty; fill or remove the entry."),
        ([{**GOOD, "output": ""}], "output of entry 0 is empty; fill or remove the entry."),
        ([GOOD, TEXT | {"tok_input": [9]}, GOOD], "entries 0 and 2 have the same tok_input; "
                                                  "remove one of them."),
        ([TEXT, {**TEXT, "output": "b"}], "entries 0 and 1 have the same input; remove one of "
                                          "them."),
        ([GOOD, {"tok_input": [5, 4096], "output": "b"}],
         "entry 1 has token id 4096, and the model's vocabulary has 4,096 tokens; use the model "
         "the file was tokenised for, or remove tok_input from the file."),
        ([{"tok_input": [-1, 5], "output": "b"}],
         "entry 0 has token id -1, and the model's vocabulary has 4,096 tokens; use the model "
         "the file was tokenised for, or remove tok_input from the file."),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_the_entry_named(
    tmp_path: Path, content: Any, said: str
) -> None:
    assert (
        refused(write(tmp_path / "x.json", content)) == f"--dataset-path {tmp_path}/x.json: {said}"
    )


def test_an_empty_prompt_is_refused_at_the_official_size_too(tmp_path: Path) -> None:
    content = [*entries(13367), {"tok_input": [], "output": "b"}]

    assert "tok_input of entry 13367 is empty" in refused(write(tmp_path / "x.json", content))


def test_articles_with_a_model_without_tokenizer_are_refused() -> None:
    assert refused(RunConfig(dataset="sample", weights="dummy", model="llama3.1-8b-instruct")) == (
        "--dataset sample holds text, and --model llama3.1-8b-instruct with --weights dummy has no "
        "tokenizer; use --dataset synthetic."
    )


# Synthetic prompts


@pytest.fixture(scope="module")
def synthetic() -> Dataset:
    source = model.resolve_model(SYNTHETIC)
    return load_dataset(
        SYNTHETIC,
        None,
        source.vocab_size,
        bos_token_id=source.bos_token_id,
        special_token_ids=source.special_token_ids,
    )


def test_synthetic_prompts_have_the_lengths_of_the_real_set(synthetic: Dataset) -> None:
    lengths = np.array([len(sample.token_ids) for sample in synthetic.samples])

    assert len(lengths) == 13368
    assert abs(lengths.mean() / 870 - 1) < 0.02
    assert abs(np.log(lengths).std() / 0.5 - 1) < 0.02
    assert lengths.min() >= 60
    assert lengths.max() == synthetic.longest_prompt_tokens == 2540


def test_synthetic_prompts_begin_with_bos_and_hold_no_special_token(synthetic: Dataset) -> None:
    assert {sample.token_ids[0] for sample in synthetic.samples} == {128000}
    assert max(max(sample.token_ids[1:]) for sample in synthetic.samples) < 128000
    assert all(type(i) is int for i in synthetic.samples[0].token_ids)


def test_synthetic_prompts_are_the_same_everywhere_and_share_no_beginning(
    synthetic: Dataset,
) -> None:
    assert (
        synthetic.subset(50).checksum
        == "b74b56cfaf6ba404075a34954e7c1d484ea6a312a54b2086ba9966aec3ecabe8"
    )
    assert len({tuple(sample.token_ids[1:5]) for sample in synthetic.samples}) == 13368


def test_a_few_synthetic_prompts_are_the_subset_of_all(synthetic: Dataset) -> None:
    few = load_dataset(
        SYNTHETIC.with_values(total_sample_count=7), None, 128256, bos_token_id=128000
    )

    assert few == synthetic.subset(7)


def test_synthetic_prompts_for_edge_are_5000_and_have_no_references() -> None:
    data = load_dataset(SYNTHETIC.with_values(category="edge"), None, 128256)

    assert len(data) == EDGE_COUNT
    assert {sample.reference for sample in data.samples} == {None}
    assert data.unofficial_because is not None


def test_synthetic_prompts_of_a_tiny_vocabulary_avoid_its_special_tokens() -> None:
    specials = frozenset(range(36, 40))
    settings = SYNTHETIC.with_values(total_sample_count=30)

    data = load_dataset(settings, None, 40, bos_token_id=36, special_token_ids=specials)

    used = {i for sample in data.samples for i in sample.token_ids[1:]}
    assert used == set(range(10, 36))
