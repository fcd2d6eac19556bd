"""What a newcomer asks: join with a token. And the ticket keys, which any role asks for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from access import joining, signing
from access.api.deps import Body, Parts, caller
from access.authority import CSR_LIMIT, NAMES_LIMIT
from access.throttle import Throttle
from panelgate.pki import Peer, Role, to_pem

router = APIRouter(prefix="/v1", tags=["open"])

Csr = Annotated[str, Field(max_length=CSR_LIMIT)]
Secret = Annotated[str, Field(max_length=200)]
HostName = Annotated[str, Field(max_length=253)]
Server = Annotated[Peer, Depends(caller(Role.RELAY, Role.WEBPROXY))]


class Join(Body):
    """A relay or web proxy that wants to join; `dns_names` are what a relay answers on."""

    token: Secret
    role: Annotated[str, Field(max_length=16)]
    csr: Csr
    dns_names: list[HostName] = Field(default_factory=list, max_length=NAMES_LIMIT)


class Joined(BaseModel):
    """The newcomer's id and certificate, and the authority, all in PEM."""

    id: str
    certificate: str
    ca: str


def address_of(request: Request) -> str:
    """The address a call came from."""
    return request.client.host if request.client else ""


def throttled(call: str) -> Any:
    """A dependency: counts calls that anybody may make, per address. Refused(too_many_calls)."""

    async def check(request: Request) -> None:
        # In the event loop on purpose: one writer, so the first call makes the one throttle there is.
        state = request.app.state
        if not hasattr(state, "throttle"):
            state.throttle = Throttle()
        throttle: Throttle = state.throttle
        throttle.hit(call, address_of(request))

    return Depends(check)


@router.post("/join", dependencies=[throttled("join")])
def join(kernel: Parts, request: Request, body: Join) -> Joined:
    """Join the installation with a one-time token; the server chooses the id and the certificate's subject."""
    ident, certificate = joining.join(
        kernel.store, kernel.authority, body.token, body.role, body.csr, body.dns_names, address_of(request)
    )
    return Joined(id=ident, certificate=to_pem(certificate), ca=to_pem(kernel.authority.certificate))


@router.get("/ticket-keys", dependencies=[Depends(caller())])
def ticket_keys(kernel: Parts) -> dict[str, Any]:
    """The keys that verify tickets, as a JWK Set."""
    with kernel.store.operator() as unit:
        return signing.jwks(unit)


class Renew(Body):
    """A request for a new certificate; `dns_names` as when joining."""

    csr: Csr
    dns_names: list[HostName] = Field(default_factory=list, max_length=NAMES_LIMIT)


class Renewed(BaseModel):
    """The new certificate in PEM."""

    certificate: str


@router.post("/renew")
def renew(kernel: Parts, request: Request, peer: Server, body: Renew) -> Renewed:
    """A new certificate for a relay or web proxy, before the present one runs out."""
    with kernel.store.operator(write=True) as unit:
        address = address_of(request)
        certificate = joining.renew(unit, kernel.authority, peer, body.csr, body.dns_names, address)
        return Renewed(certificate=to_pem(certificate))
