"""What several tests of the inputs share."""

from __future__ import annotations

from typing import Any

import pytest

from harness.inputs import demo_model


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    demo_model._build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
