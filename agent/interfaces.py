"""This machine's own addresses and the networks it is connected to, read from Linux's /proc; nothing is called."""

import socket
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from agent.policy import Address

PROC = Path("/proc/net")


def own_addresses(proc: Path = PROC) -> frozenset[Address]:
    """Every address of this machine, IPv4 and IPv6. What can't be read counts as none."""
    return frozenset([*parse_fib_trie(_read(proc / "fib_trie")), *parse_if_inet6(_read(proc / "if_inet6"))])


def connected_lans(proc: Path = PROC) -> tuple[str, ...]:
    """Private networks this machine is connected to, as CIDR texts: the LAN that enrolment proposes.

    On a machine with a side of its own towards the Internet (a default route) only the other sides count; with one
    side alone, that one.
    """
    networks, with_default = parse_route(_read(proc / "route"))
    private = {interface: network for interface, network in networks if network.is_private and not _special(network)}
    inner = [network for interface, network in private.items() if interface not in with_default]
    return tuple(str(network) for network in inner or private.values())


def parse_fib_trie(text: str) -> list[IPv4Address]:
    """The local addresses in /proc/net/fib_trie: a line `|-- address`, next line `/32 host LOCAL`."""
    found: set[IPv4Address] = set()
    last: IPv4Address | None = None
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("|-- "):
            try:
                last = IPv4Address(word[4:])
            except ValueError:
                last = None
        elif word.startswith("/32 host LOCAL") and last is not None:
            found.add(last)
    return sorted(found)


def parse_if_inet6(text: str) -> list[IPv6Address]:
    """The addresses in /proc/net/if_inet6: 32 hex digits at the start of each line."""
    found: list[IPv6Address] = []
    for line in text.splitlines():
        try:
            found.append(IPv6Address(bytes.fromhex(line.split()[0])))
        except (ValueError, IndexError):
            continue
    return found


def parse_route(text: str) -> tuple[list[tuple[str, IPv4Network]], set[str]]:
    """/proc/net/route: connected networks with their interface, and the interfaces that have a default route."""
    networks: list[tuple[str, IPv4Network]] = []
    with_default: set[str] = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        try:
            destination, gateway, mask = (_from_hex(fields[index]) for index in (1, 2, 7))
            network = IPv4Network(f"{destination}/{mask}")
        except ValueError:
            continue
        if network.prefixlen == 0:
            with_default.add(fields[0])
        elif int(gateway) == 0:
            networks.append((fields[0], network))
    return networks, with_default


def _from_hex(text: str) -> IPv4Address:
    # The kernel prints the 32 bits in the machine's own byte order.
    return IPv4Address(socket.inet_ntoa(struct.pack("=I", int(text, 16))))


def _special(network: IPv4Network) -> bool:
    return network.is_loopback or network.is_link_local or network.is_multicast


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
