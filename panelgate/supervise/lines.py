"""One line of the merged log, made from a line that a child wrote. Pure."""

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

NAME_WIDTH = 10
"""Columns of the role's name: the longest is "demo-panel"."""
MAX_LINE = 64 * 1024
"""Bytes of a child's line; a longer one is dropped with a note, so that no child can fill our memory."""

_HIDDEN = {"event", "timestamp", "level", "role", "logger", "module", "exception"}
_ROLE_COLOURS = {
    "panelgate": "1",
    "access": "34",
    "relay": "35",
    "webproxy": "36",
    "agent": "32",
    "demo-hmi": "33",
    "demo-panel": "33",
}
_LEVEL_COLOURS = {"warning": "33", "error": "31", "critical": "31"}
_ODD = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")
"""Control characters, tab and line feed apart: what came from a network must not steer a terminal."""


@dataclass(frozen=True)
class Style:
    """How lines look: with colour (a terminal) or without, and in which zone times are shown."""

    colour: bool
    zone: tzinfo | None = None

    def paint(self, text: str, code: str | None) -> str:
        """Return `text` in an ANSI colour, where there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


def format_line(style: Style, role: str, line: str, now: float) -> str:
    """Return a child's line, JSON or not, as a line of the merged log; `now` is its unix time unless it says one.

    A trace that comes with it follows on indented lines.
    """
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return _join(style, role, _clock_time(style, None, now), _clean(line))
    level = str(event.get("level", "info"))
    words = [style.paint(_clean(str(event.get("event", ""))), _LEVEL_COLOURS.get(level))]
    words += [f"{key}={_value(value)}" for key, value in event.items() if key not in _HIDDEN]
    text = " ".join(words)
    if level in _LEVEL_COLOURS and not style.colour:
        text = f"{level}: {text}"
    trace = event.get("exception")
    shown = _join(style, role, _clock_time(style, event.get("timestamp"), now), text)
    if isinstance(trace, str):
        shown += "".join(f"\n    {_clean(part)}" for part in trace.splitlines())
    return shown


def _join(style: Style, role: str, moment: str, text: str) -> str:
    name = style.paint(f"{role:<{NAME_WIDTH}}", _ROLE_COLOURS.get(role))
    return f"{moment}  {name}  {text}"


def _clock_time(style: Style, stamp: object, now: float) -> str:
    moment = datetime.fromtimestamp(now, UTC)
    if isinstance(stamp, str):
        with contextlib.suppress(ValueError):  # not a time: the moment of reading is near enough
            moment = datetime.fromisoformat(stamp)
    return moment.astimezone(style.zone).strftime("%H:%M:%S")


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = _clean(text)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def _clean(text: str) -> str:
    return text.translate(_ODD)
