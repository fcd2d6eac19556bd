"""How numbers are said to people: durations and bytes in words, times as machine-readable elements."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

_STEPS = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def parse_time(value: str | float | None) -> datetime | None:
    """Read an ISO 8601 UTC time or unix seconds; None for nothing or for something that is no time."""
    if not isinstance(value, (str, int, float)) or value == "":
        return None
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        parsed = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def duration(seconds: float | None) -> str:
    """Say a number of seconds in its one fitting unit: "3 hours", "a moment"."""
    if not isinstance(seconds, (int, float)):
        return ""
    for size, word in _STEPS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}" + ("" if count == 1 else "s")
    return "a moment" if seconds < 1 else f"{int(seconds)} second" + ("" if int(seconds) == 1 else "s")


def size(count: float | None) -> str:
    """Say a number of bytes in decimal units: "512 bytes", "3.4 MB"."""
    if not isinstance(count, (int, float)):
        return ""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    if unit == "bytes":
        return f"{int(value)} byte" + ("" if int(value) == 1 else "s")
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def time_tag(value: str | float | None, style: str = "ago", empty: str = "—") -> Markup:
    """Return a <time> element that static/js/times.js rewrites in the reader's zone.

    `style`: "ago" (3 hours ago), "since" (3 hours), "until" (in 12 minutes), "clock" (14:32), "stamp" (date and time).
    What is inside before the script runs is the UTC time, so the page is right without it.
    """
    moment = parse_time(value)
    if moment is None:
        return Markup("{}").format(empty)
    iso = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    plain = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}" data-as="{}" title="{}">{}</time>').format(iso, style, plain, plain)


def person(value: Any) -> str:
    """Return the name of a user, device or service that may come as an object or as its name."""
    if isinstance(value, Mapping):
        return str(value.get("display_name") or value.get("name") or value.get("slug") or "")
    return str(value) if value else ""


def initials(name: str) -> str:
    """Return up to two capital letters for an avatar."""
    words = [word for word in name.replace(".", " ").replace("-", " ").split() if word]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def count(number: int, one: str, many: str | None = None) -> str:
    """Say how many: count(1, "machine") is "1 machine", count(10000, "machine") is "10,000 machines"."""
    return f"{number:,} {one if number == 1 else (many or one + 's')}"


def browser(user_agent: str | None) -> str:
    """Name browser and system of a User-Agent in words; unknown ones are "Unknown browser"."""
    agent = user_agent or ""
    kinds = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    kind = next((word for mark, word in kinds if mark in agent), "Unknown browser")
    system = next((word for mark, word in systems if mark in agent), "")
    return f"{kind} on {system}" if system else kind


def lines(text: str) -> Markup:
    """Escape text and keep its line breaks."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


def sentence(text: str) -> str:
    """Return text with a capital at the start and a full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
