"""A device of a test's own: a small web server on loopback that answers as it is told and keeps what reached it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """What a device answers."""

    body: str | bytes = ""
    headers: Headers = field(default_factory=list)
    status: int = 200
    type: str = "text/html; charset=utf-8"


@dataclass
class Seen:
    """A request as the device got it; header names in lower case, every value of a name."""

    method: str
    path: str
    headers: Mapping[str, list[str]]
    body: bytes
    connection: int

    def all(self) -> str:
        """Everything in it that a secret could be in."""
        return "\n".join([self.path, *(f"{name}: {value}" for name in self.headers for value in self.headers[name])])


class Device:
    """Listens on 127.0.0.1; `pages` maps paths (without query) to answers, or to functions that make one."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[Seen], Answer]] = {}
        self.seen: list[Seen] = []
        device = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers: dict[str, list[str]] = {}
                for name, value in self.headers.items():
                    headers.setdefault(name.lower(), []).append(value)
                seen = Seen(self.command, self.path, headers, self.rfile.read(length), self.client_address[1])
                device.seen.append(seen)
                page = device.pages.get(self.path.partition("?")[0], Answer("nothing here", status=404))
                answer = page(seen) if callable(page) else page
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", answer.type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = handle_any  # noqa: N815, the names are the library's

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, so the library calls it
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def asked(self, path: str) -> list[Seen]:
        """The requests for `path` so far, whatever their query."""
        return [seen for seen in self.seen if seen.path.partition("?")[0] == path]

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
