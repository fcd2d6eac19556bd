"""A panel's certificate that the agent refused: read from its text, told to the person, and noted for the audit.

The agent alone decides whom it trusts. What stands here comes from its reset's text (`agent.dial.certificate_text`) and
explains; a fingerprint is never taken over from it. Trust is given on the portal's page, by who manages the machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from panelgate.clock import Clock
from panelgate.errors import PanelgateError
from panelgate.frames import StreamError
from panelgate.log import get_logger
from panelgate.tasks import spawn
from webproxy.forward.problems import Problem

if TYPE_CHECKING:
    from webproxy.sessions import ServiceSession

AGAIN_SECONDS: Final = 3600.0  # as the access server: one event an hour for each certificate, so more calls are in vain
NOTED_LIMIT: Final = 1000  # (service, certificate) pairs remembered; more make a call too many, not a row too many

_NAMED: Final = re.compile(r"sha256 ([0-9A-F]{2}(?::[0-9A-F]{2}){31})(?: (.*))?")
log = get_logger(__name__)


class Access(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    async def call(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        """One call to the access server."""
        ...


@dataclass(frozen=True)
class Shown:
    """What a panel showed: `fingerprint` in 64 hex digits, and `why` it was refused, when that was said.

    Without a fingerprint the agent could not name it, or, with no `why` either, there was no certificate.
    """

    fingerprint: str
    why: str = ""


def read(exc: Exception | None) -> Shown | None:
    """What the agent says of a certificate it refused; None for the end of a stream for any other reason."""
    if getattr(exc, "code", None) != StreamError.TLS:
        return None
    first, _, words = str(getattr(exc, "text", "") or "").partition(" ")
    if first != "certificate" or not words:
        return None
    found = _NAMED.fullmatch(words)
    if found is None:
        return Shown("", "" if words.partition(" ")[0] == "none" else words)
    return Shown(found[1].replace(":", "").lower(), found[2] or "")


def spelled(fingerprint: str | None) -> str:
    """A fingerprint in pairs of capitals, as browsers and panels show it."""
    digits = (fingerprint or "").upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


_TELL: Final = "Tell an administrator of your account, with the fingerprint and the reference below."


def explain(shown: Shown, session: ServiceSession, portal: str) -> Problem:
    """The page of a refused certificate for this user; `portal` is the portal's origin."""
    service, pinned = session.service, session.service.get("tls_pin")
    trusted = service.get("tls_verify") == "pin"
    facts: dict[str, Any] = {"certificate": spelled(shown.fingerprint)}
    if shown.why:
        facts["certificate_trouble"] = shown.why
    if session.manages:
        facts["manage"] = f"{portal}/machines/{session.device['slug']}/services/{service['id']}/certificate"
    if not shown.fingerprint and not shown.why:
        return Problem(
            502, "certificate_none", "The panel shows no certificate",
            "The panel encrypts without saying who it is, so nothing was sent to it.",
            "Switch its certificate on in the panel's own settings." if session.manages else _TELL, facts=facts,
        )  # fmt: skip
    if trusted and pinned:
        return Problem(
            502, "certificate_changed", "This is not the certificate that was trusted",
            "The panel shows another certificate than the one an administrator trusted, so nothing was sent to it. "
            "That happens when a panel is replaced, reset or updated. It also happens when something else answers in "
            "its place.",
            "Find out at the machine what was changed. Only if that explains it, compare the new fingerprint at the "
            "panel and trust it." if session.manages else _TELL,
            facts=facts | {"pinned": spelled(pinned)},
        )  # fmt: skip
    if trusted:
        return Problem(
            502, "certificate_new", "The panel's certificate is not trusted yet",
            "Nobody has said yet that this certificate is the panel's, so nothing was sent to it.",
            "Compare the fingerprint at the panel, then trust it." if session.manages else _TELL, facts=facts,
        )  # fmt: skip
    return Problem(
        502, "tls", "The panel's certificate is not accepted",
        "The panel's certificate was not signed by an authority that the agent knows, or is not for this address. "
        "Nothing was sent to the panel.",
        "Most panels make their own certificate: compare its fingerprint at the panel, then trust this one alone."
        if session.manages else _TELL,
        facts=facts,
    )  # fmt: skip


class Refusals:
    """Explains refused certificates, and tells the access server of each once in a while."""

    def __init__(self, access: Access, clock: Clock, portal: str) -> None:
        self._access = access
        self._clock = clock
        self._portal = portal
        self._noted: dict[tuple[str, str], float] = {}

    def problem(self, exc: Exception | None, session: ServiceSession, token: str) -> Problem | None:
        """The page when a stream ended because of the panel's certificate; None for every other end."""
        shown = read(exc)
        if shown is None:
            return None
        if shown.fingerprint:
            self._note(shown.fingerprint, session, token)
        return explain(shown, session, self._portal)

    def _note(self, fingerprint: str, session: ServiceSession, token: str) -> None:
        key, now = (str(session.service["id"]), fingerprint), self._clock.monotonic()
        if now - self._noted.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        if len(self._noted) >= NOTED_LIMIT:
            self._noted.clear()
        self._noted[key] = now
        log.warning(
            "certificate refused", session_id=session.session_id, device_id=session.device["id"], service_id=key[0],
            shown=fingerprint, pinned=session.service.get("tls_pin"), verify=session.service.get("tls_verify"),
        )  # fmt: skip
        body = {"service_token": token, "host_label": session.label, "fingerprint": fingerprint}
        spawn("certificate report", self._tell(key, body))

    async def _tell(self, key: tuple[str, str], body: Mapping[str, str]) -> None:
        try:
            await self._access.call("POST", "/webproxy/v1/certificate-refused", json=body)
        except PanelgateError as error:
            self._noted.pop(key, None)  # the next one that is refused tells it
            log.info("refused certificate not reported", reason=error.code)
