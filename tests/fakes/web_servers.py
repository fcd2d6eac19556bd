"""Web servers as machines have them, from Debian: nginx, with Basic, and lighttpd with Digest. For any test."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

WAIT_SECONDS = 20.0  # for a server to listen, on a machine that does much else

# One process, so that it may read the test's folder whoever runs it.
_NGINX = """
daemon off; master_process off; pid {d}/nginx.pid; error_log {d}/error.log; events {{ worker_connections 64; }}
http {{
  log_format seen '$status $body_bytes_sent $request_uri'; access_log {d}/access.log seen;
  types {{ text/html html; text/javascript js; text/css css; image/png png; }} default_type application/octet-stream;
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4;
  scgi_temp_path {d}/t5;
  server {{ listen {host}:{port}; root {d}/files; index index.html; {more} }}
}}
"""
_LIGHTTPD = """
server.modules = ("mod_auth", "mod_authn_file")
server.bind = "{host}"
server.port = {port}
server.document-root = "{d}/files"
server.errorlog = "{d}/error.log"
server.upload-dirs = ("{d}")
index-file.names = ("index.html")
mimetype.assign = (".html" => "text/html", ".js" => "text/javascript", ".css" => "text/css", ".png" => "image/png")
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "{d}/users"
auth.require = ("" => (
  "method" => "digest", "algorithm" => "{algorithm}", "realm" => "{realm}", "require" => "valid-user"
))
"""
REALM = "Press 4"


class Seen(NamedTuple):
    """A request as the server logged it."""

    status: int
    size: int  # bytes of the answer's body
    target: str


class WebServer:
    """A server in a process of its own, with `files` in its folder; it listens on `host` and `port` when it is made."""

    def __init__(self, directory: Path, host: str, port: int, command: list[str], files: dict[str, bytes]) -> None:
        self.directory = directory
        self.host, self.port = host, port
        for name, data in files.items():
            path = directory / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with (directory / "output.log").open("wb") as output:
            self._child = subprocess.Popen(command, stdout=output, stderr=output)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection((self.host, self.port), 1.0).close()
                return
            except OSError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(0.02)
                if self._child.returncode is not None or time.monotonic() > end:
                    self.stop()
                    raise AssertionError((self.directory / "output.log").read_text()) from None

    @property
    def seen(self) -> list[Seen]:
        """All requests so far. One is logged a moment after its answer."""
        file = self.directory / "access.log"
        rows = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [Seen(int(status), int(size), target) for status, size, target in rows]

    def stop(self) -> None:
        """End it."""
        self._child.terminate()
        self._child.wait(WAIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def free_port(host: str) -> int:
    """A port of `host` that nobody listens on."""
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def nginx(
    directory: Path, host: str, files: dict[str, bytes], more: str = "", *, user: str = "", password: str = ""
) -> WebServer:
    """nginx; `more` are lines of its `server`. With `user` it wants Basic."""
    directory.mkdir(parents=True, exist_ok=True)
    if user:
        digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
        (directory / "users").write_text(f"{user}:{{SHA}}{digest}\n", encoding="utf-8")
        more += f'auth_basic "{REALM}"; auth_basic_user_file {directory}/users;'
    port, configuration = free_port(host), directory / "nginx.conf"
    configuration.write_text(_NGINX.format(d=directory, host=host, port=port, more=more))
    return WebServer(
        directory, host, port, ["nginx", "-e", f"{directory}/error.log", "-c", str(configuration)], files
    )  # fmt: skip


def lighttpd(
    directory: Path, host: str, files: dict[str, bytes], *, user: str, password: str, algorithm: str = "MD5"
) -> WebServer:
    """lighttpd, which wants Digest; `algorithm` is MD5 or SHA-256."""
    directory.mkdir(parents=True, exist_ok=True)
    digest = hashlib.new(algorithm.replace("-", ""), f"{user}:{REALM}:{password}".encode()).hexdigest()
    (directory / "users").write_text(f"{user}:{REALM}:{digest}\n", encoding="utf-8")
    port, configuration = free_port(host), directory / "lighttpd.conf"
    configuration.write_text(
        _LIGHTTPD.format(d=directory, host=host, port=port, algorithm=algorithm, realm=REALM), encoding="utf-8"
    )
    return WebServer(directory, host, port, ["lighttpd", "-D", "-f", str(configuration)], files)
