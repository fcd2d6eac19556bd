"""The client of the access server's API: what relays, web proxies and agents call it with."""

from __future__ import annotations

import json as jsonlib
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore
import httpx
from cryptography import x509

from panelgate import assertion
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused, Unavailable, from_json
from panelgate.log import Secret
from panelgate.pki import Identity, Role, peer_of, to_pem

SESSION_HEADER = "Panelgate-Session"
BACKGROUND_HEADER = "Panelgate-Background"  # "1": a page refreshed itself, no person did anything
CALL_SECONDS = 10.0  # longer than any honest answer, shorter than a person's patience
EVENT_SILENCE_SECONDS = 25.0  # the server pings every 10 s: two missed pings mean the line is dead
EVENT_LIMIT = 64 * 1024  # bytes of one event line
ANSWER_LIMIT = 16 * 1024 * 1024  # bytes of one answer


class AccessClient:
    """Calls the access server, proving who calls and checking whom it called.

    Without an identity only the open calls work. `ca` is the installation's authority; when the access server stands
    behind a load balancer with a public certificate, the system's authorities are accepted as well.
    """

    def __init__(
        self, base_url: str, identity: Identity | None = None, *, ca: x509.Certificate | None = None,
        clock: Clock | None = None, transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        self.base_url = base_url.rstrip("/")
        if urlsplit(self.base_url).scheme != "https":
            raise Refused("not_https", "the access server's address must start with https://", {"address": base_url})
        self._identity = identity
        self._clock = clock or Clock()
        context = ssl.create_default_context()
        authority = ca or (identity.ca if identity else None)
        if authority is not None:
            context.load_verify_locations(cadata=to_pem(authority))
            context.sslobject_class = _only_access(authority)
        self._http = httpx.AsyncClient(
            base_url=self.base_url, timeout=CALL_SECONDS, transport=transport or _Transport(context),
            # The environment's proxies are not ours to follow; a plant's proxy is a setting of the agent.
            trust_env=False, follow_redirects=False,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._http.aclose()

    def _headers(
        self, method: str, path: str, session: Secret | str | None, *, background: bool = False
    ) -> dict[str, str]:
        headers = {}
        if self._identity is not None:
            headers[assertion.HEADER] = assertion.sign(self._identity, method, path, self._clock.now())
        if session is not None:
            headers[SESSION_HEADER] = session.reveal() if isinstance(session, Secret) else session
        if background:
            headers[BACKGROUND_HEADER] = "1"
        return headers

    async def call(
        self, method: str, path: str, *, json: object = None, params: dict[str, str] | None = None,
        session: Secret | str | None = None, background: bool = False, timeout: float = CALL_SECONDS,
    ) -> dict[str, Any]:  # fmt: skip
        """One call; `path` without query, `session` a user's session token, `timeout` in seconds.

        `background`: no person did anything, so the session's idle time goes on.
        The answer's JSON object. BadInput, Refused or Broken as the server says, with its code and facts;
        Unavailable("access_down") when it can't be reached, Unavailable("access_untrusted") when its certificate is
        not to be trusted.
        """
        try:
            response = await self._http.request(
                method, path, json=json, params=params, timeout=timeout,
                headers=self._headers(method, path, session, background=background),
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if len(response.content) > ANSWER_LIMIT:
            raise Unavailable("bad_answer", "the access server's answer is too large")
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = None
        if response.is_success and isinstance(body, dict):
            return body
        raise from_json(response.status_code, body)

    async def text(self, path: str) -> str:
        """The text of an open page of the access server, such as its authority's certificate."""
        try:
            response = await self._http.get(path)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise from_json(response.status_code, None)
        return response.text

    async def events(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """The events of one stream until it ends; Unavailable when it can't be opened or falls silent.

        Connecting again is the caller's: he must look again at whatever he may have missed.
        """
        timeout = httpx.Timeout(CALL_SECONDS, read=EVENT_SILENCE_SECONDS)
        pending = b""
        try:
            async with self._http.stream(
                "GET", path, headers=self._headers("GET", path, None), timeout=timeout
            ) as response:
                if not response.is_success:
                    raise from_json(response.status_code, _json_or_none(await response.aread()))
                async for chunk in response.aiter_raw():
                    *lines, pending = (pending + chunk).split(b"\n")
                    if len(pending) > EVENT_LIMIT:
                        raise Unavailable("bad_answer", "an event is too large")
                    for line in lines:
                        event = _json_or_none(line)
                        if isinstance(event, dict):
                            yield event
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> PanelgateError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Unavailable(
                    "access_untrusted", "the access server's certificate is not to be trusted",
                    {"address": self.base_url, "reason": cause.verify_message},
                )  # fmt: skip
            cause = cause.__cause__ or cause.__context__
        return Unavailable(
            "access_down", "the access server can't be reached", {"address": self.base_url, "reason": str(error)}
        )


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport, which also closes a connection when its TLS handshake is cancelled.

    httpcore 1.0.9 closes it only when the handshake fails; a stop that cancels a call would leave it to the collector.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool._network_backend = _Backend()  # noqa: SLF001, httpx does not pass a backend on


class _Backend(httpcore.AnyIOBackend):
    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        return _Connecting(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Connecting(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()


def _only_access(authority: x509.Certificate) -> type[ssl.SSLObject]:
    """TLS that ends when a certificate of `authority` is not the access server's.

    The authority issues relays' certificates too, with host names that they ask for themselves: without this a relay
    could answer in the access server's place, and hand out ticket keys of its own.
    """

    class OnlyAccess(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = x509.load_der_x509_certificate(self.getpeercert(binary_form=True) or b"")
            if shown.issuer == authority.subject and _role_of(shown) is not Role.ACCESS:
                error = ssl.SSLCertVerificationError("not the access server's certificate")
                error.verify_message = "it is another role's certificate"
                raise error

    return OnlyAccess


def _role_of(certificate: x509.Certificate) -> Role | None:
    try:
        return peer_of(certificate).role
    except Refused:
        return None


def _json_or_none(data: bytes) -> object:
    try:
        return jsonlib.loads(data)
    except ValueError:
        return None
