"""Checks of what a run reads and writes: token, model, data set, sentence data, folders."""

from __future__ import annotations

from pathlib import Path

from harness import formatting
from harness.config import DEMO_MODEL, STAND_INS, RunConfig, min_duration_s
from harness.engine import capacity, kernels, plan
from harness.engine.plan import Site
from harness.engine.settings import Purpose
from harness.errors import UsageError
from harness.inputs import (
    articles,
    dataset,
    hub,
    hub_dataset,
    official_files,
    small_model,
    synthetic,
)
from harness.inputs import model as models
from harness.inputs.cache import cache_folder, free_bytes
from harness.inputs.model_source import ModelSource
from harness.language import joined, phrase
from harness.machine import gpus, process_limits, sockets
from harness.measure import check_gpus, check_limits, preparation
from harness.measure.check_line import DOUBTFUL, MISSING, OK, Line, asked
from harness.results import folder as run_folder
from harness.results import room
from harness.rounds import OFFICIAL_DATASET, OFFICIAL_MODEL
from harness.scoring.sentences import check_sentence_splitter


def token() -> Line:
    """The hub's token; whether it opens the model is asked with the model."""

    def look() -> str:
        there = hub.user_token()
        if there:
            return phrase("there is one")
        return phrase("none, which only a gated or private model needs")

    return asked(phrase("token"), look)


def model(config: RunConfig, site: Site) -> list[Line]:
    """The model, its tokenizer, room to load it, and its kernels."""
    if config.model in STAND_INS and not any(cache_folder().glob(_made(config))):
        return _not_made(config)
    found: list[ModelSource] = []

    def look() -> str:
        found.append(models.resolve_model(config))
        return _where(config, found[0])

    lines = [asked(phrase("model"), look)]
    shape = found[0] if found else _official_shape(config)
    if shape is None:
        return lines
    lines.append(_disk(shape, whole=bool(found)))
    if found and config.dataset != "synthetic":
        lines.append(_tokenizer(config, found[0]))
    return [*lines, *_engine(config, site, shape)]


def _made(config: RunConfig) -> str:
    return f"{config.model}-*/config.json"


def _not_made(config: RunConfig) -> list[Line]:
    if config.model == DEMO_MODEL:
        return [Line(phrase("model"), OK, phrase("demo: is built in seconds at the first run"))]
    text = phrase("small: is downloaded at the first run; `python run.py fetch small` does it now.")
    return [
        Line(phrase("model"), DOUBTFUL, text),
        asked(phrase("disk for the model"), _room_for_small),
    ]


def _room_for_small() -> str:
    small_model.check_disk()
    return _free_in(cache_folder())


def _where(config: RunConfig, source: ModelSource) -> str:
    if Path(source.path).is_dir():
        return source.source
    size = formatting.gibibytes(source.least_weights_bytes)
    flag = "" if config.model_repo == OFFICIAL_MODEL else f" (--model {config.model})"
    return phrase(
        "{source}: a run downloads its {size}; `python run.py fetch model` does it ahead{flag}",
        source=source.source, size=size, flag=flag,
    )  # fmt: skip


def _official_shape(config: RunConfig) -> ModelSource | None:
    """What can be said of the official model, though it is not to be had."""
    if config.model_repo != OFFICIAL_MODEL:
        return None
    return models.resolve_model(config.with_values(weights="dummy"))


def _disk(source: ModelSource, *, whole: bool) -> Line:
    """Room for the weights in the hub's local cache."""
    from huggingface_hub import constants

    name = phrase("disk for the model")
    if whole and Path(source.path).is_dir():
        return Line(name, OK, phrase("nothing to download: it is in {path}", path=source.path))

    def look() -> str:
        repo = source.requested if whole else OFFICIAL_MODEL
        hub.check_room(source.requested, repo, source.least_weights_bytes)
        return _free_in(Path(constants.HF_HUB_CACHE))

    return asked(name, look)


def _free_in(folder: Path) -> str:
    """What is free where a folder is or would be, for people."""
    free = formatting.gibibytes(free_bytes(folder))
    return phrase("{free} free in {folder}", free=free, folder=folder)


def _tokenizer(config: RunConfig, source: ModelSource) -> Line:
    if source.has_tokenizer:
        return Line(phrase("tokenizer"), OK, source.tokenizer_folder or phrase("the model's own"))
    text = dataset.without_tokenizer(config, source.vocab_size)
    own_file = config.dataset_path is not None and Path(config.dataset_path).expanduser().is_file()
    return Line(
        phrase("tokenizer"), DOUBTFUL if own_file else MISSING, text
    )  # a file may hold token ids


def _engine(config: RunConfig, site: Site, source: ModelSource) -> list[Line]:
    """Memory and kernels, as the plan of the engine finds them."""
    planned: list[plan.EnginePlan] = []
    longest = min(synthetic.MAX_TOKENS + config.max_new_tokens, source.max_position_embeddings)
    memory = phrase("GPU memory") if site.device == "gpu" else phrase("memory")

    def look() -> str:
        sized = capacity.check_devices(config, site.device, site.system)
        sized = capacity.fit_heads(sized, config.tensor_parallel_size, source)
        purpose = Purpose(config.max_model_len or longest)
        planned.append(plan.make(sized, source, site, purpose))
        return phrase("enough: {free} are free", free=_free(config, site))

    lines = [asked(memory, look), check_limits.memory(source, config, site)]
    if planned and site.device == "gpu":
        chosen = kernels.choose(planned[0].config, source, site.device, site.system)
        text = phrase("those that vLLM brings")
        if chosen.flashinfer:
            text = phrase("FlashInfer's, compiled")
        state = DOUBTFUL if chosen.note else OK
        lines.append(Line(phrase("attention kernels"), state, chosen.note or text))
    return lines


def _free(config: RunConfig, site: Site) -> str:
    """The memory of the GPU with the least, or what this process may use of the machine's."""
    if site.device == "gpu":
        free, total = gpus.free_and_total_memory_bytes(check_gpus.used(config, site))
        return phrase(
            "{free} of {total}", free=formatting.gibibytes(free), total=formatting.gibibytes(total)
        )
    room = process_limits.memory()
    return formatting.gibibytes(None if room is None else room.free_bytes)


def data_set(config: RunConfig) -> Line:
    """The articles, as far as can be seen in seconds."""

    def look() -> str | Line:
        if config.dataset == "synthetic":
            return phrase("synthetic: made from a seed")
        if config.dataset == "sample":
            entries = articles.read_entries(articles.SAMPLE_ARTICLES)
            return phrase("sample: {count} articles, part of the program", count=len(entries))
        if config.dataset_path is None:
            return _hubs_articles(config)
        path = Path(config.dataset_path).expanduser()
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise UsageError(
                f"--dataset-path {config.dataset_path}: it is neither a file nor a folder; give a "
                "JSON file, or a folder in the hub's format."
            )
        if path.is_dir():
            count = formatting.count(len(hub_dataset.validation_rows(config)))
            return phrase("{path}: {count} articles in the hub's format", path=path, count=count)
        return _file(config, path)

    return asked(phrase("data set"), look)


def _file(config: RunConfig, path: Path) -> str | Line:
    flag = f"--dataset-path {config.dataset_path}"
    try:
        official_files.verify(config.category, path, flag)
    except UsageError as error:
        entries = articles.read_entries(path)  # which says what is wrong with it
        prompt_field = articles.prompt_field(entries)
        articles.check_kinds(flag, entries, prompt_field)
        articles.check_contents(flag, entries, prompt_field)
        text = phrase(
            "{count} articles. {error}", count=formatting.count(len(entries)), error=error
        )
        return Line(phrase("data set"), DOUBTFUL, text)
    return phrase("{path}: MLCommons' file, by its checksum", path=path)


def _hubs_articles(config: RunConfig) -> str | Line:
    """CNN/DailyMail from the hub's cache or, if the hub answers, at the first run."""
    if not hub_dataset.hub_answers(OFFICIAL_DATASET):
        hub_dataset.validation_rows(config, ask_hub=False)
        place = phrase("in the cache of the library `datasets`")
    else:
        place = phrase("of the hub, which answers")
    if config.category == "edge":
        text = phrase(
            "{name} {place}; a subset made here is not the official one: python run.py fetch "
            "dataset --category edge.",
            name=OFFICIAL_DATASET, place=place,
        )  # fmt: skip
        return Line(phrase("data set"), DOUBTFUL, text)
    return joined(" ", (OFFICIAL_DATASET, place))


def sentence_data(config: RunConfig) -> Line:
    """nltk's punkt_tab, where something will be scored."""
    name = "punkt_tab"
    if not config.runs_accuracy or config.weights == "dummy" or config.dataset == "synthetic":
        return Line(name, OK, phrase("not needed: this run scores nothing"))

    def look() -> str:
        check_sentence_splitter()
        return phrase("whole")

    return asked(name, look)


def results(config: RunConfig) -> list[Line]:
    """Where the run folder goes, and room for it; and for the engine's sockets."""
    folder = Path(config.results_dir)
    samples = config.total_sample_count or config.category_record.dataset_samples

    def writable() -> str:
        run_folder.check_results_dir(folder)
        return str(folder.absolute())

    def roomy() -> str:
        needed = preparation.needed_bytes(config, samples, min_duration_s(config, samples))
        room.check(folder, needed)
        return phrase("{size} needed at most", size=formatting.megabytes(needed))

    def meeting() -> str:
        sockets.check()
        return phrase("takes the engine's sockets")

    return [
        asked(phrase("results folder"), writable),
        asked(phrase("disk for results"), roomy),
        asked(phrase("temporary folder"), meeting),
    ]
