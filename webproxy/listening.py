"""The listening sockets of a web proxy whose services have ports: the portal's, and one for each port of the range.

All are opened at the start, not when a service gets its port: a new service opens at once at every web proxy, and
whether a port is a machine's shows to nobody who is not signed in. A thousand of them cost 12 ms at the start and 1 MB
of memory, and nothing while they are idle (measured; operate.md).
"""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterable, Sequence

from panelgate.errors import BadInput

SPARE_FILES = 1024  # descriptors beside the listeners that a busy web proxy needs: browsers' connections, relays


def room_for(listeners: int) -> None:
    """Let this process open `listeners` more files; BadInput when the system's limit is below that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = listeners + SPARE_FILES
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < need:
        raise BadInput(
            "few_files",
            f"{listeners} ports need {need} open files, and the system allows {hard}. Raise its limit (LimitNOFILE= in "
            "the systemd unit, ulimit -n in a shell), or choose a smaller PANELGATE_ORIGIN_PORTS.",
        )
    if soft != unlimited and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need if hard == unlimited else hard, hard))


def open_sockets(host: str, ports: Iterable[int]) -> Sequence[socket.socket]:
    """Bind `ports` at `host`, an address or a name of this machine; BadInput names the port that is not free."""
    found: list[socket.socket] = []
    try:
        addresses = {
            (family, address[0])
            for family, _, _, _, address in socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM)
        }
        for port in ports:
            for family, address in sorted(addresses):
                found.append(socket.socket(family, socket.SOCK_STREAM))
                found[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    found[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                _bind(found[-1], str(address), port)
    except BaseException:
        for opened in found:
            opened.close()
        raise
    return found


def _bind(listener: socket.socket, address: str, port: int) -> None:
    try:
        listener.bind((address, port))
    except OSError as error:
        why = "is used by another program" if error.errno == errno.EADDRINUSE else f"can't be used: {error.strerror}"
        raise BadInput(
            "port_taken", f"Port {port} at {address} {why}. Choose another port, or another PANELGATE_ORIGIN_PORTS."
        ) from error
