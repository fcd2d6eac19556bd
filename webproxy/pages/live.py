"""Server-sent events: a page learns that something of its account changed, and asks for itself again.

An event carries no data: what a user may see is decided where the page is made, not here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse

from webproxy.pages.session import Visit, page

# Proxies between us and the browser drop a silent connection after a minute or less.
KEEPALIVE_SECONDS = 20.0
# At most one refresh in so long, however much happens among 10,000 machines.
QUIET_SECONDS = 1.0
# A page opens its stream again by itself; the limit bounds how long an ended session could hold one.
STREAM_SECONDS = 600.0
# Tabs of one session; each shows at most one stream, and only while it is visible.
STREAMS_PER_SESSION = 12

_open: Counter[str] = Counter()


class Watcher:
    """Turns the events of access into "change" and "ended" for one session's page."""

    def __init__(self, account_id: str, session_id: str) -> None:
        self._account_id = account_id
        self._session_id = session_id
        self._woken = asyncio.Event()
        self.changed = False
        self.ended = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Look at one event of access."""
        kind = event.get("type")
        if kind == "session.ended" and event.get("session_id") == self._session_id:
            self.ended = True
        elif kind == "resync" or event.get("account_id") == self._account_id:
            self.changed = True
        if self.ended or self.changed:
            self._woken.set()

    async def next(self, seconds: float) -> str:
        """Return "change", "ended", or "quiet" after `seconds` without either."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return "quiet"
        self._woken.clear()
        if self.ended:
            return "ended"
        self.changed = False
        return "change"


async def stream(
    watcher: Watcher, quiet: float = QUIET_SECONDS, keepalive: float = KEEPALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """Yield the events of a watcher in the format of server-sent events, until its session ends."""
    loop = asyncio.get_running_loop()
    until = loop.time() + STREAM_SECONDS
    yield b"retry: 3000\nevent: ready\ndata:\n\n"
    while (left := until - loop.time()) > 0:
        word = await watcher.next(min(keepalive, left))
        if word == "quiet":
            yield b": still here\n\n"
            continue
        yield f"event: {word}\ndata:\n\n".encode()
        if word == "ended":
            return
        await asyncio.sleep(quiet)


@page()
async def live(visit: Visit) -> Response:
    """GET /live: an endless event stream; 429 when the session has too many."""
    assert visit.session is not None
    session_id = visit.session["session_id"]
    if _open[session_id] >= STREAMS_PER_SESSION:
        return Response(status_code=429, headers={"retry-after": "10"})
    watcher = Watcher(visit.session["account"]["id"], session_id)
    events = visit.web.events

    async def body() -> AsyncIterator[bytes]:
        # Counted from its first step on: a browser that leaves before that never gets to the end of this either.
        unsubscribe = events.subscribe(watcher.take)
        _open[session_id] += 1
        try:
            async for chunk in stream(watcher):
                yield chunk
        finally:
            unsubscribe()
            _open[session_id] -= 1
            if _open[session_id] <= 0:
                del _open[session_id]

    return StreamingResponse(body(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
