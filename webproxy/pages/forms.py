"""Reading forms: trimmed fields, and one place for what was wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.names import account_ok, slug_ok
from webproxy.pages.words import sentence

# What access demands as well; said here so that the form can say it beforehand.
OPTION = "option_"  # before the names of options, which are also those of other fields
PIN = re.compile(r"[0-9a-f]{64}")  # a certificate's SHA-256 as access keeps it
PASSWORD_MIN = 10
PASSWORD_MAX = 256
# Which field an answer of access is about; others are shown above the form.
FIELDS = {
    "slug_taken": "slug", "bad_slug": "slug", "user_taken": "user", "bad_user_name": "user", "account_taken": "account",
    "bad_account": "account", "weak_password": "password", "bad_lan": "lan", "host_not_ip": "host",
    "host_forbidden": "host", "host_outside_lan": "host", "bad_port": "port", "bad_path": "path",
    "bad_tls_pin": "tls_pin", "bad_password": "password", "label_taken": "slug", "bad_name": "name",
    "bad_description": "description", "bad_tls_verify": "tls_verify",
}  # fmt: skip


@dataclass
class Problems:
    """What is wrong with a form: a sentence per field, and one for the whole ("")."""

    found: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, name: str, sentence: str) -> None:
        """Note what is wrong with a field; the first note stays."""
        self.found.setdefault(name, sentence)

    def take(self, error: PanelgateError) -> None:
        """Note what access said; errors that are no answer to the form go on their way."""
        if error.status in {401, 404} or (isinstance(error, Unavailable) and error.status != 409):
            raise error
        if not isinstance(error, (BadInput, Refused, Unavailable)):
            raise error
        if error.code == "host_outside_lan":
            self.add("host", outside(error.facts))
            return
        if error.code == "bad_option":
            self.add(OPTION + str(error.facts.get("option")), sentence(error.message))
            return
        self.add(FIELDS.get(error.code, ""), sentence(error.message))


def outside(facts: Mapping[str, Any]) -> str:
    """Say that an address is in none of the machine's networks, and what to do about it."""
    networks = " or ".join(str(network) for network in facts.get("lan") or [])
    if not networks:
        return "This machine has no network yet. Write its network first, under “Change” on the machine's page."
    return (
        f"{facts.get('host')} is not in the machine's network, {networks}. Correct the address, or add its network "
        "under “Change” on the machine's page."
    )


def check_slug(problems: Problems, name: str, slug: str, *, account: bool = False) -> None:
    """Check a name that will stand in addresses."""
    if not slug:
        problems.add(name, "Give it a short name for addresses.")
    elif not slug_ok(slug):
        problems.add(name, "Use a to z, 0 to 9 and single hyphens between them, at most 32 characters.")
    elif account and not account_ok(slug):
        problems.add(name, f"“{slug}” is a word of Panelgate's own addresses. Choose another.")


def check_password(problems: Problems, password: str, repeated: str | None, name: str = "password") -> None:
    """Check a new password: its length, and that it was typed the same twice."""
    if len(password) < PASSWORD_MIN:
        problems.add(name, f"Use at least {PASSWORD_MIN} characters.")
    elif len(password) > PASSWORD_MAX:
        problems.add(name, f"Use at most {PASSWORD_MAX} characters.")
    elif repeated is not None and repeated != password:
        problems.add("repeated", "The two passwords differ.")


def check_port(problems: Problems, name: str, text: str) -> int:
    """Return a TCP port, or 0 with a note."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    problems.add(name, "A port is a number from 1 to 65535.")
    return 0


def check_host(problems: Problems, name: str, text: str) -> str:
    """Return an address on the machine's LAN, or note that it is none."""
    try:
        return str(ip_address(text))
    except ValueError:
        problems.add(name, "Give the panel's IP address, such as 192.168.0.12.")
        return text


def read_networks(problems: Problems, name: str, text: str) -> list[str]:
    """Return the networks of a field (separated by commas, spaces or lines), or note which is none."""
    networks = []
    for word in text.replace(",", " ").split():
        try:
            networks.append(str(ip_network(word, strict=False)))
        except ValueError:
            problems.add(name, f"“{word}” is no network. Write it like 192.168.0.0/24.")
    return networks
