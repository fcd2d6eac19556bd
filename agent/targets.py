"""The agent's own list of services: the signed configuration, checked, never replaced by an older one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar, get_args

from agent.policy import DEFAULT_LEVEL, Network, parse_networks
from panelgate.errors import BadInput, Refused
from panelgate.log import get_logger
from panelgate.options import CA_LIMIT, DEFAULTS, Compress, TlsProfile
from panelgate.tickets import Verifier

log = get_logger(__name__)

TlsVerify = Literal["none", "ca", "pin"]
VERIFY: Final[tuple[TlsVerify, ...]] = get_args(TlsVerify)
PROFILES: Final[tuple[TlsProfile, ...]] = get_args(TlsProfile)
COMPRESS: Final[tuple[Compress, ...]] = get_args(Compress)
PROTOCOLS = frozenset({"http", "https", "vnc", "rdp"})
LISTED: Final = frozenset({"lan", "agent"})  # kinds of services that a person wrote down; of others the level decides
SERVICES_LIMIT = 1024  # a large plant has dozens; a configuration beyond this is a mistake

Chosen = TypeVar("Chosen", bound=str)


@dataclass(frozen=True, slots=True)
class Service:
    """One target on the LAN.

    `listed` is false for what an address in a link made: it opens only at a firewall level that allows it.
    `pin` is the hex SHA-256 of the certificate's DER form, with verify "pin"; None then means that nobody has accepted
    a certificate yet, and nothing is ever sent. `ca` is PEM, with verify "ca"; empty means the system's authorities.
    """

    id: str
    slug: str
    name: str
    host: str
    port: int
    protocol: str
    verify: TlsVerify = "none"
    pin: str | None = None
    profile: TlsProfile = "modern"
    ca: str = ""
    compress: Compress = "off"
    listed: bool = True

    @property
    def dialled(self) -> tuple[object, ...]:
        """Where a connection leads and whom it trusts: one that was opened for something else may not go on."""
        return self.host, self.port, self.protocol, self.verify, self.pin, self.profile, self.ca


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the access server signed for this device."""

    device_id: str
    version: int
    lan: tuple[Network, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    level: str = DEFAULT_LEVEL

    @property
    def listed_hosts(self) -> frozenset[str]:
        """The hosts that have a listed service."""
        return frozenset(service.host for service in self.services.values() if service.listed)


class Targets:
    """The configuration in force; empty (so: nothing may be dialled) until one is accepted."""

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        self.configuration = Configuration(device_id, 0)

    @property
    def version(self) -> int:
        """Version of the configuration in force; 0 when there is none yet."""
        return self.configuration.version

    def service(self, service_id: str) -> Service | None:
        """The service of that id, if this device has it."""
        return self.configuration.services.get(service_id)

    def accept(self, token: str, verifier: Verifier) -> Configuration:
        """Put the signed configuration `token` in force and return it.

        TicketRefused: not signed by the access server. Refused: `wrong_device`, `old_config`. BadInput: `bad_config`.
        """
        found = parse(verifier.config(token))
        if found.device_id != self._device_id:
            raise Refused("wrong_device", "the configuration is for another device")
        if found.version < self.version:
            raise Refused(
                "old_config",
                "the configuration is older than the one in force",
                {"offered": found.version, "have": self.version},
            )
        self.configuration = found
        return found


def parse(claims: Mapping[str, Any]) -> Configuration:
    """A configuration from its signed claims. BadInput("bad_config") when its frame is wrong.

    A single service that makes no sense is left out and logged: the others must go on working.
    """
    device_id, version = claims.get("device_id"), claims.get("version")
    rows, lan = claims.get("services"), claims.get("lan")
    if not isinstance(device_id, str) or not isinstance(rows, list) or not isinstance(lan, list):
        raise BadInput("bad_config", "the configuration is incomplete")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1 or len(rows) > SERVICES_LIMIT:
        raise BadInput("bad_config", "the configuration's version or size makes no sense")
    try:
        networks = parse_networks(str(text) for text in lan)
    except ValueError as error:
        raise BadInput("bad_config", f"the configuration's LAN makes no sense: {error}") from error
    services: dict[str, Service] = {}
    for row in rows:
        service = _service(row)
        if service is None:
            log.warning("service left out", service=row.get("id") if isinstance(row, dict) else None)
        else:
            services[service.id] = service
    level = claims.get("level", DEFAULT_LEVEL)
    return Configuration(device_id, version, networks, services, level if isinstance(level, str) else "")


def _service(row: object) -> Service | None:
    if not isinstance(row, dict):
        return None
    texts = [row.get(name) for name in ("id", "slug", "name", "host", "protocol")]
    port = row.get("port")
    if not all(isinstance(text, str) for text in texts) or not isinstance(port, int) or isinstance(port, bool):
        return None
    ident, slug, name, host, protocol = (str(text) for text in texts)
    if not ident or protocol not in PROTOCOLS:
        return None
    made = Service(ident, slug, name, host, port, protocol, listed=str(row.get("kind", "lan")) in LISTED)
    if protocol in ("http", "https"):
        # A later version's way to compress is one that we don't have; a web page works without.
        made = replace(made, compress=_choice(row.get("compress", DEFAULTS.compress), COMPRESS) or "off")
    return _with_tls(made, row.get("tls")) if protocol == "https" else made


def _with_tls(service: Service, tls: object) -> Service | None:
    """The service with its TLS settings; None when they make no sense: none of them may turn into "anything goes"."""
    if not isinstance(tls, dict):
        return None
    verify, pin, ca = _choice(tls.get("verify"), VERIFY), tls.get("pin"), tls.get("ca", "")
    profile = _choice(tls.get("profile", "modern"), PROFILES)
    if verify is None or profile is None or not isinstance(ca, str) or len(ca) > CA_LIMIT:
        return None
    service = replace(service, verify=verify, profile=profile, ca=ca if verify == "ca" else "")
    if verify != "pin" or pin is None:
        return service
    digits = normal_pin(pin) if isinstance(pin, str) else None
    return None if digits is None else replace(service, pin=digits)


def _choice(value: object, choices: tuple[Chosen, ...]) -> Chosen | None:
    return next((choice for choice in choices if choice == value), None)


def normal_pin(text: str) -> str | None:
    """64 lower-case hex digits of a fingerprint in any usual spelling (colons, blanks, capitals), else None."""
    digits = text.replace(":", "").replace(" ", "").lower()
    return digits if len(digits) == 64 and set(digits) <= set("0123456789abcdef") else None
