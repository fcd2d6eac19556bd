"""What a relay says and asks: where it answers, its load, who is connected, and what to cut."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from access import circuits, presence, relays
from access.api.deps import Body, Parts, caller
from panelgate.pki import Peer, Role

router = APIRouter(prefix="/relay/v1", tags=["relay"])

CIRCUITS_LIMIT = 2000  # ids in one report; a relay with more sends them in turn
DEVICES_LIMIT = 5000  # of one relay; its report stays below the body's limit

FromThisRelay = Annotated[Peer, Depends(caller(Role.RELAY))]
DeviceId = Annotated[str, Field(max_length=64)]
Counter = Annotated[int, Field(ge=0, le=2**53)]
Address = Annotated[str, Field(max_length=64)]
Count = Annotated[int, Field(ge=0, le=2**62)]


class Register(Body):
    """A relay that starts."""

    url: Annotated[str, Field(max_length=255)]
    version: Annotated[str, Field(max_length=64)] = ""


class Registered(BaseModel):
    """Its id, and how often it is to report, in seconds."""

    relay_id: str
    report_seconds: int


class ConnectedDevice(Body):
    """A device with a control connection at this relay."""

    device_id: DeviceId
    counter: Counter
    address: Address = ""
    since: Annotated[str, Field(max_length=32)] = ""


class Report(Body):
    """A relay's load and its devices; `bytes` since it started, `circuit_ids` (some) of those open."""

    circuits: Count
    circuit_ids: list[DeviceId] = Field(default_factory=list, max_length=CIRCUITS_LIMIT)
    devices: list[ConnectedDevice] = Field(max_length=DEVICES_LIMIT)
    bytes: Count = 0


class Reported(BaseModel):
    """What the relay must know and may have missed: circuits to cut, devices whose certificate is revoked."""

    cut: list[str]
    revoked: list[str]


class News(Body):
    """A device's control connection came or went."""

    device_id: DeviceId
    counter: Counter
    state: Literal["up", "down"]
    address: Address = ""


class Accepted(BaseModel):
    """Whether the news counted, or was overtaken by newer ones."""

    accepted: bool


class Done(BaseModel):
    """An answer that says no more than that it worked."""


@router.post("/register")
def register(kernel: Parts, peer: FromThisRelay, body: Register) -> Registered:
    """Say where this relay answers."""
    with kernel.store.operator(write=True) as unit:
        relays.register(unit, peer.id, body.url, body.version)
    return Registered(relay_id=peer.id, report_seconds=relays.REPORT_SECONDS)


@router.post("/report")
def report(kernel: Parts, peer: FromThisRelay, body: Report) -> Reported:
    """Report load, devices and circuits; a relay silent for 15 s is taken for dead.

    The answer repeats what the event stream said while it was broken.
    """
    with kernel.store.operator(write=True) as unit:
        relays.report(unit, peer.id, circuits=body.circuits, devices=len(body.devices), transferred=body.bytes)
    seen = [presence.Seen(row.device_id, row.counter, row.address) for row in body.devices]
    refused = presence.reconcile(kernel.store, peer.id, seen)
    return Reported(
        cut=circuits.to_cut(kernel.store, peer.id, body.circuit_ids),
        revoked=presence.revoked(kernel.store, refused),
    )


@router.post("/presence")
def news(kernel: Parts, peer: FromThisRelay, body: News) -> Accepted:
    """Say at once that a device came or went."""
    seen = presence.Seen(body.device_id, body.counter, body.address)
    return Accepted(accepted=presence.note(kernel.store, peer.id, seen, up=body.state == "up"))


@router.get("/events", response_class=StreamingResponse, dependencies=[Depends(caller(Role.RELAY))])
async def events(kernel: Parts) -> StreamingResponse:
    """What to cut and whose configuration changed, as NDJSON, with a ping every 10 s."""
    return StreamingResponse(kernel.hub.ndjson("relay"), media_type="application/x-ndjson")
