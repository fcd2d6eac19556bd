"""Tickets: short-lived signed permissions that relays and agents verify without asking anybody.

Signed by the access server with Ed25519 (RFC 8037, RFC 9864) as JWTs (RFC 7519). Three kinds, told apart by `typ`,
so that none can be used as another:

* ``pg-circuit``  one web proxy may open one circuit to one device, for the services named
* ``pg-control``  one agent may keep its control connection at one relay
* ``pg-config``   an agent's configuration: not a permission that travels, but signed by the same keys
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from panelgate.errors import Refused

ALGORITHM = "Ed25519"
ISSUER = "panelgate-access"
CIRCUIT_SECONDS = 120  # a click, a slow line and one retry
CONTROL_SECONDS = 120
SKEW_SECONDS = 30  # clocks at plants drift; a ticket's life is short enough to allow this

CIRCUIT_TYPE = "pg-circuit"
CONTROL_TYPE = "pg-control"
CONFIG_TYPE = "pg-config"


class TicketRefused(Refused):
    """A ticket that must not be honoured.

    Codes: bad_ticket, ticket_expired, ticket_not_yet_valid, unknown_key.
    """


@dataclass(frozen=True, slots=True)
class CircuitTicket:
    """What a web proxy may open. `expires` is unix time in seconds; ids are opaque strings."""

    circuit_id: str
    account_id: str
    user_id: str
    session_id: str
    device_id: str
    services: tuple[str, ...]
    read_only: bool
    webproxy_id: str
    webproxy_fingerprint: str
    relay_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class ControlTicket:
    """Which agent may keep its control connection at which relay; `counter` grows with every connect of the device."""

    device_id: str
    agent_fingerprint: str
    relay_id: str
    counter: int
    expires: float


def new_signing_key() -> dict[str, Any]:
    """A new Ed25519 key as a private JWK with its id."""
    key = OKPKey.generate_key("Ed25519")
    return {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": ALGORITHM, "use": "sig"}


def public_part(private: Mapping[str, Any]) -> dict[str, Any]:
    """The public JWK of a private one."""
    return {name: value for name, value in private.items() if name != "d"}


class Signer:
    """Makes tickets with the newest signing key of the access server."""

    def __init__(self, private: Mapping[str, Any]) -> None:
        self._key = OKPKey.import_key(dict(private))
        self._kid = str(private["kid"])

    def _header(self, kind: str) -> dict[str, Any]:
        return {"alg": ALGORITHM, "kid": self._kid, "typ": kind}

    def _jwt(self, kind: str, claims: dict[str, Any], now: float) -> str:
        # Rounded down: a token made in the same second must not be "not yet valid".
        return jwt.encode(
            self._header(kind), {"iss": ISSUER, "iat": int(now), **claims}, self._key, algorithms=[ALGORITHM]
        )

    def circuit(self, ticket: CircuitTicket, now: float) -> str:
        """The signed form of a circuit ticket."""
        claims = {
            "jti": ticket.circuit_id, "acc": ticket.account_id, "usr": ticket.user_id, "sid": ticket.session_id,
            "dev": ticket.device_id, "svc": list(ticket.services), "ro": ticket.read_only, "wpx": ticket.webproxy_id,
            "wpf": ticket.webproxy_fingerprint, "rly": ticket.relay_id, "exp": int(ticket.expires),
        }  # fmt: skip
        return self._jwt(CIRCUIT_TYPE, claims, now)

    def control(self, ticket: ControlTicket, now: float) -> str:
        """The signed form of a control ticket."""
        claims = {
            "dev": ticket.device_id, "agf": ticket.agent_fingerprint, "rly": ticket.relay_id,
            "ctr": ticket.counter, "exp": int(ticket.expires),
        }  # fmt: skip
        return self._jwt(CONTROL_TYPE, claims, now)

    def config(self, configuration: Mapping[str, Any]) -> str:
        """An agent's configuration, signed; it does not expire, its `version` only grows."""
        return jwt.encode(
            self._header(CONFIG_TYPE), {"iss": ISSUER, "cfg": dict(configuration)}, self._key, algorithms=[ALGORITHM]
        )


class Verifier:
    """Checks tickets with the access server's public keys."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = KeySet.import_key_set({"keys": [public_part(key) for key in jwks["keys"]]})
        self.key_ids = frozenset(str(key["kid"]) for key in jwks["keys"])

    @classmethod
    def of(cls, *private: Mapping[str, Any]) -> Self:
        """A verifier for the given private keys' public parts."""
        return cls({"keys": [public_part(key) for key in private]})

    def _claims(self, token: str, kind: str) -> dict[str, Any]:
        try:
            # Checked before the key is looked up, so that a missing key is told apart from a forged ticket.
            header = jws.extract_compact(token.encode()).headers()
            if header.get("kid") not in self.key_ids:
                raise TicketRefused("unknown_key", "the ticket is signed with a key that is not known here")
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
        except (JoseError, ValueError, UnicodeError, KeyError, TypeError) as error:
            raise TicketRefused("bad_ticket", "the ticket is not valid") from error
        if decoded.header.get("typ") != kind or decoded.claims.get("iss") != ISSUER:
            raise TicketRefused("bad_ticket", "the ticket is of another kind")
        return dict(decoded.claims)

    @staticmethod
    def _check_time(claims: Mapping[str, Any], now: float) -> None:
        if not isinstance(claims.get("exp"), int) or not isinstance(claims.get("iat"), int):
            raise TicketRefused("bad_ticket", "the ticket has no times")
        if now > claims["exp"] + SKEW_SECONDS:
            raise TicketRefused("ticket_expired", "the ticket has expired", {"seconds": int(now - claims["exp"])})
        if now < claims["iat"] - SKEW_SECONDS:
            raise TicketRefused("ticket_not_yet_valid", "the ticket is from the future: is the clock right?")

    def circuit(self, token: str, now: float) -> CircuitTicket:
        """The circuit ticket in `token`, valid at unix time `now`. TicketRefused otherwise."""
        claims = self._claims(token, CIRCUIT_TYPE)
        self._check_time(claims, now)
        try:
            return CircuitTicket(
                circuit_id=_text(claims["jti"]),
                account_id=_text(claims["acc"]),
                user_id=_text(claims["usr"]),
                session_id=_text(claims["sid"]),
                device_id=_text(claims["dev"]),
                services=tuple(_text(service) for service in claims["svc"]),
                # Anything but an outright "false" is read-only.
                read_only=claims["ro"] is not False,
                webproxy_id=_text(claims["wpx"]),
                webproxy_fingerprint=_text(claims["wpf"]),
                relay_id=_text(claims["rly"]),
                expires=claims["exp"],
            )
        except (KeyError, TypeError) as error:
            raise TicketRefused("bad_ticket", "the ticket lacks a claim") from error

    def control(self, token: str, now: float) -> ControlTicket:
        """The control ticket in `token`, valid at unix time `now`. TicketRefused otherwise."""
        claims = self._claims(token, CONTROL_TYPE)
        self._check_time(claims, now)
        try:
            counter = claims["ctr"]
            if type(counter) is not int:
                raise TypeError
            return ControlTicket(
                _text(claims["dev"]), _text(claims["agf"]), _text(claims["rly"]), counter, claims["exp"]
            )
        except (KeyError, TypeError) as error:
            raise TicketRefused("bad_ticket", "the ticket lacks a claim") from error

    def config(self, token: str) -> dict[str, Any]:
        """The agent configuration in `token`. TicketRefused when a byte of it was changed."""
        configuration = self._claims(token, CONFIG_TYPE).get("cfg")
        if not isinstance(configuration, dict):
            raise TicketRefused("bad_ticket", "the configuration is empty")
        return configuration


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a claim must be a text")
    return value
