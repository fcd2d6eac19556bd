"""Why a viewer's connection ended: one WebSocket close code each, with the words the page shows.

The table `ENDS` is the only place of these sentences; the viewer page carries it as data. The close reason, at most 123
bytes (RFC 6455, section 5.5), is ``<reference> <detail>``: the reference is in the log, the detail is what the panel
said itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.frames import StreamError
from webproxy.forward.rfb import Trouble

MAX_REASON: Final = 123

After = Literal["again", "poll", "ask", "sign-in", "leave"]
"""What the page does next: connect again by itself with back-off; wait until the device is back; leave it to the
person; send the person to the sign-in; offer the way out only."""


class End(IntEnum):
    """Close codes; numbers are stable, because pages loaded yesterday meet today's server."""

    PASSWORD_WRONG = 4000
    PASSWORD_MISSING = 4001
    PANEL_REFUSED = 4002
    PORT_CLOSED = 4003
    UNREACHABLE = 4004
    TIMED_OUT = 4005
    DEVICE_OFFLINE = 4006
    NOT_VNC = 4007
    NO_COMMON_TYPE = 4008
    SESSION_ENDED = 4009
    PERMISSION_TAKEN = 4010
    RELAY_LOST = 4011
    ACCESS_DOWN = 4012
    PANEL_CLOSED = 4013
    TARGET_REFUSED = 4014
    TOO_MANY = 4015
    BROWSER_SILENT = 4016
    BAD_CLIENT = 4017
    BROKEN = 4018
    SERVICE_CHANGED = 4019


@dataclass(frozen=True, slots=True)
class Words:
    """What happened (``{target}`` is host and port), what to do, what follows, and how the panel's words are shown."""

    title: str
    happened: str
    todo: str
    after: After
    quote: str = "The panel says: “{said}”"


ENDS: Final[dict[End, Words]] = {
    End.PASSWORD_WRONG: Words(
        "The panel refused the password",
        "The panel at {target} did not accept the password stored for this service.",
        "Ask an administrator to enter the panel’s VNC password again. It was tried once only, so that the panel does "
        "not lock itself.",
        "ask",
    ),
    End.PASSWORD_MISSING: Words(
        "The panel wants a password",
        "The panel at {target} asks for a VNC password, and none is stored for this service.",
        "Ask an administrator to store the panel’s VNC password with the service.",
        "ask",
    ),
    End.PANEL_REFUSED: Words(
        "The panel refused the connection",
        "The panel at {target} answered, and then refused the connection.",
        "Some panels allow one viewer only, or pause after wrong passwords. Wait a minute, close other viewers, then "
        "try again.",
        "ask",
    ),
    End.PORT_CLOSED: Words(
        "VNC is not answering on the panel",
        "The machine’s network is there, but the panel at {target} does not accept connections on this port.",
        "Is VNC switched on at the panel, and is the port right? This page keeps trying.",
        "again",
    ),
    End.UNREACHABLE: Words(
        "The panel cannot be reached",
        "The machine is online, but its agent reaches nothing at {target}.",
        "Is the panel powered and its network cable in place? Is the address right? This page keeps trying.",
        "again",
    ),
    End.TIMED_OUT: Words(
        "The panel did not answer",
        "The panel at {target} did not answer in time.",
        "Is the panel powered, and is VNC switched on? A panel that is starting needs a minute. This page keeps "
        "trying.",
        "again",
    ),
    End.DEVICE_OFFLINE: Words(
        "The machine is offline",
        "Its agent has no connection to us.",
        "Is it powered, and does it reach the internet? This page comes back by itself when the machine does.",
        "poll",
    ),
    End.NOT_VNC: Words(
        "This is not a VNC server",
        "Something answers at {target}, but it does not speak VNC.",
        "Check the service’s port: VNC is usually 5900. A web page belongs in a service of the kind http.",
        "ask",
        "It began with: “{said}”",
    ),
    End.NO_COMMON_TYPE: Words(
        "The panel wants a sign-in that is not supported",
        "The panel at {target} offers only kinds of sign-in that cannot be used from here.",
        "Switch the panel’s VNC server to “VNC password” (or “no password”), then try again.",
        "ask",
        "It offers: {said}",
    ),
    End.SESSION_ENDED: Words(
        "Your session has ended",
        "You were signed out, or your session ran out.",
        "Sign in again to go on. Nothing was changed on the machine.",
        "sign-in",
    ),
    End.PERMISSION_TAKEN: Words(
        "You may no longer open this panel",
        "Your permission for this service was taken away, or the service was removed.",
        "Ask an administrator of your account if you still need it.",
        "leave",
    ),
    End.RELAY_LOST: Words(
        "The connection to the machine was lost",
        "The way between here and the machine was interrupted.",
        "Nothing to do: this page connects again by itself.",
        "again",
    ),
    End.ACCESS_DOWN: Words(
        "New connections are not possible just now",
        "The server that checks permissions does not answer.",
        "Nothing to do: this page tries again by itself. Panels that are already open stay open.",
        "again",
    ),
    End.PANEL_CLOSED: Words(
        "The panel ended the connection",
        "The panel at {target} closed the connection.",
        "It may be restarting, or somebody at the machine took over. This page connects again by itself.",
        "again",
    ),
    End.TARGET_REFUSED: Words(
        "The machine’s agent does not allow this panel",
        "The agent refused to open {target}: it is not on its own list.",
        "A change of the panel may not have reached the agent yet. Try again in a minute, else ask an administrator.",
        "ask",
    ),
    End.TOO_MANY: Words(
        "Too many connections",
        "The machine’s agent carries as many connections as it can.",
        "Close viewers that are no longer needed. This page tries again by itself.",
        "again",
    ),
    End.BROWSER_SILENT: Words(
        "The connection was lost",
        "Nothing was heard from this browser for a while.",
        "Nothing to do: this page connects again by itself.",
        "again",
    ),
    End.BAD_CLIENT: Words(
        "The viewer sent something unexpected",
        "The connection was closed, because the viewer sent a message that is not known here.",
        "Reload the page. If it happens again, tell support the reference below.",
        "ask",
    ),
    End.BROKEN: Words(
        "Something went wrong on our side",
        "The connection could not be made because of an error on our side.",
        "Try again. If it happens again, tell support the reference below.",
        "ask",
    ),
    End.SERVICE_CHANGED: Words(
        "The service was changed",
        "An administrator changed where this service leads to.",
        "Nothing to do: this page connects again by itself.",
        "again",
    ),
}

OF_TROUBLE: Final[dict[Trouble, End]] = {
    Trouble.NOT_VNC: End.NOT_VNC,
    Trouble.REFUSED: End.PANEL_REFUSED,
    Trouble.PASSWORD_MISSING: End.PASSWORD_MISSING,
    Trouble.PASSWORD_WRONG: End.PASSWORD_WRONG,
    Trouble.NO_COMMON_TYPE: End.NO_COMMON_TYPE,
}


OF_STREAM: Final[dict[int, End]] = {
    StreamError.REFUSED: End.TARGET_REFUSED,
    StreamError.UNKNOWN_SERVICE: End.TARGET_REFUSED,
    StreamError.CONNECTION_REFUSED: End.PORT_CLOSED,
    StreamError.UNREACHABLE: End.UNREACHABLE,
    StreamError.TIMEOUT: End.TIMED_OUT,
    StreamError.LIMIT: End.TOO_MANY,
    StreamError.INTERNAL: End.BROKEN,
    StreamError.CLOSED: End.RELAY_LOST,
}
"""What a stream's reset means to a person; PEER_RESET is not here, because before and after the handshake differ."""

_OF_ERROR: Final[dict[str, End]] = {
    "device_offline": End.DEVICE_OFFLINE,
    "access_down": End.ACCESS_DOWN,
    "no_session": End.SESSION_ENDED,
}

ACCESS_CHANGED: Final = "access changed"
"""Reason of a visit's end when permission or service changed (`webproxy.forward.visit.Visits.changed`)."""
SESSION_OVER: Final = frozenset({"session_ended", "session_expired", "signed out", "no_session"})


def end_of(error: PanelgateError) -> End:
    """Return what an error on the way to the device means to a person."""
    if error.code in _OF_ERROR:
        return _OF_ERROR[error.code]
    if isinstance(error, Refused):
        return End.PERMISSION_TAKEN
    return End.RELAY_LOST if isinstance(error, Unavailable) else End.BROKEN


def close_reason(reference: str, detail: str = "") -> str:
    """Return the close frame's reason: reference and detail, cut at a character so that it fits the frame."""
    text = f"{reference} {detail}".strip()
    return text.encode()[:MAX_REASON].decode(errors="ignore")
