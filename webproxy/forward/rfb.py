"""The RFB handshake on both sides of the proxy, without I/O (RFC 6143, sections 7.1 to 7.3.1).

The proxy is a client of the panel and a server for the browser, so that the panel's password stays here:

    panel                         proxy                            browser
      | -- "RFB 003.00x" ----------> |  -- "RFB 003.008", 01 01, 00000000 --> |
      | <- version, type, response - |                                        |
      | -- SecurityResult ---------> |  <- version, type 1 ------------------ |
      | <- ClientInit, shared ------ |  <- ClientInit (its flag is dropped) - |
      | == ServerInit and all that follows: opaque to this module ==========> |

`PanelHandshake` walks its table `_STEPS`; a step names how many bytes it waits for. What a panel sends is hostile until
shown otherwise: nothing is kept beyond the bytes of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import ClassVar

from webproxy.forward import vncauth

BANNER_BYTES = 12
SHARED = b"\x01"
"""ClientInit with the shared flag: without it a remote user would throw the operator at the machine off his panel."""

MAX_TEXT = 512
"""Bytes of a panel's reason that are kept; it may announce four gibibytes."""
MAX_FIRST_WORDS = 64
"""Bytes kept of what a server said that does not speak VNC: enough to recognise a web or SSH server."""

NONE, VNC_AUTH = 1, 2

TYPE_NAMES = {
    1: "no password",
    2: "VNC password",
    5: "RealVNC RA2",
    6: "RealVNC RA2ne",
    13: "RealVNC RA2_256",
    16: "Tight",
    17: "UltraVNC",
    18: "TLS",
    19: "VeNCrypt (TLS)",
    20: "SASL",
    22: "xvp",
    30: "Apple Remote Desktop",
    33: "Apple Kerberos",
    35: "Apple",
    113: "UltraVNC MS-Logon II",
    129: "RealVNC RA2",
    133: "RealVNC",
}
"""Security types in words (IANA registry "Remote Framebuffer Security Types", and what vendors assigned themselves)."""


class Trouble(Enum):
    """Why a handshake with a panel ended without a picture."""

    NOT_VNC = auto()
    REFUSED = auto()
    PASSWORD_MISSING = auto()
    PASSWORD_WRONG = auto()
    NO_COMMON_TYPE = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """A trouble and what the panel said about it, printable and at most `MAX_TEXT` characters."""

    trouble: Trouble
    said: str = ""


class Step(Enum):
    """Where the handshake with a panel stands; named after what is awaited."""

    BANNER = auto()
    SERVER_CHOICE = auto()
    TYPE_COUNT = auto()
    TYPES = auto()
    CHALLENGE = auto()
    RESULT = auto()
    REASON_LENGTH = auto()
    REASON = auto()
    DONE = auto()
    FAILED = auto()


def printable(data: bytes, limit: int = MAX_TEXT) -> str:
    """Return what a panel said as one line of text: UTF-8 where it is, else ISO 8859-1, without control characters."""
    data = data[:limit]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def type_words(types: bytes) -> str:
    """Return the offered security types in words, e.g. ``VeNCrypt (TLS) [19], type 77``."""
    return ", ".join(f"{TYPE_NAMES[t]} [{t}]" if t in TYPE_NAMES else f"type {t}" for t in dict.fromkeys(types))


def version_of(banner: bytes) -> tuple[int, int]:
    """Return the RFB version to speak with a server that sent `banner`: (3, 3), (3, 7) or (3, 8).

    Odd versions are read as their makers meant them: 3.889 is Apple's 3.8, 4.x and 5.x are RealVNC's and Intel's 3.8,
    and everything between 3.3 and 3.7 (3.5 and 3.6 exist) is 3.3, as RFC 6143, section 7.1.1, asks.

    Raises:
        ValueError: this is no RFB banner.
    """
    major, dot, minor = banner[4:7], banner[7:8], banner[8:11]
    if banner[:4] != b"RFB " or dot != b"." or banner[11:12] != b"\n" or not (major + minor).isdigit():
        raise ValueError("not an RFB banner")
    version = (int(major), int(minor))
    if version >= (3, 8):
        return (3, 8)
    return (3, 7) if version == (3, 7) else (3, 3)


@dataclass(slots=True)
class PanelHandshake:
    """The proxy as a client of the panel, from its banner up to and including our ClientInit.

    Feed bytes; take what is to be sent from `take_output`. Afterwards `done` or `failure` is set; `rest` holds the
    bytes that followed the handshake, which belong to the stream. At most one response to a challenge is ever made:
    many panels lock everybody out after a few wrong ones, and all users share the agent's address.
    """

    password: str | None = field(repr=False)
    step: Step = Step.BANNER
    version: tuple[int, int] | None = None
    chosen: int | None = None
    failure: Failure | None = None
    _need: int = BANNER_BYTES
    _buffer: bytearray = field(default_factory=bytearray, repr=False)
    _output: bytearray = field(default_factory=bytearray, repr=False)
    _trouble: Trouble = Trouble.REFUSED

    @property
    def done(self) -> bool:
        """Whether the panel accepted us; ServerInit comes next."""
        return self.step is Step.DONE

    @property
    def rest(self) -> bytes:
        """Bytes received behind the handshake; empty until `done`."""
        return bytes(self._buffer) if self.done else b""

    def feed(self, data: bytes) -> None:
        """Take bytes from the panel. Bytes after a failure are dropped."""
        if self.step is Step.FAILED:
            return
        self._buffer += data
        if self.step is Step.BANNER and not _may_be_banner(self._buffer):
            self._fail(Trouble.NOT_VNC, printable(bytes(self._buffer), MAX_FIRST_WORDS))
        while self.step in self._STEPS and len(self._buffer) >= self._need:
            chunk = bytes(self._buffer[: self._need])
            del self._buffer[: self._need]
            self._STEPS[self.step](self, chunk)

    def take_output(self) -> bytes:
        """Return and forget the bytes to send to the panel."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def ended(self) -> Failure:
        """The panel closed its side before the handshake was done: return what that means."""
        if self.failure is None:
            if self.step is Step.REASON:
                self._fail(self._trouble, printable(bytes(self._buffer)))
            elif self.step is Step.REASON_LENGTH:
                self._fail(self._trouble)
            elif self.step is Step.RESULT and self.chosen == VNC_AUTH:
                # Servers of the 3.3 age hang up on a wrong password without a word.
                self._fail(Trouble.PASSWORD_WRONG)
            elif self.step is Step.BANNER and self._buffer:
                self._fail(Trouble.NOT_VNC, printable(bytes(self._buffer), MAX_FIRST_WORDS))
            else:
                self._fail(Trouble.REFUSED)
        return self.failure or Failure(Trouble.REFUSED)

    def _await(self, step: Step, need: int) -> None:
        self.step, self._need = step, need

    def _fail(self, trouble: Trouble, said: str = "") -> None:
        self.step = Step.FAILED
        self.failure = Failure(trouble, said)
        self._buffer.clear()

    def _accepted(self) -> None:
        self._output += SHARED
        self.step = Step.DONE

    def _banner(self, chunk: bytes) -> None:
        try:
            self.version = version_of(chunk)
        except ValueError:
            self._fail(Trouble.NOT_VNC, printable(chunk, MAX_FIRST_WORDS))
            return
        self._output += b"RFB %03d.%03d\n" % self.version
        if self.version == (3, 3):
            self._await(Step.SERVER_CHOICE, 4)
        else:
            self._await(Step.TYPE_COUNT, 1)

    def _server_choice(self, chunk: bytes) -> None:
        chosen = int.from_bytes(chunk, "big")
        if chosen == 0:
            self._await(Step.REASON_LENGTH, 4)
        elif chosen > 0xFF:
            self._fail(Trouble.NO_COMMON_TYPE, f"type {chosen}")
        else:
            self._choose(bytes([chosen]))

    def _type_count(self, chunk: bytes) -> None:
        if chunk[0] == 0:
            self._await(Step.REASON_LENGTH, 4)
        else:
            self._await(Step.TYPES, chunk[0])

    def _choose(self, types: bytes) -> None:
        """Pick a type: with a stored password the panel's password check, which says who may do what, else none."""
        wanted = (VNC_AUTH, NONE) if self.password else (NONE,)
        self.chosen = next((t for t in wanted if t in types), None)
        if self.chosen is None:
            if VNC_AUTH in types:
                self._fail(Trouble.PASSWORD_MISSING)
            else:
                self._fail(Trouble.NO_COMMON_TYPE, type_words(types))
            return
        if self.version != (3, 3):
            self._output.append(self.chosen)
        if self.chosen == VNC_AUTH:
            self._await(Step.CHALLENGE, vncauth.CHALLENGE_BYTES)
        elif self.version == (3, 8):
            self._await(Step.RESULT, 4)
        else:
            # Before 3.8 the type None has no SecurityResult (RFC 6143, section 7.2.1).
            self._accepted()

    def _challenge(self, chunk: bytes) -> None:
        self._output += vncauth.response(self.password or "", chunk)
        self._await(Step.RESULT, 4)

    def _result(self, chunk: bytes) -> None:
        result = int.from_bytes(chunk, "big")
        if result == 0:
            self._accepted()
            return
        # 2 is "too many attempts" (RFB 3.3 and 3.7): the panel is locked, the password may well be right.
        wrong = self.chosen == VNC_AUTH and result == 1
        self._trouble = Trouble.PASSWORD_WRONG if wrong else Trouble.REFUSED
        if self.version == (3, 8):
            self._await(Step.REASON_LENGTH, 4)
        else:
            self._fail(self._trouble, "" if wrong else "Too many attempts" if result == 2 else "")

    def _reason_length(self, chunk: bytes) -> None:
        length = min(int.from_bytes(chunk, "big"), MAX_TEXT)
        if length:
            self._await(Step.REASON, length)
        else:
            self._fail(self._trouble)

    def _reason(self, chunk: bytes) -> None:
        self._fail(self._trouble, printable(chunk))

    _STEPS: ClassVar[dict[Step, Callable[[PanelHandshake, bytes], None]]] = {
        Step.BANNER: _banner,
        Step.SERVER_CHOICE: _server_choice,
        Step.TYPE_COUNT: _type_count,
        Step.TYPES: _choose,
        Step.CHALLENGE: _challenge,
        Step.RESULT: _result,
        Step.REASON_LENGTH: _reason_length,
        Step.REASON: _reason,
    }


def _may_be_banner(buffer: bytearray) -> bool:
    start = b"RFB "
    return bytes(buffer[: len(start)]) == start[: len(buffer)]


BROWSER_GREETING = (b"RFB 003.008\n", b"\x01\x01", b"\x00\x00\x00\x00")
"""What a browser is sent at once: version 3.8, one security type (None), "OK". No challenge ever travels to it."""


class BadClient(ValueError):
    """The browser's side broke the protocol; its connection has to be closed. The text is for the log."""


class BrowserHandshake:
    """The proxy as a server for the browser. Its answers can be known beforehand, so nothing waits for them."""

    _EXPECTED = BROWSER_GREETING[0] + b"\x01"

    def __init__(self) -> None:
        self._seen = 0

    @property
    def done(self) -> bool:
        """Whether ClientInit has arrived."""
        return self._seen == len(self._EXPECTED) + 1

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the browser and return those behind ClientInit, whose shared flag is ignored.

        Raises:
            BadClient: another version or security type than the ones offered.
        """
        take = min(len(data), len(self._EXPECTED) + 1 - self._seen)
        expected = self._EXPECTED[self._seen : self._seen + take]
        if data[: len(expected)] != expected:
            raise BadClient("handshake answer")
        self._seen += take
        return data[take:]
