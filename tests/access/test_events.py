"""Events from any thread into streams of lines."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

from access.events import QUEUE_BYTES, STREAMS, Hub
from panelgate.tasks import spawn

ENDED = {"type": "session.ended", "session_id": "1"}


async def following(stream: AsyncIterator[bytes]) -> list[dict[str, str]]:
    lines = await asyncio.wait_for(anext(stream), 5)
    return [json.loads(line) for line in lines.splitlines()]


async def test_a_stream_starts_with_a_ping_and_carries_its_types() -> None:
    hub = Hub()
    stream = hub.ndjson("webproxy")
    assert await following(stream) == [{"type": "ping"}]
    publisher = threading.Thread(target=lambda: [hub.publish(ENDED), hub.publish({"type": "device.cut"})])
    publisher.start()
    assert await following(stream) == [ENDED]
    publisher.join()
    await stream.aclose()  # type: ignore[attr-defined]


async def test_silence_is_filled_with_pings() -> None:
    stream = Hub().ndjson("relay", ping_seconds=0.01)
    assert [await following(stream) for _ in range(3)] == [[{"type": "ping"}]] * 3


async def test_every_reader_gets_every_event_and_a_closed_one_is_forgotten() -> None:
    hub = Hub()
    one, two = hub.ndjson("webproxy"), hub.ndjson("webproxy")
    await following(one)
    await following(two)
    hub.publish(ENDED)
    assert await following(one) == await following(two) == [ENDED]
    await one.aclose()  # type: ignore[attr-defined]
    assert len(hub._readers) == 1


async def test_a_reader_that_does_not_read_is_dropped() -> None:
    hub = Hub()
    stream = hub.ndjson("webproxy")
    await following(stream)
    big = {"type": "session.ended", "session_id": "x" * 1000}
    for _ in range(QUEUE_BYTES // 1000 + 1):
        hub.publish(big)
    assert [line async for line in stream] == []
    assert not hub._readers


def test_a_reader_whose_loop_has_gone_is_forgotten() -> None:
    hub = Hub()

    async def start() -> AsyncIterator[bytes]:
        stream = hub.ndjson("webproxy")
        await anext(stream)
        return stream

    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(start())
    loop.close()
    hub.publish(ENDED)
    assert not hub._readers
    del stream


def test_listeners_hear_everything_until_they_stop() -> None:
    hub, heard = Hub(), []
    stop = hub.listen(heard.append)
    hub.publish(ENDED)
    stop()
    hub.publish(ENDED)
    assert heard == [ENDED]


def test_no_type_is_for_nobody() -> None:
    assert {"session.ended", "access.changed"} <= STREAMS["webproxy"]
    assert not STREAMS["webproxy"] & STREAMS["relay"]


async def test_a_server_that_stops_ends_its_streams() -> None:
    hub = Hub()
    stream = hub.ndjson("webproxy")
    await following(stream)
    waiting = spawn("reader", following(stream))
    await asyncio.sleep(0)
    hub.publish(ENDED)
    hub.close()
    assert await waiting == [ENDED]
    assert [line async for line in stream] == []
    late = hub.ndjson("relay")
    assert len([line async for line in late]) == 1
