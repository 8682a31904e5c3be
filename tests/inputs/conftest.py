"""What several tests of the inputs share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.inputs import demo_model
from tests.inputs.hub_server import Hub, HubHandler, point_at
from tests.inputs.model_folders import SHIPPED


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    demo_model._build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub(("127.0.0.1", 0), HubHandler)
    server.files = {"config.json": json.dumps(SHIPPED).encode()}
    server.refused_files = {}
    server.tokens_seen = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    point_at(f"http://127.0.0.1:{server.server_port}", monkeypatch, tmp_path)
    yield server
    server.shutdown()
    server.server_close()
