"""What a service may point at: the checks on LAN networks, addresses, ports, protocols and paths.

The rule is one of deny by default. An address is an IP literal in its one canonical form, lies inside the LAN that the
device declares, and is none of the addresses behind which the agent's own host, a cloud's metadata service or a group
of machines would answer. A declared network that lies wholly inside loopback or link-local names that address on
purpose (the demonstration machine does); a wide network never opens them by accident.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from panelgate.errors import BadInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "vnc": 5900, "rdp": 3389}
TLS_VERIFY: Final = ("none", "ca", "pin")

MAX_NETWORKS: Final = 16  # a machine has a handful of segments; the list travels in every configuration
MAX_PATH: Final = 512  # bytes; an entry page, not a document
WIDEST_V4: Final = 8  # 10.0.0.0/8 is the widest private network there is
WIDEST_V6: Final = 48  # one site's delegation
WIDEST_SPECIAL: Final = 24  # loopback and link-local are only opened by naming a small part of them

# Reachable only when a declared network lies inside one of these.
NAMED_ONLY: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("::1/128"),
    ipaddress.ip_network("fe80::/10"),
)
# Never reachable: nobody's unicast address, or another way of writing an IPv4 address.
NEVER: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("0.0.0.0/8"),
    ipaddress.ip_network("169.254.169.254/32"),  # metadata service of the clouds
    ipaddress.ip_network("224.0.0.0/4"),
    ipaddress.ip_network("240.0.0.0/4"),
    ipaddress.ip_network("::/128"),
    ipaddress.ip_network("::/96"),  # IPv4-compatible; ::1 is taken out below
    ipaddress.ip_network("::ffff:0:0/96"),  # IPv4-mapped
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2001::/32"),  # Teredo
    ipaddress.ip_network("2002::/16"),  # 6to4
    ipaddress.ip_network("fd00:ec2::/32"),  # metadata service over IPv6
    ipaddress.ip_network("ff00::/8"),
)
_LOOPBACK_V6: Final = ipaddress.IPv6Address("::1")
_PATH: Final = re.compile(r"/(?:[!$&'()*+,\-./0-9:;=?@A-Z_a-z~]|%[0-9A-Fa-f]{2})*")
_PIN: Final = re.compile(r"[0-9a-f]{64}")


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _within(network: Network, outer: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and network.subnet_of(outer)


def parse_lan(networks: Sequence[str], *, loopback: bool = False) -> tuple[str, ...]:
    """Check a device's declared networks and return them in canonical form, without repeats.

    `loopback` says whether a part of loopback may be declared, which only a demonstration needs.
    Raises BadInput(bad_lan) with the network at fault in its facts.
    """
    if len(networks) > MAX_NETWORKS:
        raise BadInput("bad_lan", f"A device can declare at most {MAX_NETWORKS} networks.", {"limit": MAX_NETWORKS})
    found: list[str] = []
    for text in networks:
        network = _network(text)
        if network.is_loopback and not loopback:
            raise BadInput(
                "bad_lan", f"{network} is the agent's own host. Declare the machine's LAN.", {"network": text}
            )
        if str(network) not in found:
            found.append(str(network))
    return tuple(found)


def _network(text: str) -> Network:
    facts = {"network": text[:64]}
    try:
        network = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError:
        raise BadInput(
            "bad_lan", f"“{text[:64]}” is not a network. Write it like 192.168.0.0/24, with the host part zero.", facts
        ) from None
    if "%" in text or (any(_within(network, outer) for outer in NEVER) and network.network_address != _LOOPBACK_V6):
        raise BadInput("bad_lan", f"{network} is not a network machines live in. Declare the machine's own LAN.", facts)
    special = any(_within(network, outer) for outer in NAMED_ONLY)
    widest = WIDEST_V6 if network.version == 6 else WIDEST_SPECIAL if special else WIDEST_V4
    if network.prefixlen < widest:
        raise BadInput("bad_lan", f"{network} is too wide. Declare /{widest} or smaller.", facts | {"widest": widest})
    return network


def usable_lan(networks: Sequence[str]) -> tuple[str, ...]:
    """Of the networks an agent reports, those that may be taken over as the declared LAN without a person's decision.

    Loopback and link-local stay out: naming them is an administrator's act.
    """
    usable: list[str] = []
    for text in networks[:MAX_NETWORKS]:
        try:
            network = _network(text)
        except BadInput:
            continue
        if not any(_within(network, outer) for outer in NAMED_ONLY) and str(network) not in usable:
            usable.append(str(network))
    return tuple(usable)


def check_host(text: str, lan: Sequence[str]) -> str:
    """Return the canonical form of a service's address.

    Raises BadInput: host_not_ip (a name, or an address not in its canonical form), host_forbidden (an address nobody
    may be sent to), host_outside_lan.
    """
    facts = {"host": text[:64], "lan": list(lan)}
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise BadInput(
            "host_not_ip", "Write the address in numbers, like 192.168.0.10. Names are not looked up.", facts
        )
    networks = [ipaddress.ip_network(network) for network in lan]
    forbidden = BadInput(
        "host_forbidden", f"{address} cannot be a machine's address. Choose one inside the declared LAN.", facts
    )
    if _inside(address, NEVER) and address != _LOOPBACK_V6:
        raise forbidden
    special = next((outer for outer in NAMED_ONLY if _inside(address, (outer,))), None)
    if special is not None:
        networks = [network for network in networks if _within(network, special)]
        if not _inside(address, networks):
            raise forbidden
    around = next((network for network in networks if _inside(address, (network,))), None)
    if around is None:
        raise BadInput("host_outside_lan", f"{address} is outside the device's declared LAN.", facts)
    whole = around.num_addresses > 2 and address.version == 4
    if whole and address in (around.network_address, around.broadcast_address):
        raise forbidden
    return str(address)


def check_protocol(protocol: str) -> str:
    """Return `protocol` when it is one we forward, or raise BadInput(bad_protocol)."""
    if protocol not in DEFAULT_PORTS:
        raise BadInput(
            "bad_protocol", "Choose http, https, vnc or rdp.", {"protocol": protocol[:16], "known": list(DEFAULT_PORTS)}
        )
    return protocol


def check_port(port: int | None, protocol: str) -> int:
    """Return the port, the protocol's usual one for None, or raise BadInput(bad_port)."""
    if port is None:
        return DEFAULT_PORTS[protocol]
    if not 1 <= port <= 65535:
        raise BadInput("bad_port", "A port is a number from 1 to 65535.", {"port": port})
    return port


def check_path(path: str) -> str:
    """Return the entry path of a service, "/" for an empty one, or raise BadInput(bad_path).

    The alphabet is that of RFC 3986 `path ["?" query]`; a leading "//" would be read as another host by a browser.
    """
    path = path or "/"
    if len(path) > MAX_PATH or path.startswith("//") or not _PATH.fullmatch(path):
        raise BadInput(
            "bad_path",
            f"A path starts with one “/”, has no spaces and at most {MAX_PATH} characters.",
            {"path": path[:64]},
        )
    return path


def check_tls(protocol: str, verify: str | None, pin: str | None) -> tuple[str, str | None]:
    """Return (verify, pin) for a service; None for `verify` means the strictest the protocol has.

    Only https has a certificate to check; what is said of it for other protocols means nothing.

    A pin is the SHA-256 of the certificate in hex, colons allowed. "pin" without one means that no certificate is
    trusted yet: the agent names the one it sees and connects to none. Raises BadInput: bad_tls_verify, bad_tls_pin.
    """
    if protocol != "https":
        return "none", None
    verify = verify or "ca"
    if verify not in TLS_VERIFY:
        raise BadInput("bad_tls_verify", "Choose none, ca or pin.", {"verify": verify[:16], "known": list(TLS_VERIFY)})
    if verify != "pin":
        return verify, None
    digest = (pin or "").replace(":", "").replace(" ", "").lower()
    if not digest:
        return "pin", None
    if not _PIN.fullmatch(digest):
        raise BadInput("bad_tls_pin", "Paste the certificate's SHA-256 fingerprint: 64 hexadecimal digits.", {})
    return "pin", digest
