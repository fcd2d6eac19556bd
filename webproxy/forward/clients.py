"""A browser's address: the socket's, or the one a trusted load balancer tells; others' word counts for nothing."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Clients:
    """Knows which peers are load balancers; `trusted` are addresses or networks, separated by commas."""

    def __init__(self, trusted: str = "") -> None:
        self.networks: list[Network] = [
            ipaddress.ip_network(part.strip(), strict=False) for part in trusted.split(",") if part.strip()
        ]

    def trusts(self, address: str) -> bool:
        """Whether a load balancer has this address."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)

    def address(self, peer: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> str:
        """The address of the browser behind `peer`, with the raw request `headers`.

        X-Forwarded-For is read from its end, as far as trusted load balancers wrote it.
        """
        address = peer[0] if peer else ""
        if not self.networks or not self.trusts(address):
            return address
        hops = b",".join(value for name, value in headers if name.lower() == b"x-forwarded-for").split(b",")
        for hop in reversed(hops):
            text = hop.strip().decode("latin-1")
            try:
                ipaddress.ip_address(text)
            except ValueError:
                return address
            address = text
            if not self.trusts(text):
                return text
        return address
