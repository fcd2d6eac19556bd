"""A service's options as access keeps them: checked against the device's other services, and told to the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from access.db import Unit
from access.models.machines import Service
from panelgate.errors import BadInput
from panelgate.options import CA_LIMIT, DEFAULTS, ServiceOptions

WEB: Final = frozenset({"http", "https"})  # options are for these protocols; for others they mean nothing
SHOWN: Final = 200  # characters of one header that the audit keeps: which one it was shows, and rows stay small


def check(unit: Unit, service: Service, given: Mapping[str, Any] | ServiceOptions) -> dict[str, Any]:
    """The stored form of a service's options, for its protocol as it is now.

    BadInput(bad_option) with the option's name in its facts.
    """
    if service.protocol not in WEB:
        return {}
    if isinstance(given, Mapping):
        # What a newer version may store and this one passes over, nobody may ask this one to keep.
        unknown = sorted(set(given) - {field.name for field in fields(ServiceOptions)})
        if unknown:
            raise _bad(unknown[0][:64], f"There is no option “{unknown[0][:64]}”.")
        options = ServiceOptions.of(given)
    else:
        options = given
        options.check()
    _check_companions(unit, service, options)
    if options.auth != "none" and not options.user:
        raise _bad("user", "Give the user name with which the panel is signed in to.")
    stored = options.as_json()
    if options.tls_ca:
        stored["tls_ca"] = _only_certificates(options.tls_ca)
    return stored


def _check_companions(unit: Unit, service: Service, options: ServiceOptions) -> None:
    if len(set(options.companions)) != len(options.companions):
        raise _bad("companions", "A companion is named twice.")
    others = unit.all(
        Service, Service.device_id == service.device_id, Service.protocol.in_(WEB),
        Service.kind != "agent",  # a panel's pages have no business with the agent's own
    )  # fmt: skip
    known = {other.slug for other in others} - {service.slug}
    for slug in options.companions:
        if slug not in known:
            raise _bad("companions", f"“{slug}” is no other web page of this machine.")


def _only_certificates(text: str) -> str:
    """The certificates of a PEM text and nothing else: it goes to agents and is shown to managers."""
    if "PRIVATE KEY" in text:
        raise _bad("tls_ca", "That holds a private key. Paste the authority's certificate alone.")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise _bad("tls_ca", "That can't be read as a certificate. Paste it from BEGIN to END CERTIFICATE.") from error
    text = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in found)
    if len(text) > CA_LIMIT:
        # Written anew it can be longer than what was pasted; what is stored must be what can be read again.
        raise _bad("tls_ca", "That is too long. Paste the one authority's certificate that signs the panel's.")
    return text


def told(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored options as the audit keeps them: short, and by name."""
    shown = dict(stored)
    if "headers" in shown:
        shown["headers"] = [f"{name}: {value}"[:SHOWN] for name, value in shown["headers"]]
    if "tls_ca" in shown:
        found = x509.load_pem_x509_certificates(shown["tls_ca"].encode())
        shown["tls_ca"] = [f"sha256 {certificate.fingerprint(SHA256()).hex()}" for certificate in found]
    return shown


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Which options differ, each with what the audit shows of it before and after."""
    old, new = told(before), told(after)
    return {
        key: [old.get(key, getattr(DEFAULTS, key, None)), new.get(key, getattr(DEFAULTS, key, None))]
        for key in sorted(set(before) | set(after))
        if before.get(key) != after.get(key)
    }


def forget_companion(unit: Unit, service: Service) -> list[str]:
    """`service` is no web page any more: the others of its device no longer name it; the slugs of those that did."""
    found = []
    for other in unit.all(Service, Service.device_id == service.device_id, Service.id != service.id):
        named = other.options.get("companions") or []
        if service.slug in named:
            left = [slug for slug in named if slug != service.slug]
            rest = {key: value for key, value in other.options.items() if key != "companions"}
            other.options = rest | ({"companions": left} if left else {})
            found.append(other.slug)
    return found


def _bad(option: str, why: str) -> BadInput:
    return BadInput("bad_option", why, {"option": option})
