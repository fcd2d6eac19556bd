"""Devices on a machine's LAN that behave badly, or carry a lot: plain sockets in threads, on loopback addresses."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECE = bytes(range(256)) * 256  # 64 KiB
SSH_BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"


class Listener:
    """A TCP listener that gives each connection to `serve`, in a thread of its own."""

    def __init__(self, host: str, serve: Callable[[socket.socket], None], port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:
            return
        finally:
            connection.close()

    def stop(self) -> None:
        """Listen no more."""
        self._socket.close()


def silent(connection: socket.socket) -> None:
    """Reads and never says a word."""
    while connection.recv(65536):
        continue


def resets(connection: socket.socket) -> None:
    """Takes the request, then breaks the connection with a RST."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs_up(connection: socket.socket) -> None:
    """Takes the request, then closes without a word."""
    connection.recv(65536)


def speaks_ssh(connection: socket.socket) -> None:
    """Is no web server at all."""
    connection.sendall(SSH_BANNER)
    silent(connection)


class FullListener:
    """A listener whose queue is full: the kernel drops every further SYN, as a firewall would."""

    def __init__(self, host: str) -> None:
        self._socket = socket.socket()
        self._socket.bind((host, 0))
        self._socket.listen(0)
        self.port: int = self._socket.getsockname()[1]
        self._waiting: list[socket.socket] = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((host, self.port))
            self._waiting.append(client)

    def stop(self) -> None:
        """Let all go."""
        for client in self._waiting:
            client.close()
        self._socket.close()


def self_signed(directory: Path, name: str, *, host: str) -> tuple[Path, Path]:
    """A certificate of a panel's own making, valid for a day: (certificate, key)."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=panel",
         "-addext", f"subjectAltName={host}", "-out", certificate, "-keyout", key],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """Hex SHA-256 of the certificate's DER form."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


class Machine:
    """A web server for what takes long or is large. `gate` lets waiting answers go on; `arrived` counts body bytes."""

    def __init__(self, host: str, tls: tuple[Path, Path] | None = None) -> None:
        self.gate = threading.Event()
        self.arrived = 0
        self.first_bytes = threading.Event()
        machine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _head(self, kind: str, length: int | None) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                if length is None:
                    self.send_header("Connection", "close")
                else:
                    self.send_header("Content-Length", str(length))
                self.end_headers()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/bulk":
                    pieces = int(self.path.partition("=")[2])
                    self._head("application/octet-stream", pieces * len(PIECE))
                    for _ in range(pieces):
                        self.wfile.write(PIECE)
                elif path == "/events":
                    self._head("text/event-stream", None)
                    self.wfile.write(b"data: first\n\n")
                    self.wfile.flush()
                    machine.gate.wait(20)
                    self.wfile.write(b"data: second\n\n")
                elif path == "/poll":
                    machine.gate.wait(20)
                    self._head("text/plain", 5)
                    self.wfile.write(b"news\n")
                else:
                    page = b"<!doctype html><title>Press</title><h1>Press 4</h1>"
                    self._head("text/html", len(page))
                    self.wfile.write(page)

            def do_POST(self) -> None:
                left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
                machine.arrived = 0
                while left:
                    piece = self.rfile.read1(min(left, 65536))
                    left -= len(piece)
                    digest.update(piece)
                    machine.arrived += len(piece)
                    machine.first_bytes.set()
                answer = digest.hexdigest().encode()
                self._head("text/plain", len(answer))
                self.wfile.write(answer)

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Switch it off."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def heads(connection: socket.socket) -> Iterator[bytes]:
    """The heads of the requests on a connection, one after the other, until the other side closes; none has a body."""
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65536)
            if not data:
                return
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        yield head
