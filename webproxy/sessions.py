"""Which service sessions this web proxy knows: a cache before the access server, which alone decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from panelgate.clock import Clock, from_iso
from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.names import host_label
from panelgate.options import DEFAULTS, ServiceOptions
from panelgate.tasks import spawn

FRESH_SECONDS = 60.0  # how long an answer of the access server counts without asking again
RENEW_SECONDS = 40.0  # from here on a request renews it in the background, so that none has to wait
GRACE_SECONDS = 5.0  # with the access server down, so long it isn't asked again by every request
STALE_SECONDS = 15 * 60.0  # with the access server down, those known before may go on so long
REFUSED_SECONDS = 5.0  # a page whose session has ended asks on and on; the access server hears one call in this time
ENTRIES_LIMIT = 20_000  # sessions kept, the longest unused goes first; about 2 kB each
REFUSED_LIMIT = 2_000  # refused tokens remembered

Key = tuple[str, str]
log = get_logger(__name__)


class Access(Protocol):
    """The part of panelgate.access_client.AccessClient that this needs."""

    async def call(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        """One call to the access server."""
        ...


@dataclass(frozen=True)
class ServiceSession:
    """One user's permission to use one service, as the access server said it; `expires` is unix seconds."""

    id: str
    session_id: str
    account: Mapping[str, Any]
    user: Mapping[str, Any]
    device: Mapping[str, Any]
    service: Mapping[str, Any]
    permission: str
    expires: float
    idle_seconds: float
    label: str
    options: ServiceOptions = DEFAULTS
    # Other web services of the device: id, slug, host, port, protocol, label.
    siblings: tuple[Mapping[str, Any], ...] = ()
    manages: bool = False  # may change the service: what such a page tells is also how to mend it

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ServiceSession:
        """From the API's ServiceSession; Unavailable when it is none."""
        try:
            account, device, service = raw["account"], raw["device"], raw["service"]
            return cls(
                str(raw["id"]), str(raw["session_id"]), account, raw["user"], device, service, str(raw["permission"]),
                from_iso(raw["expires"]), float(raw.get("idle_seconds") or 0),
                host_label(service["slug"], device["slug"], account["slug"]),
                ServiceOptions.of(service.get("options")), tuple(raw.get("siblings") or ()),
                raw.get("manages") is True,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise Unavailable("bad_answer", "the access server's answer is not a service session") from error


class _Entry:
    __slots__ = ("active", "checked", "grace", "renewing", "session")

    def __init__(self, session: ServiceSession, now: float) -> None:
        self.session = session
        self.checked = now  # monotonic seconds; minus infinity when it must be asked again
        self.grace = 0.0  # until then it counts unasked, because the access server was down a moment ago
        self.active = True
        self.renewing: asyncio.Future[ServiceSession] | None = None


class ServiceSessions:
    """Looks service tokens up, with a cache of a minute. `gone` is called with (token, label, reason) when one ends."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._entries: dict[Key, _Entry] = {}
        self._refused: dict[Key, float] = {}
        self._gone: list[Callable[[str, str, str], None]] = []
        self._changed: list[Callable[[str, ServiceSession], None]] = []
        self._siblings: list[Callable[[str, ServiceSession], None]] = []

    def on_gone(self, callback: Callable[[str, str, str], None]) -> None:
        """Call `callback(token, label, reason)` when a session has ended or its permission is gone."""
        self._gone.append(callback)

    def on_changed(self, callback: Callable[[str, ServiceSession], None]) -> None:
        """Call `callback(token, session)` when a session's permission or service changed."""
        self._changed.append(callback)

    def on_siblings(self, callback: Callable[[str, ServiceSession], None]) -> None:
        """Call `callback(token, session)` when other services of the session's device came, went or moved."""
        self._siblings.append(callback)

    def add(self, token: str, session: ServiceSession) -> None:
        """Remember a session that the access server has just given."""
        if len(self._entries) >= ENTRIES_LIMIT:
            self._entries.pop(next(iter(self._entries)))
        key = (token, session.label)
        self._refused.pop(key, None)
        self._entries[key] = _Entry(session, self._clock.monotonic())

    def cached(self, token: str, label: str) -> ServiceSession | None:
        """The session when it counts without asking; renewing it in the background when that is due."""
        entry = self._entries.get((token, label))
        if entry is None:
            return None
        now = self._clock.monotonic()
        age = now - entry.checked
        entry.active = True
        if entry.session.expires <= self._clock.now() or (age > FRESH_SECONDS and now > entry.grace):
            return None
        if age > RENEW_SECONDS and entry.renewing is None and now > entry.grace:
            spawn("service session renewal", self._renew_quietly(token, label))
        return entry.session

    async def get(self, token: str, label: str) -> ServiceSession:
        """The session, asking the access server when needed.

        Refused("no_session") when there is none; Unavailable when the access server is down and the session was not
        seen in the last fifteen minutes.
        """
        session = self.cached(token, label)
        if session is not None:
            return session
        refused = self._refused.get((token, label))
        if refused is not None and self._clock.monotonic() - refused < REFUSED_SECONDS:
            raise Refused("no_session", "the sign-in has ended", status=401)
        entry = self._entries.get((token, label))
        try:
            return await self._ask(token, label)
        except Unavailable:
            now = self._clock.monotonic()
            if entry is not None and now - entry.checked <= STALE_SECONDS and entry.session.expires > self._clock.now():
                entry.grace = now + GRACE_SECONDS
                return entry.session
            raise

    async def _renew_quietly(self, token: str, label: str) -> None:
        try:
            await self._ask(token, label)
        except PanelgateError as error:
            log.info("service session not renewed", reason=error.code)

    async def _ask(self, token: str, label: str) -> ServiceSession:
        key = (token, label)
        entry = self._entries.get(key)
        if entry is not None and entry.renewing is not None:
            return await asyncio.shield(entry.renewing)
        future: asyncio.Future[ServiceSession] | None = None
        if entry is not None:
            future = entry.renewing = asyncio.get_running_loop().create_future()
        try:
            session = await self._call(token, label, active=entry.active if entry else True)
        except BaseException as error:
            if future is not None and not future.done():
                if isinstance(error, PanelgateError):
                    future.set_exception(error)
                    future.exception()  # nobody may be waiting
                else:
                    future.cancel()
            if isinstance(error, Refused):
                self._remember_refusal(key)
                self.drop(token, label, error.code)
            raise
        finally:
            if entry is not None:
                entry.renewing = None
        if future is not None and not future.done():
            future.set_result(session)
        self._store(key, entry, session)
        return session

    async def _call(self, token: str, label: str, *, active: bool) -> ServiceSession:
        body = {"service_token": token, "host_label": label, "active": active}
        answer = await self._access.call("POST", "/webproxy/v1/service-session", json=body)
        raw = answer.get("service_session")
        if not isinstance(raw, dict):
            raise Unavailable("bad_answer", "the access server's answer is not a service session")
        session = ServiceSession.of(raw)
        if session.label != label:
            raise Refused("no_session", "the sign-in is for another service", status=401)
        return session

    def _store(self, key: Key, entry: _Entry | None, session: ServiceSession) -> None:
        current = self._entries.get(key)
        if current is None or current is not entry:
            if entry is None:
                self.add(key[0], session)
            return
        before = current.session
        current.session = session
        current.checked = self._clock.monotonic()
        current.active = False
        if before.permission != session.permission or before.service != session.service:
            for callback in self._changed:
                callback(key[0], session)
        elif before.siblings != session.siblings:
            for callback in self._siblings:
                callback(key[0], session)

    async def sign_out(self, token: str, label: str) -> None:
        """The user leaves this service: what is open is cut, and the token is worth nothing anywhere any more.

        Unavailable when the access server can't be told; here the session is gone all the same.
        """
        self._remember_refusal((token, label))
        self.drop(token, label, "signed out")
        body = {"service_token": token, "host_label": label}
        await self._access.call("POST", "/webproxy/v1/service-session/end", json=body)

    def _remember_refusal(self, key: Key) -> None:
        if len(self._refused) >= REFUSED_LIMIT:
            self._refused.clear()
        self._refused[key] = self._clock.monotonic()

    def drop(self, token: str, label: str, reason: str) -> None:
        """Forget one session and tell those who act on it; they cut what is open."""
        self._entries.pop((token, label), None)
        for callback in self._gone:
            callback(token, label, reason)

    def event(self, event: Mapping[str, Any]) -> None:
        """Act on an event of the access server."""
        kind = event.get("type")
        if kind in ("session.ended", "service_session.ended"):
            one = kind == "service_session.ended"
            ended = event.get("service_session_id" if one else "session_id")
            for token, label in [
                key
                for key, entry in self._entries.items()
                if (entry.session.id if one else entry.session.session_id) == ended
            ]:
                self._remember_refusal((token, label))
                self.drop(token, label, "session_ended")
        elif kind == "access.changed":
            self._again([k for k, e in self._entries.items() if e.session.account["id"] == event.get("account_id")])
        elif kind == "resync":
            self._again(list(self._entries))

    def _again(self, keys: list[Key]) -> None:
        """Ask again about `keys`: those that are open now at once, the rest when they are next used."""
        for key in keys:
            entry = self._entries[key]
            # Old enough to be asked again, young enough to count while the access server is down.
            entry.checked = min(entry.checked, self._clock.monotonic() - FRESH_SECONDS - 1)
            entry.grace = 0.0
            entry.renewing = None
        self._refused.clear()
        if keys:
            spawn("service sessions revalidation", self._revalidate(keys))

    async def _revalidate(self, keys: list[Key]) -> None:
        for token, label in keys:
            if (token, label) in self._entries:
                await self._renew_quietly(token, label)

    def sweep(self, open_keys: set[Key]) -> None:
        """Called every few seconds: ends what has expired, renews what is open, forgets what was long unused."""
        now, wall = self._clock.monotonic(), self._clock.now()
        for (token, label), entry in list(self._entries.items()):
            if entry.session.expires <= wall:
                self.drop(token, label, "session_expired")
            elif now - entry.checked > RENEW_SECONDS and (token, label) in open_keys:
                if entry.renewing is None:
                    spawn("service session renewal", self._renew_quietly(token, label))
            elif now - entry.checked > STALE_SECONDS:
                self._entries.pop((token, label))
