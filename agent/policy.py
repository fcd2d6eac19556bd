"""Which addresses this agent may dial: a pure decision, made again for every stream.

The order of the rules, first match wins:

1. Only an IP literal in its canonical notation; names, `127.1`, `0x7f.1`, decimal numbers, zone ids are refused.
2. The owner's "deny all but" list, when there is one: an address outside it is refused, whoever asks.
3. Always-deny ranges and this machine's own addresses: refused, unless the owner's `--allow` names exactly that one.
4. The owner's `--allow` list: addresses and networks.
5. The declared LAN of the signed configuration: private addresses only, never a network's own or broadcast address.
6. Everything else is refused.

A service that nobody listed (an address in a link made it: kind "adhoc") passes a second decision, `decide_unlisted`,
by the firewall level: the server's from the signed configuration or the owner's own, whichever is the stricter.

The list of rule 3 follows RFC 6890 (special-purpose addresses), RFC 4291 2.5.5 (IPv4 inside IPv6), RFC 6052 and
RFC 8215 (NAT64), and the metadata addresses of the large clouds.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Each with the word that a log line or an error page shows.
ALWAYS_DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), word)
    for text, word in (
        ("0.0.0.0/8", "this_network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link_local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("100.100.100.200/32", "cloud_metadata"),
        ("168.63.129.16/32", "cloud_metadata"),
        ("192.0.0.0/24", "reserved"),
        ("::/128", "this_network"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "ipv4_in_ipv6"),
        ("::/96", "ipv4_in_ipv6"),
        ("::ffff:0:0:0/96", "ipv4_in_ipv6"),
        ("2002::/16", "ipv4_in_ipv6"),
        ("2001::/32", "ipv4_in_ipv6"),
        ("64:ff9b::/96", "nat64"),
        ("64:ff9b:1::/48", "nat64"),
        ("fd00:ec2::/32", "cloud_metadata"),
        ("fe80::/10", "link_local"),
        ("fec0::/10", "link_local"),
        ("ff00::/8", "multicast"),
    )
)

# A declared LAN reaches only these; a plant that uses public addresses inside says so with --allow on the machine
# itself, so that nobody on the server's side can turn an agent into a door to the Internet.
PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)

LOWEST_PORT, HIGHEST_PORT = 1, 65535

# Firewall levels, the widest first. What the first allows is said in `decide_unlisted`; the others allow nothing
# unlisted, and neither does a level that a later version may know.
LEVELS = ("standard", "high", "enforced", "ultra")
WIDEST = LEVELS[0]
DEFAULT_LEVEL = "enforced"


@dataclass(frozen=True, slots=True)
class OwnerPolicy:
    """What the machine's owner decided on the machine itself; no server overrides it.

    `level`: the widest firewall level that he permits.
    """

    allow: tuple[Network, ...] = ()
    only: tuple[Network, ...] | None = None
    level: str = WIDEST


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything a decision depends on: declared LAN, the owner's policy, this machine's own addresses, the level."""

    lan: tuple[Network, ...] = ()
    owner: OwnerPolicy = field(default_factory=OwnerPolicy)
    own: frozenset[Address] = frozenset()
    level: str = DEFAULT_LEVEL


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed`, and the rule that said so in one short word (`outside_lan`, `loopback`, ...)."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def parse_address(text: str) -> Address | None:
    """The address when `text` is an IP literal in plain notation, else None (names, zone ids, short forms, blanks)."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks of addresses and CIDR texts. Raises ValueError naming the text that is neither."""
    found: list[Network] = []
    for text in texts:
        if "%" in text:
            raise ValueError(f"{text!r} is not an IP address or network")
        try:
            found.append(ip_network(text, strict=False))
        except ValueError as error:
            raise ValueError(f"{text!r} is not an IP address or network") from error
    return tuple(found)


def decide(host: str, port: int, rules: Rules) -> Decision:
    """May this agent open a TCP connection to `host`:`port`? Pure; see the rules at the top of the module."""
    address = parse_address(host)
    if address is None:
        return Decision(False, "not_an_ip_address")
    if isinstance(port, bool) or not LOWEST_PORT <= port <= HIGHEST_PORT:
        return Decision(False, "bad_port")
    owner = rules.owner
    if owner.only is not None and not _inside(address, owner.only):
        return Decision(False, "not_in_owner_list")
    denied = _always_denied(address, rules)
    if denied is not None:
        if _named_exactly(address, owner.allow):
            return Decision(True, "owner_allow")
        return Decision(False, denied)
    if _inside(address, owner.allow):
        return Decision(True, "owner_allow")
    if not _inside(address, rules.lan):
        return Decision(False, "outside_lan")
    if not _inside(address, PRIVATE):
        return Decision(False, "public_address")
    return Decision(True, "lan")


def decide_unlisted(host: str, listed: Collection[str], rules: Rules) -> Decision:
    """May a service that nobody listed be dialled at this host? Beside `decide`, which every service must pass.

    Only inside the declared LAN, and never this machine's own addresses, also where the owner allows more: he had the
    services in mind that are listed there. `listed` are the hosts of listed services.
    """
    level = strictest(rules.level, rules.owner.level)
    address = parse_address(host)
    if address in rules.own:
        return Decision(False, "own_address")
    if address is None or not _inside(address, rules.lan):
        return Decision(False, "outside_lan")
    if level == "high" and host not in listed:
        return Decision(False, "host_not_listed")
    if level not in ("standard", "high"):
        return Decision(False, "level")
    return Decision(True, level)


def strictest(*levels: str) -> str:
    """The strictest of several levels; an unknown one counts as the strictest there is."""
    return max(levels, key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS))


def in_ticket(service_id: str, services: Collection[str]) -> bool:
    """Is this service one of those that the circuit's ticket names? An empty ticket names none."""
    return bool(service_id) and service_id in services


def _always_denied(address: Address, rules: Rules) -> str | None:
    if address in rules.own:
        return "own_address"
    for network, word in ALWAYS_DENIED:
        if address.version == network.version and address in network:
            return word
    for network in rules.lan:
        # A /31, /32, /127 or /128 has no network or broadcast address (RFC 3021).
        if address.version == network.version and network.num_addresses > 2 and isinstance(network, IPv4Network):
            if address == network.broadcast_address:
                return "broadcast"
            if address == network.network_address:
                return "this_network"
    return None


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _named_exactly(address: Address, networks: Iterable[Network]) -> bool:
    return any(network.num_addresses == 1 and network.network_address == address for network in networks)
