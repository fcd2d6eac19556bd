"""What an agent asks: enrol, where to connect, its configuration, a new certificate."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from access import configuration, enrolment, relays, signing
from access.api.deps import Body, Parts, proven_peer
from access.api.open import Csr, Renewed, Secret, address_of, throttled
from access.models.machines import Device
from access.targets import MAX_NETWORKS
from panelgate.errors import Refused
from panelgate.pki import Peer, Role, to_pem
from panelgate.tickets import CONTROL_SECONDS, ControlTicket

router = APIRouter(prefix="/agent/v1", tags=["agent"])

ShortText = Annotated[str, Field(max_length=100)]
Networks = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=4 * MAX_NETWORKS)]


class Enrol(Body):
    """An agent with an activation key. Of the request only its key is used: the server sets the subject."""

    key: Secret
    csr: Csr
    serial: ShortText
    version: ShortText = ""
    hostname: Annotated[str, Field(max_length=253)] = ""
    lan: Networks = Field(default_factory=list)


class Enrolled(BaseModel):
    """What an agent keeps: who it is now, its certificate, the authority, the ticket keys, its configuration (JWS)."""

    device_id: str
    account: str
    device: str
    name: str
    certificate: str
    ca: str
    ticket_keys: dict[str, Any]
    config: str


class Connect(Body):
    """An agent about to connect."""

    version: ShortText = ""
    lan: Networks = Field(default_factory=list)


class RelayAt(BaseModel):
    """A relay and its address."""

    id: str
    url: str


class Connected(BaseModel):
    """Where to connect, and the ticket for it. `counter` grows with every call."""

    relay: RelayAt
    ticket: str
    counter: int
    config_version: int
    ticket_keys: dict[str, Any]


class Configuration(BaseModel):
    """The configuration as a JWS."""

    config: str


class RenewAgent(Body):
    """A request for a new certificate."""

    csr: Csr


def _agent(kernel: Parts, peer: Annotated[Peer, Depends(proven_peer)]) -> Peer:
    if peer.role is not Role.AGENT:
        raise Refused("wrong_role", "this part of the installation may not ask this", {"role": str(peer.role)})
    if kernel.is_revoked(kernel.store, peer):
        # A word of its own for agents: theirs is to stop and say so, not to try again.
        raise Refused(
            "device_revoked",
            "This device was released, deleted or replaced. Enrol it again with a new key.",
            status=401,
        )
    return peer


Agent = Annotated[Peer, Depends(_agent)]


def _account_of(kernel: Parts, peer: Peer) -> str:
    account_id = kernel.store.account_of(Device.id, peer.id)
    if account_id is None:
        raise Refused("device_revoked", "This device was deleted. Enrol it again with a new key.")
    return account_id


@router.post("/enrol", dependencies=[throttled("enrol")])
def enrol(kernel: Parts, request: Request, body: Enrol) -> Enrolled:
    """Become a device, with an activation key."""
    newcomer = enrolment.Newcomer(body.csr, body.serial, body.version, body.hostname, body.lan, address_of(request))
    made = enrolment.enrol(kernel.store, kernel.authority, body.key, newcomer)
    with kernel.store.account(made.account.id) as unit:
        signer = signing.signer(unit, kernel.keyring)
        return Enrolled(
            device_id=made.device.id, account=made.account.slug, device=made.device.slug, name=made.device.name,
            certificate=to_pem(made.certificate), ca=to_pem(kernel.authority.certificate),
            ticket_keys=signing.jwks(unit), config=configuration.signed(unit, made.device, signer),
        )  # fmt: skip


@router.post("/connect")
def connect(kernel: Parts, peer: Agent, body: Connect) -> Connected:
    """Which relay to connect to now. Asked at every connect; the answer may differ each time."""
    with kernel.store.account(_account_of(kernel, peer), write=True) as unit:
        device = enrolment.device_of(unit, peer)
        enrolment.settle(unit, device, peer)
        enrolment.note_agent(device, body.version, body.lan)
        presence = relays.presence_of(unit, device)
        relay = relays.assign(unit, presence)
        ticket = ControlTicket(device.id, peer.fingerprint, relay.id, presence.counter, unit.now + CONTROL_SECONDS)
        return Connected(
            relay=RelayAt(id=relay.id, url=relay.url),
            ticket=signing.signer(unit, kernel.keyring).control(ticket, unit.now),
            counter=presence.counter, config_version=device.config_version, ticket_keys=signing.jwks(unit),
        )  # fmt: skip


@router.get("/config")
def config(kernel: Parts, peer: Agent) -> Configuration:
    """The present configuration, signed."""
    with kernel.store.account(_account_of(kernel, peer)) as unit:
        device = enrolment.device_of(unit, peer)
        return Configuration(config=configuration.signed(unit, device, signing.signer(unit, kernel.keyring)))


@router.post("/renew")
def renew(kernel: Parts, request: Request, peer: Agent, body: RenewAgent) -> Renewed:
    """A new certificate; the present one stays good until the agent connects with the new one."""
    with kernel.store.account(_account_of(kernel, peer), write=True) as unit:
        certificate = enrolment.renew(unit, kernel.authority, peer, body.csr, address_of(request))
        return Renewed(certificate=to_pem(certificate))
