"""CNN/DailyMail, and other data sets in the hub's format: from the hub, its cache, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import UsageError, first_line
from harness.inputs import hub
from harness.inputs.official_files import OFFICIAL_FILES
from harness.language import phrase
from harness.rounds import OFFICIAL_DATASET, OFFICIAL_DATASET_CONFIG, OFFICIAL_DATASET_SPLIT


def validation_rows(config: RunConfig, *, ask_hub: bool = True) -> Any:
    """The validation split as a `datasets.Dataset`. Raises UsageError when it cannot be had."""
    folder = config.dataset_path
    where = str(Path(folder).expanduser()) if folder else OFFICIAL_DATASET
    flag = f"--dataset-path {folder}" if folder else "--dataset cnndm"
    datasets = datasets_library(None if folder else OFFICIAL_DATASET, ask_hub=ask_hub)
    from huggingface_hub import constants

    try:
        names = datasets.get_dataset_config_names(where) if folder else [OFFICIAL_DATASET_CONFIG]
        name = OFFICIAL_DATASET_CONFIG if OFFICIAL_DATASET_CONFIG in names else None
        rows = datasets.load_dataset(where, name, split=OFFICIAL_DATASET_SPLIT)
    except Exception as error:  # the library raises whatever the files lead it to
        why = first_line(error if error.__cause__ is None else error.__cause__)
        if "OfflineModeIsEnabled" in why and not constants.HF_HUB_OFFLINE:
            why = phrase("it does not answer")  # the mode is ours, see below
        if folder:
            raise UsageError(
                f"{flag}: the folder cannot be read as {OFFICIAL_DATASET} in the hub's format "
                f"({why}); give the official {official_file(config)}."
            ) from error
        raise UsageError(
            f"{flag}: {OFFICIAL_DATASET} is not on this machine and cannot be had from the hub "
            f"({why}); give --dataset-path {official_file(config)}, which `{_fetch(config)}` gets "
            "from MLCommons, or use --dataset sample."
        ) from error
    for column in ("article", "highlights"):
        if column not in rows.column_names:
            raise UsageError(
                f"{flag}: the data set has no column {column} (it has "
                f"{', '.join(rows.column_names)}); give {OFFICIAL_DATASET} or the official "
                f"{official_file(config)}."
            )
    return rows


def _fetch(config: RunConfig) -> str:
    edge = " --category edge" if config.category == "edge" else ""
    return f"python run.py fetch dataset{edge}"


def entries(config: RunConfig, rows: Any) -> list[dict[str, Any]]:
    """The rows in the form of the official files. Raises UsageError for what cannot be read."""
    columns = []
    for column in ("article", "highlights"):
        try:
            columns.append(rows[column][:])
        except Exception as error:  # the library reads only now, and raises whatever it meets
            folder = config.dataset_path
            raise UsageError(
                f"--dataset-path {folder}: the column {column} cannot be read "
                f"({first_line(error)}); give {OFFICIAL_DATASET} as it came, or the official "
                f"{official_file(config)}."
                if folder
                else f"--dataset cnndm: the column {column} of {OFFICIAL_DATASET} cannot be read "
                f"from the library's cache ({first_line(error)}); remove that (HF_HOME)."
            ) from error
    return [
        {"input": article, "output": highlights}
        for article, highlights in zip(*columns, strict=True)
    ]


def datasets_library(repo: str | None, *, ask_hub: bool = True) -> Any:
    """The library `datasets`, without its progress bars.

    `repo` is what it will be asked for from the hub, None for a folder; without `ask_hub` from the
    hub's cache alone.
    """
    try:
        import datasets
    except ValueError as error:  # of a variable that it reads as a number
        raise UsageError(
            f"The library `datasets` cannot be imported ({first_line(error)}); correct or unset "
            "the environment variables named HF_DATASETS_..."
        ) from error
    if repo is not None and not (ask_hub and hub_answers(repo)):
        # The hub's client would retry for 25 s; so `datasets` looks into its own cache at once.
        datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    return datasets


def hub_answers(repo: str) -> bool:
    """Whether the hub answers within seconds when asked for this data set; any answer will do."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    token = hub.user_token()
    try:
        url = hf_hub_url(repo, "README.md", repo_type="dataset")
        get_hf_file_metadata(url, token=token or False, timeout=hub.TIMEOUT_S)
    except HfHubHTTPError:
        return True
    except hub.transport_errors():
        return False
    except ValueError:  # an HF_ENDPOINT or a proxy that is no address
        return False
    return True


def official_file(config: RunConfig) -> str:
    """The name of the official articles of the run's category, for a sentence."""
    return OFFICIAL_FILES[config.category].name
