"""The stage of the benchmarks: one nginx as the device, and the ways to it.

Panelgate's whole chain (web proxy, relay, agent; signed in, encrypted end to end inside), an OpenSSH reverse tunnel,
and nginx as a plain reverse proxy. Everything on loopback, every file in one temporary folder.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import Process, free_port, listening
from e2e.harness.roles import Role

DEVICE = "127.0.80.50"
NGINX = """
daemon off; pid {d}/nginx.pid; error_log {d}/error.log; worker_processes 1;
events {{ worker_connections 2048; }}
http {{
  access_log off; default_type application/octet-stream; sendfile on; tcp_nodelay on;
  keepalive_requests 1000000; keepalive_timeout 300;
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
  uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  upstream device {{ server {device}:{port}; keepalive 128; keepalive_requests 1000000; }}
  # What may be cached would be measured in the web proxy's cache, not through the chain.
  server {{ listen {device}:{port}; root {d}/files; add_header Cache-Control no-store; }}
  server {{
    listen 127.0.0.1:{front};
    listen 127.0.0.1:{front_tls} ssl;
    ssl_certificate {d}/front.pem; ssl_certificate_key {d}/front.key; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ proxy_pass http://device; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {d}/host
PidFile {d}/sshd.pid
AuthorizedKeysFile {d}/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
AllowTcpForwarding yes
"""


ROLES = (("webproxy", "serve"), ("relay", "serve"), ("agent", "run"))
DOMAIN = "bench.test"


@dataclass(frozen=True)
class Stage:
    """Where each way to the device begins, and what our way needs in its request; _tls: by HTTPS."""

    ours: str
    headers: tuple[str, str]
    ours_tls: str
    headers_tls: tuple[str, str]
    ssh: str
    nginx: str
    nginx_tls: str
    installation: Installation
    administrator: Administrator
    device: str
    ssh_ends: tuple[Process, ...]

    def service(self, slug: str, port: int) -> tuple[str, str]:
        """Another service of the device, at DEVICE and `port`: the headers of requests to it."""
        label = str(self.administrator.service(self.device, slug, DEVICE, port)["host_label"])
        return _headers(self.administrator, label, f"{label}.apps.localhost:{self.installation.port}")

    def role(self, *words: str) -> psutil.Process:
        """The process of one of ROLES on the plain way."""
        return next(
            child
            for child in psutil.Process().children(recursive=True)
            if " ".join(words) in " ".join(child.cmdline()) and DOMAIN not in child.environ().values()
        )

    def chain(self) -> list[psutil.Process]:
        """Web proxy, relay and agent."""
        return [self.role(*words) for words in ROLES]

    def tunnel(self) -> list[psutil.Process]:
        """Both ends of the OpenSSH tunnel."""
        found = [psutil.Process(process.child.pid) for process in self.ssh_ends]
        return found + [child for process in found for child in process.children(recursive=True)]


def _headers(administrator: Administrator, label: str, host: str) -> tuple[str, str]:
    return f"Host: {host}", f"Cookie: __Host-pg={administrator.service_cookie(label)}"


def spent(processes: list[psutil.Process]) -> float:
    """Seconds on a processor of each main thread, which does the work; the scheduler counts in nanoseconds."""
    return sum(int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) for process in processes) / 1e9


def reverse_tunnel(
    directory: Path, host: str, target_port: int, through: Callable[[int], int] = lambda port: port
) -> tuple[list[Process], str]:
    """An OpenSSH reverse tunnel to `host` and `target_port`: its two ends, client first, and its address.

    `through(port)` is the port where the client finds the server that listens at `port`.
    """
    port, entry = free_port(), free_port()
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    (directory / "sshd_config").write_text(SSHD.format(d=directory, port=port))
    Path("/run/sshd").mkdir(exist_ok=True)
    server = Process("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"], directory / "sshd.log")
    server.wait_for("sshd listens", lambda: listening(port))
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes", "BatchMode=yes"]
    command = ["ssh", "-N", "-F", "none", "-p", str(through(port)), "-i", str(directory / "client")]
    for option in options:
        command += ["-o", option]
    command += ["-R", f"127.0.0.1:{entry}:{host}:{target_port}", f"{getpass.getuser()}@127.0.0.1"]
    client = Process("ssh -R", command, directory / "ssh.log")
    client.wait_for("the reverse tunnel listens", lambda: listening(entry))
    return [client, server], f"http://127.0.0.1:{entry}"


def _certificate(directory: Path) -> tuple[Path, Path]:
    """One certificate (P-256) for both HTTPS fronts."""
    certificate, key = directory / "front.pem", directory / "front.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=bench", "-keyout", key, "-out", certificate,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Build the stage, and take it down again."""
    directory = Path(tempfile.mkdtemp(prefix="panelgate-bench-"))
    processes: list[Process] = []
    installation = Installation(directory / "installation", demo=False)
    agent: Agent | None = None
    try:
        files = directory / "files"
        files.mkdir()
        (files / "1k").write_bytes(os.urandom(1024))
        (files / "1m").write_bytes(os.urandom(1024 * 1024))
        (files / "big").write_bytes(os.urandom(1024 * 1024) * 256)
        with (files / "huge").open("wb") as huge:
            huge.truncate(1024**3)
        directory.chmod(0o755)
        certificate, key = _certificate(directory)
        port, front, front_tls = free_port(DEVICE), free_port(), free_port()
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX.format(d=directory, device=DEVICE, port=port, front=front, front_tls=front_tls))
        nginx = Process("nginx", ["nginx", "-c", configuration], directory / "nginx.log")
        processes.append(nginx)
        nginx.wait_for("nginx listens", lambda: listening(front))
        tunnel, ssh = reverse_tunnel(directory, DEVICE, port)
        processes += tunnel

        installation.start()
        administrator = Administrator.set_up(installation)
        device = administrator.device("press", lan="127.0.80.0/24")
        service = administrator.service(device["id"], "web", DEVICE, port)
        agent = Agent(installation, "press", administrator.key(device["id"]), allow=[DEVICE])
        administrator.wait_online("press")
        settings = {"DOMAIN": DOMAIN, "PUBLIC_SCHEME": "https", "PUBLIC_PORT": "443"}
        https = Role(
            installation, "webproxy", "webproxy-https", CERTIFICATE=str(certificate), KEY=str(key), **settings
        )  # fmt: skip
        processes.append(https.process)
        label = service["host_label"]
        # A service of its own: an agent opens 16 connections to each, and idle ones of the other web proxy count.
        label_tls = administrator.service(device["id"], "https", DEVICE, port)["host_label"]
        yield Stage(
            f"http://127.0.0.1:{installation.port}",
            _headers(administrator, label, f"{label}.apps.localhost:{installation.port}"),
            f"https://127.0.0.1:{https.port}",
            _headers(administrator, label_tls, f"{label_tls}.apps.{DOMAIN}"),
            ssh, f"http://127.0.0.1:{front}", f"https://127.0.0.1:{front_tls}",
            installation, administrator, device["id"], tuple(tunnel),
        )  # fmt: skip
    finally:
        if agent is not None:
            agent.stop(signal.SIGKILL)
        installation.stop()
        for process in reversed(processes):
            process.stop()
        shutil.rmtree(directory, ignore_errors=True)
