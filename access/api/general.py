"""What anybody may ask: health, and the authority's certificate."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from access import setup
from access.api.deps import Parts
from panelgate.pki import to_pem

router = APIRouter(prefix="/v1", tags=["general"])


class Health(BaseModel):
    """The answer of /v1/health."""

    status: str
    setup_needed: bool
    version: str


@router.get("/health")
def health(kernel: Parts) -> Health:
    """Whether the server can use its database, and whether it still has to be set up."""
    return Health(status="ok", setup_needed=setup.needed(kernel.store), version=version("panelgate"))


@router.get("/ca", response_class=PlainTextResponse)
def ca(kernel: Parts) -> str:
    """The authority's certificate in PEM: public, compared with the fingerprint in an activation key or join token."""
    return to_pem(kernel.authority.certificate)
