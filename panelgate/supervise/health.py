"""Whether the roles answer yet."""

import os
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from panelgate.errors import Unavailable

ASK_S = 2.0
"""For one answer; a role on the same machine that needs longer isn't ready."""


async def ask(url: str, *, authority: Path | None = None, host: str = "") -> httpx.Response | None:
    """GET `url`, trusting only our own authority for https; None when nothing answers yet."""
    try:
        verify = ssl.create_default_context(cafile=authority) if authority else True
        async with httpx.AsyncClient(verify=verify, timeout=ASK_S, trust_env=False) as client:
            return await client.get(url, headers={"Host": host} if host else {})
    except (httpx.HTTPError, OSError):
        return None


async def access_health(url: str, authority: Path) -> dict[str, Any] | None:
    """Return what the access server says of itself (status, setup_needed, version), or None."""
    answer = await ask(f"{url}/v1/health", authority=authority)
    if answer is None or answer.status_code != 200:
        return None
    body = answer.json()
    return body if isinstance(body, dict) else None


def check_ports(ports: Iterable[tuple[str, str, int, str]]) -> None:
    """Raise Unavailable with a sentence for the first port that another program has.

    `ports` has what wants to listen, its address, the port, and what to do when that is taken.
    """
    for who, host, port, advice in ports:
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            raise Unavailable(
                "port_in_use", f"{who} cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. {advice}"
            ) from error
