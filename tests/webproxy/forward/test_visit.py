from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from panelgate.options import ServiceOptions
from panelgate.response import ResponseReader
from tests.fakes.front import running, until
from webproxy.forward import visit


class Socket:
    def __init__(self) -> None:
        self.reason = ""

    def cut(self, reason: str) -> None:
        self.reason = reason


async def test_one_visit_per_session_and_service() -> None:
    async with running() as front:
        session = await front.web.sessions.get("tok", front.label)
        first = front.web.visits.of(session, "tok")
        assert front.web.visits.of(session, "tok") is first
        assert first.rules.authority == b"10.0.0.5"


async def test_the_end_cuts_what_is_open() -> None:
    async with running() as front:
        session = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(session, "tok")
        connection = found.counted(lambda: {"address": "1.2.3.4", "user_agent": ""}, lambda: "c1")
        assert found.counted(dict, str) is connection
        socket = Socket()
        assert found.add_socket(socket)
        front.web.sessions.drop("tok", front.label, "signed out")
        assert socket.reason == "signed out"
        assert connection.reason == "signed out"
        assert not found.alive
        assert list(front.web.visits) == []


async def test_a_changed_permission_begins_anew() -> None:
    async with running() as front:
        session = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(session, "tok")
        front.web.visits.changed("tok", session)
        assert not found.alive
        assert front.web.visits.of(session, "tok") is not found


async def test_sockets_are_counted_and_unused_visits_forgotten() -> None:
    async with running() as front:
        session = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(session, "tok")
        sockets = [Socket() for _ in range(visit.SOCKETS_LIMIT)]
        assert all(found.add_socket(socket) for socket in sockets)
        assert not found.add_socket(Socket())
        front.web.visits.sweep(1000.0)
        assert list(front.web.visits) == [found]
        for socket in sockets:
            found.drop_socket(socket)
        front.web.visits.sweep(2000.0)
        assert list(front.web.visits) == []


async def test_redirects_lead_to_the_sibling_services_of_the_moment() -> None:
    async with running() as front:
        front.device.answer = b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.5:9000/live\r\nContent-Length: 0\r\n\r\n"
        assert (await front.ask(front.head())).status == 502
        cam = {"host": "10.0.0.5", "port": 9000, "protocol": "http", "label": "cam--press--acme"}
        front.access.sessions["tok", front.label]["siblings"] = [cam]
        front.web.sessions.event({"type": "resync"})
        found = next(iter(front.web.visits))
        await until(lambda: found.session.siblings)
        answer = await front.ask(front.head())
        assert (answer.status, answer.value("location")) == (302, "http://cam--press--acme.apps.localhost:8080/live")
        assert found.alive


async def test_a_coding_that_can_not_be_read_is_said_once() -> None:
    async with running(session={"options": {"rewrite": True}}) as front:
        session = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(session, "tok")
        reader = ResponseReader()
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\n")
        assert reader.head is not None
        with structlog.testing.capture_logs() as logs:
            assert [found.rewrites(reader.head) for _ in range(3)] == [False] * 3
        assert [line["event"] for line in logs] == ["text not rewritten"]


async def test_companions_end_with_the_visit_and_stay_while_nothing_changes() -> None:
    row = {
        "id": "svc2", "slug": "cam", "host": "10.0.0.5", "port": 9000, "protocol": "http", "label": "cam--press--acme",
        "permission": "watch",
    }  # fmt: skip
    session = {"options": {"companions": ["cam", "none"]}, "siblings": [row]}
    async with running(session=session) as front:
        known = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(known, "tok")
        assert found.companion("none") is None
        part = found.companion("cam")
        assert part is not None
        assert found.companion("cam") is part
        assert part.session.permission == "watch"
        assert part.rules.prefix == b"/.pg/companion/cam"
        front.web.visits.siblings("tok", replace(known, siblings=(row, {**row, "id": "svc3", "slug": "b", "port": 1})))
        assert part.alive
        assert found.companion("cam") is part
        assert part.rules.addresses is found.rules.addresses
        front.web.visits.siblings("tok", replace(known, siblings=({**row, "permission": "operate"},)))
        assert not part.alive
        again = found.companion("cam")
        front.web.visits.gone("tok", front.label, "signed out")
        assert again is not None
        assert not again.alive


@pytest.mark.parametrize("what", ["permission", "options", "siblings"])
async def test_what_changed_while_a_session_was_forgotten_counts(what: str) -> None:
    """The look-up's cache is bounded: then it forgets a session that is in use, and nobody tells of changes."""
    row = {
        "id": "svc2", "slug": "cam", "host": "10.0.0.5", "port": 9000, "protocol": "http", "label": "cam--press--acme",
        "permission": "operate",
    }  # fmt: skip
    async with running(session={"options": {"companions": ["cam"]}, "siblings": [row]}) as front:
        known = await front.web.sessions.get("tok", front.label)
        found = front.web.visits.of(known, "tok")
        part = found.companion("cam")
        assert part is not None
        changed = {
            "permission": replace(known, permission="watch"),
            "options": replace(known, service={**known.service, "options": {}}, options=ServiceOptions()),
            "siblings": replace(known, siblings=()),
        }[what]
        now = front.web.visits.of(changed, "tok")
        assert not part.alive
        assert (now.companion("cam") is None) == (what != "permission")
        assert now.alive
        assert now.session is changed
        assert now.rules.options == changed.options
        assert (now is found) == (what == "siblings")
