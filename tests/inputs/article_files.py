"""Files of articles as a person might give them, and what is said of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.dataset import load_dataset

VOCAB = 4096  # of the demo tokenizer
BOS = 4091
EDGE_COUNT = 5000


def write(path: Path, content: Any) -> RunConfig:
    """Writes the file and returns the settings of a run that takes it."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return RunConfig(dataset_path=str(path))


def entries(count: int) -> list[dict[str, Any]]:
    """Tokenised articles, all different."""
    return [{"tok_input": [1, 2 + i % 4000, i // 4000], "output": f"no. {i}"} for i in range(count)]


def refused(settings: RunConfig, tokenizer: Any = None) -> str:
    """The sentence with which a data set is refused."""
    with pytest.raises(UsageError) as caught:
        load_dataset(settings, tokenizer, VOCAB)
    return str(caught.value)
