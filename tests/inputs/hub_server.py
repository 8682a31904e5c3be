"""A hub on this machine, and how the hub's client is sent to one."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """A hub on this machine. It answers with one refusal, or with files."""

    refusal: tuple[int, str] | None = None
    refused_files: dict[str, tuple[int, str]]
    files: dict[str, bytes]
    tokens_seen: list[str | None]


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        self.server.tokens_seen.append(self.headers.get("Authorization"))
        name = self.path.rsplit("/", 1)[-1]
        status, code = self.server.refusal or self.server.refused_files.get(name, (200, ""))
        body = self.server.files.get(name)
        if status == 200 and body is None:
            status, code = 404, "EntryNotFound"
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        revision = self.path.split("/resolve/")[-1].split("/")[0]
        self.send_header("X-Repo-Commit", COMMIT if revision == "main" else revision)
        self.send_header("ETag", f'"{abs(hash(body)):040x}"')
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if with_body and status == 200 and body:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


def point_at(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's client reads its settings once, at import."""
    from huggingface_hub import constants

    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
