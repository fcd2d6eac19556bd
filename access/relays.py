"""The relays: joining the ranks, reporting, being chosen at every connect, and moving a device between them."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from access import audit
from access.db import Store, Unit
from access.models.machines import Device, Presence, Relay
from panelgate.errors import BadInput, Unavailable

REPORT_SECONDS: Final = 5  # how often a relay reports
DEAD_SECONDS: Final = 15.0  # three missed reports
LATE_SECONDS: Final = 7.0  # one missed report: an agent that comes back now has probably just lost this relay
DEVICE_WEIGHT: Final = 0.1  # an idle control connection costs a small part of what a circuit costs


def register(unit: Unit, relay_id: str, url: str, version: str) -> Relay:
    """Note where a relay that has joined answers. `url` is wss://host[:port]. BadInput(bad_url)."""
    parts = urlsplit(url)
    if parts.scheme != "wss" or not parts.hostname or parts.username or parts.query or parts.fragment or len(url) > 255:
        raise BadInput("bad_url", "A relay's address looks like wss://relay.example.com.", {"url": url[:255]})
    relay = unit.get(Relay, relay_id) or unit.add(
        Relay(id=relay_id, joined=unit.now, url="", version="", circuits=0, devices=0, bytes=0)
    )
    relay.url = url.rstrip("/")
    relay.version = version[:32]
    relay.registered = unit.now
    relay.last_report = unit.now
    return relay


def report(unit: Unit, relay_id: str, *, circuits: int, devices: int, transferred: int) -> Relay:
    """Note a relay's load; `transferred` in bytes since it started."""
    relay = unit.get(Relay, relay_id)
    if relay is None or relay.registered is None:
        raise BadInput("not_registered", "Register first: nobody knows this relay's address yet.", {})
    relay.last_report = unit.now
    relay.circuits = circuits
    relay.devices = devices
    relay.bytes = transferred
    return relay


def is_live(relay: Relay, now: float) -> bool:
    """Whether a relay has reported lately."""
    return relay.last_report is not None and now - relay.last_report < DEAD_SECONDS


def choose(relays: Sequence[Relay], now: float, *, wanted: str | None = None, avoid: str | None = None) -> Relay | None:
    """The relay a device is sent to: a live one, the wanted one before others, then the least loaded.

    `avoid` is the relay at which the device's last try came to nothing: the last resort, as is one whose report is
    late. None when no relay lives.
    """

    def order(relay: Relay) -> tuple[bool, bool, float, str]:
        late = relay.id == avoid or now - (relay.last_report or 0.0) > LATE_SECONDS
        return late, relay.id != wanted, relay.circuits + relay.devices * DEVICE_WEIGHT, relay.id

    return min((relay for relay in relays if is_live(relay, now)), key=order, default=None)


def assign(unit: Unit, presence: Presence) -> Relay:
    """Choose a relay for a device that connects now; the connect counter grows, so older reports no longer count.

    Unavailable(no_relay) when none lives.
    """
    failed = presence.relay_id if presence.counter > presence.up_counter else None
    relay = choose(unit.all(Relay), unit.now, wanted=presence.wanted_relay_id, avoid=failed)
    if relay is None:
        raise Unavailable("no_relay", "No relay is running. Start one, the device connects by itself then.")
    presence.counter += 1
    presence.relay_id = relay.id
    # Until the next report the choice itself is the news: a crowd that connects at once must spread.
    relay.devices += 1
    return relay


def move(unit: Unit, device: Device, relay_id: str) -> None:
    """Operator: send a device to another relay. Its agent connects there before it leaves the old one.

    It is written down here and carried out by `push_moves`, so that a command line can ask for it as well.
    BadInput(relay_dead) when that relay does not report.
    """
    relay = unit.need(Relay, relay_id)
    if not is_live(relay, unit.now):
        raise BadInput("relay_dead", "That relay is not running. Choose one that is.", {"relay": relay.url})
    presence_of(unit, device).wanted_relay_id = relay.id
    audit.append(unit, "device.move", device_id=device.id, device=device.slug, facts={"relay": relay.url})


def push_moves(store: Store) -> int:
    """Ask the agents that are to move to connect anew; how many. One that is connecting already is left alone."""
    with store.operator() as unit:
        live = {relay.id for relay in unit.all(Relay) if is_live(relay, unit.now)}
        waiting = unit.all(Presence, Presence.online.is_(True), Presence.wanted_relay_id.is_not(None))
        due = [
            row
            for row in waiting
            if row.wanted_relay_id in live and row.wanted_relay_id != row.up_relay_id and row.counter == row.up_counter
        ]
        for row in due:
            unit.publish({"type": "device.cut", "device_id": row.device_id, "reason": "moved"})
    return len(due)


def presence_of(unit: Unit, device: Device) -> Presence:
    """The presence row of a device, made when it is missing (needs a writing unit)."""
    row = unit.find(Presence, Presence.device_id == device.id)
    if row is None:
        row = unit.add(
            Presence(
                device_id=device.id, account_id=device.account_id, counter=0, up_counter=0, online=False, address=""
            )
        )
    return row
