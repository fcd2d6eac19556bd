"""What the web proxy asks about machines: devices, deep links, the hand-off, circuits, connections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from access import (
    certificates,
    circuits,
    connections,
    devices,
    handoffs,
    permissions,
    public_ports,
    resolve,
    service_sessions,
    summaries,
)
from access.api.agent import RelayAt
from access.api.deps import Body, ClientBody, FullSession, Parts, caller
from access.api.relay import Done
from panelgate.errors import BadInput
from panelgate.pki import Peer, Role

FROM_WEBPROXY = Depends(caller(Role.WEBPROXY))
router = APIRouter(prefix="/webproxy/v1", tags=["web proxy: machines"], dependencies=[FROM_WEBPROXY])

REPORTS_LIMIT = 4000  # connections in one report; the body's limit is about that many

ThisWebproxy = Annotated[Peer, FROM_WEBPROXY]
Token = Annotated[str, Field(max_length=200)]
Label = Annotated[str, Field(max_length=63)]
Word = Annotated[str, Field(max_length=200)]
Id = Annotated[str, Field(max_length=64)]
Count = Annotated[int, Field(ge=0, le=2**62)]


class Resolve(Body):
    """A deep link's parts: with `service`, with `ip` and perhaps `port`, or the device alone.

    `names`: other readings of the device's part. `open`: the person asked for it, so that an address which no service
    has may become one.
    """

    account: Word
    device: Word
    service: Word | None = None
    ip: Word | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    names: Annotated[list[Word], Field(max_length=2)] = Field(default_factory=list)
    open: bool = False


class Handoff(Body):
    """What is to be opened; `nonce_hash` is the hex SHA-256 of the nonce in the browser's cookie there.

    `public_port` instead of a label: where services have ports, the browser came with nothing else.
    """

    host_label: Label = ""
    public_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    nonce_hash: Annotated[str, Field(max_length=64)]


class Code(BaseModel):
    """A one-time code, good for a minute, and whose it is."""

    code: str
    host_label: str


class AtPort(BaseModel):
    """The service that has a port as its origin; empty when none has."""

    host_label: str


class Redeem(Body):
    """A code as the browser brought it to the service's origin."""

    host_label: Label
    nonce_hash: Annotated[str, Field(max_length=64)]
    code: Token


class AtService(Body):
    """A browser's session at a service's origin."""

    service_token: Token
    host_label: Label


class LookUp(AtService):
    """`active`: a person did something, idle time starts again."""

    active: bool


class OpenCircuit(AtService):
    """A circuit to open, for web services or for a viewer."""

    purpose: Literal["http", "viewer"]


class CertificateRefused(AtService):
    """What a panel showed: the hex SHA-256 of its certificate."""

    fingerprint: Annotated[str, Field(max_length=64)]


class Begin(AtService):
    """A connection that begins."""

    circuit_id: Id
    client: ClientBody
    companion: Id | None = None  # another service, which the pages of this one use


class Begun(BaseModel):
    """The connection's id, for its reports."""

    connection_id: str


class Ended(Body):
    """Why a connection ended."""

    reason: Annotated[str, Field(max_length=300)]


class ConnectionReport(Body):
    """One connection: bytes since its start (`up` towards the device), last activity, and its end."""

    id: Id
    bytes_up: Count
    bytes_down: Count
    last_activity: Annotated[str, Field(max_length=40)]
    ended: Ended | None = None


class ConnectionReports(Body):
    """A web proxy's report, every five seconds."""

    connections: list[ConnectionReport] = Field(max_length=REPORTS_LIMIT)


@router.get("/devices")
def list_devices(
    kernel: Parts,
    who: FullSession,
    q: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[str, Query(max_length=16)] = "",
    limit: Annotated[int, Query(ge=1, le=summaries.LARGEST_PAGE)] = summaries.LARGEST_PAGE,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> dict[str, Any]:
    """The devices the user may see: {devices, total, counts}."""
    with kernel.store.account(who.account_id) as unit:
        rights = permissions.rights_of(unit, who.user_id, who.role)
        return summaries.device_list(unit, rights, q=q, status=status, limit=limit, offset=offset)


@router.get("/devices/{slug}")
def get_device(kernel: Parts, who: FullSession, slug: str) -> dict[str, Any]:
    """One device's page. 404 for what is unknown, foreign or not to be seen."""
    with kernel.store.account(who.account_id) as unit:
        device = devices.by_slug(unit, slug)
        rights = permissions.rights_of(unit, who.user_id, who.role)
        rights.require("device.see", device.id)
        return summaries.device_detail(unit, rights, device)


@router.post("/resolve")
def resolve_link(kernel: Parts, who: FullSession, body: Resolve) -> dict[str, Any]:
    """What a deep link names: {host_label, device, service} and for an address without service `offer` or `missing`.

    404, the same for unknown and foreign. 429 too_many_addresses, too_many_calls when one person opens too many.
    """
    link = resolve.Link(body.account, body.device, body.service, body.ip, body.port, tuple(body.names))
    found = resolve.resolve(kernel.store, who, link, kernel.refusals)
    if not body.open or "offer" not in found:
        return public_ports.complete(kernel.store, kernel.service_ports, who.account_id, found)
    kernel.addresses.hit("address", who.user_id)
    taken = resolve.take(kernel.store, kernel.keyring, who, found)
    return public_ports.complete(kernel.store, kernel.service_ports, who.account_id, taken)


@router.post("/handoff")
def create_handoff(kernel: Parts, who: FullSession, body: Handoff) -> Code:
    """A one-time code that carries the sign-in to a service's origin."""
    with kernel.store.account(who.account_id, write=True) as unit:
        port = body.public_port
        label = body.host_label if port is None else public_ports.label_in(unit, port)
        return Code(code=handoffs.create(unit, who, label, body.nonce_hash), host_label=label)


@router.get("/ports/{port}")
def service_at_port(kernel: Parts, port: Annotated[int, Path(ge=1, le=65535)]) -> AtPort:
    """Which service a port is the origin of."""
    return AtPort(host_label=public_ports.label_at(kernel.store, port))


@router.post("/handoff/redeem")
def redeem_handoff(kernel: Parts, body: Redeem) -> dict[str, Any]:
    """Exchange the code for a session there: {service_token, service_session}."""
    token, held = handoffs.redeem(kernel.store, kernel.limits, body.code, body.host_label, body.nonce_hash)
    return {"service_token": token, "service_session": service_sessions.as_json(held)}


@router.post("/service-session")
def look_up(kernel: Parts, body: LookUp) -> dict[str, Any]:
    """The session behind a token, looked at anew: {service_session}. 401 no_session when it is over."""
    held = service_sessions.look_up(
        kernel.store, kernel.limits, body.service_token, body.host_label, active=body.active
    )
    return {"service_session": service_sessions.as_json(held)}


@router.post("/service-session/end")
def end_service_session(kernel: Parts, body: AtService) -> Done:
    """Sign out of one service. The answer is the same when there is no such session (any more)."""
    service_sessions.end(kernel.store, kernel.limits, body.service_token, body.host_label)
    return Done()


@router.post("/circuits")
def open_circuit(kernel: Parts, peer: ThisWebproxy, body: OpenCircuit) -> dict[str, Any]:
    """A ticket for a circuit: {circuit_id, ticket, relay, agent, credentials}. 409 device_offline.

    The only answer of the API that carries passwords: a viewer's {password} for the web proxy's handshake with the
    panel, or {services: {id: {user, password}}} for the web services at which it signs in for the user.
    """
    made = circuits.authorise(
        kernel.store, kernel.limits, kernel.keyring, peer,
        token=body.service_token, host_label=body.host_label, purpose=body.purpose,
    )  # fmt: skip
    return _circuit(made) | {"credentials": _credentials(made)}


def _circuit(made: circuits.Authorised) -> dict[str, Any]:
    return {
        "circuit_id": made.circuit_id,
        "ticket": made.ticket,
        "relay": RelayAt(id=made.relay.id, url=made.relay.url),
        "agent": {"id": made.device.id, "fingerprint": made.device.fingerprint},
    }


def _credentials(made: circuits.Authorised) -> dict[str, Any] | None:
    if made.password:
        return {"password": made.password.reveal()}
    found = {key: {"user": user, "password": password.reveal()} for key, (user, password) in made.sign_ins.items()}
    return {"services": found} if found else None


@router.post("/services/{service_id}/look")
def look_at_certificate(kernel: Parts, peer: ThisWebproxy, who: FullSession, service_id: str) -> dict[str, Any]:
    """A ticket to ask the agent which certificate a service shows now, for who may change the service."""
    return _circuit(circuits.authorise_look(kernel.store, kernel.keyring, peer, who, service_id))


@router.post("/certificate-refused")
def certificate_refused(kernel: Parts, body: CertificateRefused) -> Done:
    """The agent refused a panel's certificate: an event for the audit, at most one an hour for each certificate."""
    certificates.refused(
        kernel.store, kernel.limits, token=body.service_token, host_label=body.host_label,
        fingerprint=body.fingerprint,
    )  # fmt: skip
    return Done()


@router.post("/connections")
def begin_connection(kernel: Parts, peer: ThisWebproxy, body: Begin) -> Begun:
    """Note that somebody uses a service now."""
    made = connections.begin(
        kernel.store, kernel.limits, peer, token=body.service_token, host_label=body.host_label,
        circuit_id=body.circuit_id, client=body.client.client(), companion=body.companion,
    )  # fmt: skip
    return Begun(connection_id=made)


@router.post("/connections/report")
def report_connections(kernel: Parts, peer: ThisWebproxy, body: ConnectionReports) -> Done:
    """Report all open connections; one not reported for 30 s ends as lost."""
    rows = [
        connections.Report(
            row.id, row.bytes_up, row.bytes_down, _moment(row.last_activity), row.ended.reason if row.ended else None
        )
        for row in body.connections
    ]
    connections.report(kernel.store, peer, rows)
    return Done()


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("bad_time", "A time looks like 2026-01-31T12:00:00Z.", {"time": text}) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
