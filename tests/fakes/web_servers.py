"""Web servers as machines have them, from Debian: nginx with Basic, Apache with Digest. Synchronous, for any test."""

from __future__ import annotations

import contextlib
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
_APACHE = """
ServerName panel
Listen {host}:{port}
PidFile {d}/apache.pid
DefaultRuntimeDir {d}
Mutex file:{d} default
ErrorLog {d}/error.log
User {user}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule auth_digest_module /usr/lib/apache2/modules/mod_auth_digest.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LogFormat "%>s %B %U%q" seen
CustomLog {d}/access.log seen
DocumentRoot {d}/files
DirectoryIndex index.html
<Directory {d}/files>
  AuthType Digest
  AuthName "panel"
  AuthUserFile {d}/users
  Require valid-user
</Directory>
"""


class Seen(NamedTuple):
    """A request as the server logged it."""

    status: int
    size: int  # bytes of the answer's body
    target: str


class WebServer:
    """A server in a process of its own, on `host` and `port`, with `files` in its folder."""

    def __init__(self, directory: Path, host: str, command: list[str], files: dict[str, bytes]) -> None:
        self.directory = directory
        self.host = host
        for name, data in files.items():
            path = directory / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with (directory / "output.log").open("wb") as output:
            self._child = subprocess.Popen(command, stdout=output, stderr=output)

    def _wait(self, port: int) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection((self.host, port), 1.0).close()
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


def nginx(directory: Path, host: str, port: int, files: dict[str, bytes], more: str = "") -> WebServer:
    """nginx; `more` are lines of its `server`."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(d=directory, host=host, port=port, more=more))
    command = ["nginx", "-e", str(directory / "error.log"), "-c", str(configuration)]
    made = WebServer(directory, host, command, files)
    made._wait(port)
    return made
