"""What the relay says about itself: a JSON health page and Prometheus metrics. Numbers only, no names of anybody."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Numbers:
    """One look at a relay. Counters count since its start."""

    status: str
    relay_id: str
    version: str
    devices: int
    circuits: int
    waiting: int
    early_bytes: int
    handshakes: int
    circuits_opened: int
    bytes: int
    handshakes_failed: int
    admissions_refused: int
    requests_refused: int
    access_silent_seconds: float | None


# name, help, counter or gauge, field of Numbers
METRICS = (
    ("panelgate_relay_devices", "Agents with a control connection here.", "gauge", "devices"),
    ("panelgate_relay_circuits", "Circuits open or waiting.", "gauge", "circuits"),
    ("panelgate_relay_circuits_waiting", "Circuits whose agent has not dialled back yet.", "gauge", "waiting"),
    ("panelgate_relay_early_bytes", "Bytes held for agents that have not arrived yet.", "gauge", "early_bytes"),
    ("panelgate_relay_handshakes", "TLS handshakes in progress.", "gauge", "handshakes"),
    ("panelgate_relay_circuits_opened", "Circuits opened.", "counter", "circuits_opened"),
    ("panelgate_relay_bytes", "Bytes carried in circuits, both directions.", "counter", "bytes"),
    ("panelgate_relay_handshakes_failed", "TLS handshakes that failed.", "counter", "handshakes_failed"),
    ("panelgate_relay_admissions_refused", "Connections turned away before TLS.", "counter", "admissions_refused"),
    ("panelgate_relay_requests_refused", "Upgrades refused: tickets, limits, fences.", "counter", "requests_refused"),
)


def health(numbers: Numbers) -> bytes:
    """The health page as JSON. `status` is starting, ok, no-access (still serving) or stopping."""
    return json.dumps(
        {
            "status": numbers.status,
            "role": "relay",
            "relay": numbers.relay_id,
            "version": numbers.version,
            "devices": numbers.devices,
            "circuits": numbers.circuits,
            "access_silent_seconds": numbers.access_silent_seconds,
        }
    ).encode()


def metrics(numbers: Numbers) -> bytes:
    """The metrics page in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Once(numbers))
    return generate_latest(registry)


class _Once:
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for name, text, kind, field in METRICS:
            value = getattr(self._numbers, field)
            family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            yield family(name, text, value=value)
