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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.harness.administrator import Administrator
from e2e.harness.installation import Agent, Installation
from e2e.harness.processes import Process, free_port, listening

DEVICE = "127.0.80.50"
NGINX = """
daemon off; pid {d}/nginx.pid; error_log {d}/error.log; worker_processes 1;
events {{ worker_connections 2048; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000; keepalive_timeout 300;
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
  uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  upstream device {{ server {device}:{port}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen {device}:{port}; root {d}/files; }}
  server {{
    listen 127.0.0.1:{front};
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


@dataclass(frozen=True)
class Stage:
    """Where each way to the device begins, and what our way needs in its request."""

    ours: str
    headers: tuple[str, str]
    ssh: str
    nginx: str
    installation: Installation


def _sshd(directory: Path, target_port: int) -> tuple[list[Process], str]:
    port, entry = free_port(), free_port()
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    (directory / "sshd_config").write_text(SSHD.format(d=directory, port=port))
    Path("/run/sshd").mkdir(exist_ok=True)
    server = Process("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"], directory / "sshd.log")
    server.wait_for("sshd listens", lambda: listening(port))
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes", "BatchMode=yes"]
    command = ["ssh", "-N", "-F", "none", "-p", str(port), "-i", str(directory / "client")]
    for option in options:
        command += ["-o", option]
    command += ["-R", f"127.0.0.1:{entry}:{DEVICE}:{target_port}", f"{getpass.getuser()}@127.0.0.1"]
    client = Process("ssh -R", command, directory / "ssh.log")
    client.wait_for("the reverse tunnel listens", lambda: listening(entry))
    return [client, server], f"http://127.0.0.1:{entry}"


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
        directory.chmod(0o755)
        port, front = free_port(DEVICE), free_port()
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX.format(d=directory, device=DEVICE, port=port, front=front))
        nginx = Process("nginx", ["nginx", "-c", configuration], directory / "nginx.log")
        processes.append(nginx)
        nginx.wait_for("nginx listens", lambda: listening(front))
        tunnel, ssh = _sshd(directory, port)
        processes += tunnel

        installation.start()
        administrator = Administrator.set_up(installation)
        device = administrator.device("press", lan="127.0.80.0/24")
        service = administrator.service(device["id"], "web", DEVICE, port)
        agent = Agent(installation, "press", administrator.key(device["id"]), allow=[DEVICE])
        administrator.wait_online("press")
        label = service["host_label"]
        cookie = administrator.service_cookie(label)
        headers = (f"Host: {label}.apps.localhost:{installation.port}", f"Cookie: __Host-pg={cookie}")
        yield Stage(f"http://127.0.0.1:{installation.port}", headers, ssh, f"http://127.0.0.1:{front}", installation)
    finally:
        if agent is not None:
            agent.stop(signal.SIGKILL)
        installation.stop()
        for process in processes:
            process.stop()
        shutil.rmtree(directory, ignore_errors=True)
