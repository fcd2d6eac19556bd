"""Who is online: relays report it, a connect counter fences it, dead relays take their devices with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from access import audit
from access.db import Store, Unit
from access.models.machines import Device, Presence, Relay
from access.relays import REPORT_SECONDS, is_live
from panelgate.clock import iso


@dataclass(frozen=True, slots=True)
class Seen:
    """One device in a relay's report. `counter` comes from the control ticket, `address` is the agent's."""

    device_id: str
    counter: int
    address: str


def status(row: Presence | None) -> tuple[str, str | None]:
    """("online" | "offline" | "never", since when as ISO 8601)."""
    if row is None or row.since is None:
        return "never", None
    return ("online" if row.online else "offline"), iso(row.since)


def note(store: Store, relay_id: str, seen: Seen, *, up: bool) -> bool:
    """Take one report into account; False when the fence turns it away.

    Turned away is a counter that was never given, one below the newest that was up, and a relay that is not the one the
    counter was given for. A change is audited, and told to the web proxies after the commit.
    """
    account_id = store.account_of(Presence.device_id, seen.device_id)
    if account_id is None:
        return False
    with store.account(account_id, write=True) as unit:
        row = unit.find(Presence, Presence.device_id == seen.device_id)
        if row is None or not _fits(row, relay_id, seen.counter):
            return False
        if up:
            row.up_counter, row.up_relay_id = seen.counter, relay_id
            row.address = seen.address[:64] or row.address
            if relay_id == row.wanted_relay_id:
                row.wanted_relay_id = None
        elif row.up_counter != seen.counter:
            return False
        _set(unit, row, online=up, why="connected" if up else "disconnected")
    return True


def _fits(row: Presence, relay_id: str, counter: int) -> bool:
    if counter == row.counter:
        return relay_id == row.relay_id
    return counter == row.up_counter and relay_id == row.up_relay_id


def _set(unit: Unit, row: Presence, *, online: bool, why: str) -> None:
    if row.online == online and row.since is not None:
        return
    before, row.online, row.since = row.since, online, unit.now
    device = unit.get(Device, row.device_id)
    if device is None:
        return
    audit.append(
        unit, "device.online" if online else "device.offline", device_id=device.id, device=device.slug,
        address=row.address or None, facts={"why": why},
        duration=unit.now - before if before is not None and not online else None,
    )  # fmt: skip
    unit.publish(event(device, row))


def event(device: Device, row: Presence) -> dict[str, Any]:
    """The event that tells web proxies a device's status."""
    word, since = status(row)
    return {
        "type": "device.status", "account_id": device.account_id, "device_id": device.id, "slug": device.slug,
        "status": word, "since": since,
    }  # fmt: skip


def reconcile(store: Store, relay_id: str, devices: Iterable[Seen]) -> list[str]:
    """Bring presence in line with a relay's full list: who is in it is up, who was there and is not, is down.

    A list without changes writes nothing. The ids of listed devices whose counter does not count come back.
    """
    refused: list[str] = []
    listed = {seen.device_id: seen for seen in devices}
    with store.operator() as unit:
        here = {
            row.device_id: row
            for row in unit.all(Presence, Presence.up_relay_id == relay_id, Presence.online.is_(True))
        }
        now = unit.now
    for seen in listed.values():
        known = here.get(seen.device_id)
        news = known is None or known.up_counter != seen.counter or known.address != seen.address
        if news and not note(store, relay_id, seen, up=True):
            refused.append(seen.device_id)
    for row in here.values():
        # A list that was written down just before a device came up does not know it yet.
        if row.device_id not in listed and now - (row.since or 0.0) > REPORT_SECONDS:
            note(store, relay_id, Seen(row.device_id, row.up_counter, ""), up=False)
    return refused


def revoked(store: Store, device_ids: Sequence[str]) -> list[str]:
    """Of these devices, those that no agent is bound to: deleted, released, or never there."""
    if not device_ids:
        return []
    with store.operator() as unit:
        bound = unit.all(Device, Device.id.in_(device_ids), Device.serial.is_not(None), Device.deleted.is_(None))
    known = {row.id for row in bound}
    return [ident for ident in device_ids if ident not in known]


def take_offline(unit: Unit, device: Device, why: str) -> None:
    """Take a device offline at once: its certificate was revoked, or it was deleted.

    The counter moves on, so that a relay that has not cut it yet can't report it as up.
    """
    row = unit.find(Presence, Presence.device_id == device.id)
    if row is None:
        return
    row.counter += 1
    row.up_counter, row.relay_id, row.up_relay_id = row.counter, None, None
    if row.online:
        _set(unit, row, online=False, why=why)


def sweep(store: Store) -> int:
    """Take the devices of relays that fell silent offline; how many."""
    with store.operator() as unit:
        live = {relay.id for relay in unit.all(Relay) if is_live(relay, unit.now)}
        lost = [row for row in unit.all(Presence, Presence.online.is_(True)) if row.up_relay_id not in live]
    for found in lost:
        with store.account(found.account_id, write=True) as unit:
            row = unit.find(Presence, Presence.device_id == found.device_id)
            if row is not None and row.online and row.up_relay_id not in live:
                _set(unit, row, online=False, why="relay lost")
    return len(lost)
