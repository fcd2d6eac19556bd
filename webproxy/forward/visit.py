"""A visit: what this web proxy keeps at hand for one user session's use of one service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from panelgate.names import Sites
from webproxy.connections import Connection, Connections
from webproxy.forward.headers import Rules
from webproxy.forward.pool import Pool

if TYPE_CHECKING:
    from webproxy.sessions import ServiceSession

SOCKETS_LIMIT = 32  # WebSockets and viewers at once in one visit: HMIs use one or two a page
VISITS_LIMIT = 20_000  # visits kept; about 4 kB each without traffic


class Socket(Protocol):
    """Something long-lived that ends with the session."""

    def cut(self, reason: str) -> None:
        """End it now."""
        ...


class Visit:
    """Session, rules, streams, cookie names, and the audit's connection. INVARIANT: one per (token, label)."""

    __slots__ = (
        "_connections", "alive", "connection", "cookie_names", "label", "pool", "rules", "session", "sockets",
        "token", "used",
    )  # fmt: skip

    def __init__(self, session: ServiceSession, token: str, rules: Rules, connections: Connections) -> None:
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
        self._connections = connections

    def counted(self, client: Callable[[], Mapping[str, str]], circuit_id: Callable[[], str]) -> Connection:
        """The audit's connection that bytes are counted for, begun anew when the last one has ended."""
        connection = self.connection
        if connection is None or connection.reason:
            connection = self.connection = self._connections.open(self.session, self.token, circuit_id(), client())
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


class Visits:
    """All visits of this process."""

    def __init__(self, sites: Sites, connections: Connections) -> None:
        self._sites = sites
        self._connections = connections
        self._all: dict[tuple[str, str], Visit] = {}

    def __iter__(self) -> Iterator[Visit]:
        return iter(list(self._all.values()))

    def of(self, session: ServiceSession, token: str) -> Visit:
        """The visit of a session that was just looked up."""
        key = (token, session.label)
        visit = self._all.get(key)
        if visit is not None:
            visit.session = session
            return visit
        if len(self._all) >= VISITS_LIMIT:
            self._all.pop(next(iter(self._all))).end("too many sessions")
        visit = self._all[key] = Visit(session, token, self._rules(session), self._connections)
        return visit

    def _rules(self, session: ServiceSession) -> Rules:
        service = session.service
        scheme = "https" if service["protocol"] == "https" else "http"
        siblings = {
            f"{row['protocol']}://{row['host']}:{row['port']}".lower(): self._sites.service_origin(row["label"])
            for row in session.siblings
        }
        origin = self._sites.service_origin(session.label)
        return Rules.of(origin, scheme, service["host"], int(service["port"]), siblings)

    def gone(self, token: str, label: str, reason: str) -> None:
        """The session of this visit has ended."""
        visit = self._all.pop((token, label), None)
        if visit is not None:
            visit.end(reason)

    def changed(self, token: str, session: ServiceSession) -> None:
        """The permission or the service of a visit changed: what runs under the old one is cut, then it begins anew."""
        self.gone(token, session.label, "access changed")

    def siblings(self, token: str, session: ServiceSession) -> None:
        """Other services of the device came or went: redirects follow, what is open goes on."""
        visit = self._all.get((token, session.label))
        if visit is not None:
            visit.session, visit.rules = session, self._rules(session)

    def sweep(self, now: float) -> None:
        """Called every few seconds: time limits of streams, and forgetting visits nobody uses."""
        for key, visit in list(self._all.items()):
            pool = visit.pool
            pool.sweep(now)
            if pool.busy or pool.waiting or visit.sockets:
                visit.used = now
            idle = now - visit.used > 120.0 and not pool.idle
            if idle and (visit.connection is None or visit.connection.reason):
                del self._all[key]
                visit.alive = False
