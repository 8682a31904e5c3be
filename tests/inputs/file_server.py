"""A server of one file, which breaks off as often as a test wants it to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class FileServer(ThreadingHTTPServer):
    """Serves one file, in parts where asked; each entry of `breaks_after` ends one answer early."""

    content: bytes
    breaks_after: list[int]
    ranges_asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges_asked.append(asked)
        offset = int(re.findall(r"\d+", asked)[0]) if asked else 0
        rest = self.server.content[offset:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.breaks_after:
            rest = rest[: self.server.breaks_after.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *_args: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer(("127.0.0.1", 0), _Handler)
    server.content, server.breaks_after, server.ranges_asked = b"", [], []
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
