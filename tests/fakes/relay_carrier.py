"""A carrier that writes down what was done with it."""

import json
from typing import Any


class FakeCarrier:
    """Records writes, messages, pauses and the close; `taken` is everything written, joined."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self.reading = True
        self.closed: tuple[int, str] | None = None

    @property
    def is_open(self) -> bool:
        return self.closed is None

    @property
    def taken(self) -> bytes:
        return b"".join(self.written)

    def write(self, data: bytes) -> None:
        assert self.closed is None, "written after close"
        self.written.append(data)

    def send_message(self, text: str) -> None:
        assert self.closed is None, "sent after close"
        self.messages.append(json.loads(text))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.closed is None:
            self.closed = (code, reason)


class FakeTimers:
    """`call_later` whose time passes when told to."""

    def __init__(self) -> None:
        self.handles: list[FakeHandle] = []

    def call_later(self, seconds: float, callback: Any) -> "FakeHandle":
        handle = FakeHandle(seconds, callback)
        self.handles.append(handle)
        return handle

    def pass_time(self) -> None:
        """Everything that still waits is due."""
        due, self.handles = self.handles, []
        for handle in due:
            if not handle.cancelled:
                handle.callback()


class FakeHandle:
    def __init__(self, seconds: float, callback: Any) -> None:
        self.seconds = seconds
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
