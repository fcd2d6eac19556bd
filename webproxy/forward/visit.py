"""A visit: what this web proxy keeps at hand for one user session's use of one service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from panelgate.log import get_logger
from panelgate.names import Sites
from panelgate.options import ServiceOptions
from webproxy.connections import Connection, Connections
from webproxy.forward.bodies import coding_of, is_text
from webproxy.forward.cache import Caches
from webproxy.forward.credentials import SignIn
from webproxy.forward.markup import kind_of
from webproxy.forward.places import jar_of
from webproxy.forward.pool import Pool
from webproxy.forward.rules import Rules

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.sessions import ServiceSession

SOCKETS_LIMIT = 32  # WebSockets and viewers at once in one visit: HMIs use one or two a page
# Ends of a session that take no permission away: what is kept for the user stays for his next sign-in.
_SIGNED_OUT = frozenset({"signed out", "session_ended", "session_expired"})
VISITS_LIMIT = 20_000  # visits kept; about 4 kB each without traffic

log = get_logger(__name__)


class Socket(Protocol):
    """Something long-lived that ends with the session."""

    def cut(self, reason: str) -> None:
        """End it now."""
        ...


class Visit:
    """Session, rules, streams, cookie names, and the audit's connection. INVARIANT: one per (token, label)."""

    __slots__ = (
        "_caches", "_connections", "alive", "attends", "companions", "connection", "cookie_names", "label", "pool",
        "row", "rules", "session", "shelf", "sign_in", "sockets", "token", "used", "warned",
    )  # fmt: skip

    def __init__(
        self, session: ServiceSession, token: str, rules: Rules, connections: Connections,
        row: Mapping[str, Any] | None = None, caches: Caches | None = None,
    ) -> None:  # fmt: skip
        self.session = session
        self.token = token
        self.label = session.label
        self.rules = rules
        self.pool = Pool(session.service["id"])
        self.cookie_names: set[bytes] = set()
        self.connection: Connection | None = None
        self.sockets: set[Socket] = set()
        self.alive = True
        self.used = 0.0
        self.warned = False  # of a coding that can't be read
        self._connections = connections
        self.row = row  # of the sibling, when this is a companion's part of another visit
        self.companions: dict[str, Visit] = {}
        auth = session.options.auth
        self.sign_in = SignIn(auth) if auth != "none" else None
        self._caches = caches
        self.shelf = caches.shelf(*shelf_name(session)) if caches is not None and session.options.cache else None
        # The hot path's one question: whether aside.py has anything to do with this visit's requests.
        self.attends = self.shelf is not None or self.sign_in is not None

    def companion(self, slug: str) -> Visit | None:
        """The part of this visit that uses the companion `slug`; None when there is none that the user may use.

        It runs over the same circuit, with streams, rules, permission and an audit's connection of its own.
        """
        found = self.companions.get(slug)
        if found is not None:
            return found
        row = _row(self.session, slug) if slug in self.session.options.companions else None
        if row is None:
            return None
        options = ServiceOptions.of(row.get("options"))
        service = {"path": "/", "name": slug, **row}
        session = replace(
            self.session, service=service, permission=str(row.get("permission", "watch")), options=options
        )
        rules = self.rules.for_companion(slug, lan_origin(row), options)
        made = self.companions[slug] = Visit(session, self.token, rules, self._connections, row, self._caches)
        return made

    def rewrites(self, head: ResponseHead) -> bool:
        """Whether addresses in this response's body are to be replaced."""
        if not (is_text(head) if self.rules.rewrite else kind_of(head)):
            return False
        if coding_of(head) is None:
            if not self.warned:
                self.warned = True
                coding = b",".join(head.values(b"content-encoding"))[:40].decode("latin-1")
                log.warning("text not rewritten", coding=coding, label=self.label, session_id=self.session.session_id)
            return False
        return True

    def still(self) -> None:
        """Siblings changed: companions that are not what they were end, and begin anew when they are asked for."""
        for slug, found in list(self.companions.items()):
            row = _row(self.session, slug)
            if row is not None and found.row == row:
                found.rules = self.rules.for_companion(slug, lan_origin(row), found.session.options)
            else:
                del self.companions[slug]
                found.end("access changed")
                if self._caches is not None:
                    self._caches.drop([shelf_name(found.session)])

    def counted(self, client: Callable[[], Mapping[str, str]], circuit_id: Callable[[], str]) -> Connection:
        """The audit's connection that bytes are counted for, begun anew when the last one has ended."""
        connection = self.connection
        if connection is None or connection.reason:
            companion = str(self.row["id"]) if self.row is not None else ""
            connection = self.connection = self._connections.open(
                self.session, self.token, circuit_id(), client(), companion=companion
            )
            if self.sockets:
                connection.hold(True)
        return connection

    def add_socket(self, socket: Socket) -> bool:
        """Remember something long-lived; False when there are too many."""
        if len(self.sockets) >= SOCKETS_LIMIT:
            return False
        self.sockets.add(socket)
        if self.connection is not None:
            self.connection.hold(True)
        return True

    def drop_socket(self, socket: Socket) -> None:
        """It has ended."""
        self.sockets.discard(socket)
        if not self.sockets and self.connection is not None:
            self.connection.hold(False)

    def end(self, reason: str) -> None:
        """The session or the permission is gone: everything open is cut, now."""
        self.alive = False
        for found in self.companions.values():
            found.end(reason)
        for socket in list(self.sockets):
            socket.cut(reason)
        self.sockets.clear()
        waiting = [exchange for exchange, _, _ in self.pool.waiting]
        self.pool.waiting.clear()
        for exchange in [*waiting, *(up.exchange for up in list(self.pool.busy) if up.exchange is not None)]:
            exchange.cut(reason)
        self.pool.close()
        if self.connection is not None:
            self.connection.end(reason)


def _row(session: ServiceSession, slug: str) -> Mapping[str, Any] | None:
    return next((row for row in session.siblings if row.get("slug") == slug), None)


def lan_origin(service: Mapping[str, Any]) -> str:
    """The origin of a service on the machine's LAN, with its port."""
    host = str(service["host"]).lower()
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if service['protocol'] == 'https' else 'http'}://{name}:{int(service['port'])}"


def shelf_name(session: ServiceSession) -> tuple[str, str, str]:
    """Whose cache a session uses: the user's own for this service, from whichever browser."""
    return session.account["id"], session.user["id"], session.service["id"]


class Visits:
    """All visits of this process."""

    def __init__(self, sites: Sites, connections: Connections, caches: Caches | None = None) -> None:
        self._sites = sites
        self._caches = caches or Caches(0)
        self._connections = connections
        self._all: dict[tuple[str, str], Visit] = {}

    def __iter__(self) -> Iterator[Visit]:
        return iter([part for visit in self._all.values() for part in (visit, *visit.companions.values())])

    def of(self, session: ServiceSession, token: str) -> Visit:
        """The visit of a session that was just looked up."""
        key = (token, session.label)
        visit = self._all.get(key)
        if visit is not None:
            if visit.session is not session:
                self._learn(visit, session)
            if visit.alive:
                return visit
        if len(self._all) >= VISITS_LIMIT:
            self._all.pop(next(iter(self._all))).end("too many sessions")
        rules = self._rules(session)
        visit = self._all[key] = Visit(session, token, rules, self._connections, caches=self._caches)
        return visit

    def _learn(self, visit: Visit, session: ServiceSession) -> None:
        """A session that was forgotten was asked for anew: nobody told what changed meanwhile."""
        before = visit.session
        if (before.permission, before.service) != (session.permission, session.service):
            self.changed(visit.token, session)
        elif before.siblings != session.siblings:
            self.siblings(visit.token, session)
        else:
            visit.session = session

    def _rules(self, session: ServiceSession) -> Rules:
        service = session.service
        scheme = "https" if service["protocol"] == "https" else "http"
        sites = self._sites
        sites.hear(session.label, service.get("public_port"))
        for row in session.siblings:
            sites.hear(row["label"], row.get("public_port"))
        origin = sites.service_origin(session.label)
        siblings = {
            lan_origin(row): sites.service_base(row["label"])
            for row in session.siblings
            if sites.has_origin(row["label"])
        }
        companions = {
            lan_origin(row): str(row["slug"])
            for row in session.siblings
            if row.get("slug") in session.options.companions
        }
        return Rules.of(
            origin, scheme, service["host"], int(service["port"]), siblings, session.options, companions,
            jar_of(sites, session.label), sites.service_root(session.label),
        )  # fmt: skip

    def gone(self, token: str, label: str, reason: str) -> None:
        """The session of this visit has ended."""
        visit = self._all.pop((token, label), None)
        if visit is not None:
            visit.end(reason)
            if reason not in _SIGNED_OUT:
                names = {shelf_name(part.session) for part in (visit, *visit.companions.values())}
                self._caches.drop(names - self._shelves_in_use())

    def _shelves_in_use(self) -> set[tuple[str, str, str]]:
        return {shelf_name(visit.session) for visit in self}

    def forget_unused(self, account_id: str | None) -> None:
        """Something changed in this account, or None: perhaps in any. What nobody has open now is not kept.

        Those who have it open are asked about one by one, and end in `gone` or `changed` when it concerns them.
        """
        used = self._shelves_in_use()
        self._caches.drop([name for name in self._caches if account_id in (None, name[0]) and name not in used])

    def changed(self, token: str, session: ServiceSession) -> None:
        """The permission or the service of a visit changed: what runs under the old one is cut, then it begins anew."""
        self.gone(token, session.label, "access changed")
        self._caches.drop([shelf_name(session)])

    def siblings(self, token: str, session: ServiceSession) -> None:
        """Other services of the device came or went: redirects follow, what is open goes on."""
        visit = self._all.get((token, session.label))
        if visit is not None:
            visit.session, visit.rules = session, self._rules(session)
            visit.still()

    def sweep(self, now: float) -> None:
        """Called every few seconds: time limits of streams, and forgetting visits nobody uses."""
        for key, visit in list(self._all.items()):
            parts = [visit, *visit.companions.values()]
            for part in parts:
                part.pool.sweep(now)
            if any(part.pool.busy or part.pool.waiting or part.sockets for part in parts):
                visit.used = now
            idle = now - visit.used > 120.0 and not any(part.pool.idle for part in parts)
            if idle and all(part.connection is None or part.connection.reason for part in parts):
                del self._all[key]
                visit.alive = False
