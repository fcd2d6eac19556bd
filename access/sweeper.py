"""What the access server does by itself: notes who fell silent, drops what has expired, cuts what lost permission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from access import (
    adhoc,
    circuits,
    connections,
    handoffs,
    presence,
    public_ports,
    relays,
    service_sessions,
    signing,
)
from access.db import Store
from access.events import Event
from access.kernel import Kernel
from access.models.people import UserSession
from panelgate.errors import PanelgateError
from panelgate.log import get_logger

log = get_logger("access.sweeper")

LIVENESS_SECONDS: Final = 2.0  # how much later than its limit a silent relay or web proxy is noticed
TIDY_SECONDS: Final = 60.0  # how often expired rows are dropped and ticket keys looked after
QUEUE_LIMIT: Final = 1000  # events waiting; a web proxy hears the same events and cuts by itself


async def run(kernel: Kernel) -> None:
    """Sweep until cancelled. A database that can't be used now is tried again at the next turn."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_every(LIVENESS_SECONDS, "liveness", lambda: liveness(kernel.store)))
        group.create_task(_every(TIDY_SECONDS, "tidy", lambda: tidy(kernel)))
        group.create_task(_cut_on_events(kernel))


async def _every(seconds: float, name: str, step: Callable[[], None]) -> None:
    while True:
        await _attempt(name, step)
        await asyncio.sleep(seconds)


async def _attempt(name: str, step: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(step)
    except PanelgateError as error:
        log.warning("sweep_failed", sweep=name, code=error.code)


def liveness(store: Store) -> None:
    """Devices of silent relays go offline, connections of silent web proxies end, devices to be moved are told."""
    presence.sweep(store)
    relays.push_moves(store)
    connections.sweep(store)


def tidy(kernel: Kernel) -> None:
    """Drop expired hand-offs, sessions and circuits; make the next ticket key in time."""
    handoffs.sweep(kernel.store)
    service_sessions.sweep(kernel.store)
    circuits.sweep(kernel.store)
    adhoc.sweep(kernel.store)
    public_ports.sweep(kernel.store, kernel.service_ports)
    with kernel.store.operator(write=True) as unit:
        signing.ensure(unit, kernel.keyring)


async def _cut_on_events(kernel: Kernel) -> None:
    """Cut circuits within the same second in which a session ends or a permission goes."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LIMIT)

    def put(event: Event) -> None:
        if queue.full():
            log.error("cut_queue_full", type=event["type"])
        else:
            queue.put_nowait(event)

    def hear(event: Event) -> None:
        if event["type"] in ("session.ended", "access.changed"):
            loop.call_soon_threadsafe(put, event)

    stop = kernel.hub.listen(hear)
    try:
        while True:
            await _attempt("cut", partial(cut, kernel.store, await queue.get()))
    finally:
        stop()


def cut(store: Store, event: Event) -> None:
    """Cut the circuits that an event leaves without permission."""
    if event["type"] == "session.ended":
        account_id = store.account_of(UserSession.id, event["session_id"])
        if account_id is not None:
            with store.account(account_id, write=True) as unit:
                circuits.cut_session(unit, event["session_id"], "session_ended")
    else:
        with store.account(event["account_id"], write=True) as unit:
            circuits.cut_forbidden(unit)
