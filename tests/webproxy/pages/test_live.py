import asyncio
from types import SimpleNamespace

from starlette.requests import Request

from tests.fakes.portal_access import FakeWeb
from tests.fakes.portal_browser import browse
from webproxy.pages.live import STREAMS_PER_SESSION, Watcher, live, stream


async def test_changes_of_the_account_only():
    watcher = Watcher("a1", "s1")
    watcher.take({"type": "device.status", "account_id": "other"})
    watcher.take({"type": "session.ended", "session_id": "other"})
    assert await watcher.next(0.01) == "quiet"
    watcher.take({"type": "device.status", "account_id": "a1"})
    watcher.take({"type": "connection.changed", "account_id": "a1"})
    assert await watcher.next(1) == "change"
    assert await watcher.next(0.01) == "quiet"
    watcher.take({"type": "resync"})
    assert await watcher.next(1) == "change"
    watcher.take({"type": "session.ended", "session_id": "s1"})
    assert await watcher.next(1) == "ended"


async def test_the_stream_ends_with_its_session():
    watcher = Watcher("a1", "s1")
    chunks = []
    async with asyncio.timeout(5):
        async for chunk in stream(watcher, quiet=0, keepalive=0.01):
            chunks.append(chunk)
            if len(chunks) == 1:
                watcher.take({"type": "access.changed", "account_id": "a1"})
            elif chunk.startswith(b": still"):
                watcher.take({"type": "session.ended", "session_id": "s1"})
    assert chunks[0].startswith(b"retry:")
    assert chunks[1] == b"event: change\ndata:\n\n"
    assert chunks[-1] == b"event: ended\ndata:\n\n"


async def test_browsers_that_leave_at_once_use_nothing_up():
    web = FakeWeb()
    scope = {
        "type": "http", "method": "GET", "path": "/live", "query_string": b"",
        "app": SimpleNamespace(state=SimpleNamespace(web=web)),
        "headers": [(b"cookie", b"__Host-pgs=full-token")], "client": ("203.0.113.7", 1), "scheme": "http",
        "server": ("portal.localhost", 8080),
    }  # fmt: skip
    for _ in range(STREAMS_PER_SESSION + 1):
        answer = await live(Request(scope))
        assert answer.status_code == 200
        await answer.body_iterator.aclose()
    assert web.events.callbacks == []


async def test_nobody_listens_without_a_session():
    async with browse(token=None) as client:
        assert (await client.get("/live")).status_code == 303


def test_the_fake_forgets_who_left():
    web = FakeWeb()
    seen = []
    leave = web.events.subscribe(seen.append)
    web.events.emit(type="x")
    leave()
    web.events.emit(type="y")
    assert seen == [{"type": "x"}]
