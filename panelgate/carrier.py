"""The carrier: one WebSocket over TLS over TCP, by protocol callbacks; no task and no await per chunk.

A carrier is in stream mode (a circuit's bytes; frame borders mean nothing) or in message mode (a control connection's
JSON texts). The dialling side is made by `connect`, the listening side is a `ServerCarrier` for each connection.
Heart-beats are WebSocket pings, started by `keep_alive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl as ssl_module
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from panelgate import upgrade, wsframes
from panelgate.errors import BadInput, PanelgateError, Unavailable, from_json
from panelgate.log import get_logger
from panelgate.wsframes import MAX_MESSAGE, CloseCode, Opcode, StreamUnmasker, WebSocketError

log = get_logger(__name__)

HIGH_WATER: Final = 64 * 1024  # bytes in our buffers; more only makes small requests wait behind large ones
NOTSENT_LOWAT: Final = 128 * 1024  # bytes in the kernel's: 4 MiB windows made 919 ms of echo, with this 168
HEAD_SECONDS: Final = 10.0  # a head comes in one or two packets; slower is a slow-loris
CLOSE_SECONDS: Final = 5.0  # for the other side's close frame and the last bytes
READ: Final = 128 * 1024  # bytes taken from the outer TLS at once
MAX_UNSENT: Final = 8 * 1024 * 1024  # bytes queued in a carrier; a writer that ignores carrier_pause is cut here
TCP_NOTSENT_LOWAT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class CarrierClosed(Exception):
    """A carrier ended otherwise than by our own close: `code` is a WebSocket close code, `reason` a short text."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class CarrierHandler(Protocol):
    """What a carrier calls. `carrier_closed` comes once, last; exc is None when we closed it or code 1000 came."""

    def carrier_data(self, data: bytes | memoryview) -> None:
        """Stream mode: bytes arrived; a view is gone after the call, so what is kept must be copied."""

    def carrier_message(self, text: str) -> None:
        """Message mode: a text of at most MAX_MESSAGE bytes arrived."""

    def carrier_closed(self, exc: Exception | None) -> None:
        """It is over."""

    def carrier_pause(self) -> None:
        """Write no more: the buffer is full."""

    def carrier_resume(self) -> None:
        """Write again."""


class Carrier(asyncio.BufferedProtocol):
    """What both ends have in common. Attributes: `bytes_in`, `bytes_out` (payload), `peer` (address), `is_open`."""

    _client = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._handler: CarrierHandler | None = None
        self._frames: StreamUnmasker | None = None  # there once the upgrade is done
        self._messages = False
        self._head = bytearray()
        self._early: list[bytes] = []  # frames written before the upgrade's answer; one handshake's worth
        self._closing = False
        self._end: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.peer = ""

    # For users

    @property
    def is_open(self) -> bool:
        """Whether writing makes sense."""
        return self._transport is not None and not self._closing

    def use(self, handler: CarrierHandler, *, messages: bool = False) -> None:
        """Set who is called, and the mode. May be called again to hand a stream-mode carrier to somebody else."""
        self._handler = handler
        self._messages = messages

    def write(self, data: bytes | memoryview) -> None:
        """Stream mode: send `data` as one frame. Nothing happens on a closing carrier."""
        if data:
            self.bytes_out += len(data)
            self._send(wsframes.stream_frame(data, client=self._client))

    def send_message(self, text: str) -> None:
        """Message mode: send a text of at most MAX_MESSAGE bytes."""
        data = text.encode()
        if len(data) > MAX_MESSAGE:
            raise BadInput("message_too_long", "a control message is too long", {"bytes": len(data)})
        self.bytes_out += len(data)
        self._send(wsframes.frame(Opcode.TEXT, data, client=self._client))

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._send(wsframes.frame(Opcode.PING, b"", client=self._client))

    def keep_alive(self, interval: float, timeout: float) -> None:
        """Ping after `interval` seconds of silence and give up after `timeout` more (code 1006, "silent")."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._heard = self._loop.time()
        self._heartbeat = self._loop.call_later(interval, self._check_silence, interval, timeout, 0.0)

    def pause_reading(self) -> None:
        """Let the other side wait; TCP tells it."""
        if not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._closing:
            self._transport.resume_reading()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Send what is queued, then a close frame; cut after CLOSE_SECONDS at the latest."""
        if self._closing or self._transport is None:
            return
        if self._frames is None and self._client:
            self.abort()
            return
        self._send(wsframes.frame(Opcode.CLOSE, wsframes.close_payload(code, reason), client=self._client))
        self._closing = True
        self._rearm(CLOSE_SECONDS, self._cut)
        self._transport.resume_reading()  # the other side's close frame may wait behind data that nobody read

    def abort(self) -> None:
        """Cut the connection at once."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP and outer TLS are there."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if isinstance(address, tuple) else ""
        tune(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: one buffer for all carriers, as every callback empties it before the next is filled.

        Without this, TLS allocates 256 KiB for each 16 KiB it reads, which cost up to half of the throughput.
        """
        return _read_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the socket."""
        self._received(_read_buffer()[:nbytes])

    def _received(self, data: bytes | memoryview) -> None:
        if self._frames is None:
            self._head += data
            self._head_arrived()
            return
        self._heard = self._loop.time()
        try:
            items = self._frames.feed(data)
            for opcode, payload in items:
                self._item(opcode, payload)
        except WebSocketError as error:
            self._fail(CarrierClosed(error.code, str(error)))

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._handler is not None and not self._closing:
            self._guard(self._handler.carrier_pause)

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        if self._handler is not None and not self._closing:
            self._guard(self._handler.carrier_resume)

    def eof_received(self) -> bool:
        """The socket's end; TLS can't be half closed, so it is the connection's end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, whoever ended it."""
        by_us, self._closing = self._closing, True
        for timer in (self._timer, self._heartbeat):
            if timer is not None:
                timer.cancel()
        if self._end is None and not by_us:
            self._end = CarrierClosed(CloseCode.ABNORMAL, str(exc or "connection closed without a close frame"))
        self._over(self._end)
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.carrier_closed(self._end)
            except Exception:
                log.exception("carrier handler failed")

    # Inside

    def _head_arrived(self) -> None:
        raise AssertionError  # each end has its own

    def _over(self, exc: Exception | None) -> None:
        """A hook for the dialling side."""

    def _upgraded(self, rest: bytes) -> None:
        """The handshake is done; `rest` came with it."""
        self._rearm(0, None)
        self._frames = StreamUnmasker(client=self._client, messages=MAX_MESSAGE if self._messages else 0, views=True)
        self._head = bytearray()
        if self._early:
            self._transport.write(b"".join(self._early))
            self._early.clear()
        if rest:
            self._received(rest)

    def _item(self, opcode: int, payload: bytes | memoryview) -> None:
        handler = self._handler
        if opcode == Opcode.BINARY:
            self.bytes_in += len(payload)
            if not self._closing and handler is not None:
                self._guard(handler.carrier_data, payload)
        elif opcode == Opcode.TEXT:
            self.bytes_in += len(payload)
            if not self._closing and handler is not None:
                try:
                    text = bytes(payload).decode()
                except UnicodeDecodeError:
                    raise WebSocketError(CloseCode.BAD_DATA, "text is not UTF-8") from None
                self._guard(handler.carrier_message, text)
        elif opcode == Opcode.PING:
            self._send(wsframes.frame(Opcode.PONG, bytes(payload), client=self._client))
        elif opcode == Opcode.CLOSE:
            self._closed_by_peer(*wsframes.parse_close(bytes(payload)))

    def _closed_by_peer(self, code: int, reason: str) -> None:
        if not self._closing:
            if code != CloseCode.NORMAL:
                self._end = CarrierClosed(code, reason)
            # Section 5.5.1: the answer repeats the code.
            echo = b"" if code == CloseCode.NO_STATUS else wsframes.close_payload(code, "")
            self._send(wsframes.frame(Opcode.CLOSE, echo, client=self._client))
            self._closing = True
        self._rearm(CLOSE_SECONDS, self._cut)
        self._transport.close()

    def _send(self, frame: bytes) -> None:
        if self._closing or self._transport is None:
            return
        if self._frames is None:
            self._early.append(frame)
            return
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._end = CarrierClosed(CloseCode.TOO_BIG, "too much is queued")
            self.abort()  # a close frame would only queue behind the rest

    def _guard(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("carrier handler failed")
            self._fail(CarrierClosed(CloseCode.INTERNAL, "internal error"))

    def _fail(self, error: CarrierClosed) -> None:
        """We end it because of an error."""
        if not self._closing:
            self._end = error
            self.close(error.code, error.reason)

    def _check_silence(self, interval: float, timeout: float, pinged: float) -> None:
        now = self._loop.time()
        if pinged and self._heard < pinged:
            self._end = self._end or CarrierClosed(CloseCode.ABNORMAL, "silent")
            self.abort()
            return
        silent = now - self._heard
        if silent < interval:
            self._heartbeat = self._loop.call_later(interval - silent, self._check_silence, interval, timeout, 0.0)
            return
        self.ping()
        self._heartbeat = self._loop.call_later(timeout, self._check_silence, interval, timeout, now)

    def _rearm(self, seconds: float, callback: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback) if callback else None

    def _cut(self) -> None:
        self._transport.abort()


class _ClientCarrier(Carrier):
    _client = True

    def __init__(self, request: bytes, key: str, handler: CarrierHandler, *, messages: bool) -> None:
        super().__init__()
        self.use(handler, messages=messages)
        self._request = request
        self._key = key
        self.ready: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport.write(self._request)

    def abandon(self) -> None:
        """Cut it without telling the handler: the caller of `connect` never got it."""
        self._handler = None
        self.abort()

    def _head_arrived(self) -> None:
        head, end, rest = bytes(self._head).partition(upgrade.HEAD_END)
        try:
            if not end:
                if len(head) > upgrade.MAX_HEAD:
                    raise BadInput("bad_answer", "the server's answer has an endless head")
                return
            answer = upgrade.parse_answer(head)
            if answer.status != 101:
                self._refused(answer, rest)
                return
            upgrade.check_accept(answer, self._key)
        except BadInput as error:
            self._failed(Unavailable("bad_answer", error.message))
            return
        self._upgraded(rest)
        if not self.ready.done():
            self.ready.set_result(None)

    def _refused(self, answer: upgrade.Answer, body: bytes) -> None:
        size = answer.headers.get("content-length", "0")
        wanted = int(size) if size.isascii() and size.isdigit() and len(size) < 8 else 0
        if len(body) < min(wanted, upgrade.MAX_BODY):
            return  # the rest is on its way, or the time-out is
        try:
            value = json.loads(body[:wanted])
        except ValueError:
            value = None
        self._failed(from_json(answer.status, value))

    def _failed(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        self.abandon()

    def _over(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(Unavailable("relay_down", "the connection ended during the handshake"))
            self._handler = None


async def connect(
    url: str, *, ssl: ssl_module.SSLContext | None, headers: Mapping[str, str], protocol: CarrierHandler,
    timeout: float, messages: bool = False,
) -> Carrier:  # fmt: skip
    """Dial `url` (wss://host[:port]/path, ws:// in tests) within `timeout` seconds; the open carrier.

    When the server answers with an error, the error of its JSON body is raised (Refused, Unavailable, ...).
    Unavailable("relay_down") when it can't be reached, ("relay_untrusted") when its certificate is wrong,
    ("relay_timeout"). `protocol` may be called before this returns.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    if parts.scheme not in ("ws", "wss") or not parts.hostname or (secure and ssl is None):
        raise BadInput("bad_url", "a relay's address looks like wss://host:port", {"url": url})
    port = parts.port or (443 if secure else 80)
    key = upgrade.make_key()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = upgrade.make_request(path, parts.netloc, key, headers)
    carrier: _ClientCarrier | None = None
    try:
        async with asyncio.timeout(timeout):
            carrier = await _dial(
                parts.hostname, port, ssl if secure else None,
                lambda: _ClientCarrier(request, key, protocol, messages=messages),
            )  # fmt: skip
            await carrier.ready
    except BaseException as error:
        if carrier is not None:
            carrier.abandon()
        if isinstance(error, (OSError, TimeoutError)):
            raise _explained(error, parts.hostname, port) from error
        raise
    return carrier


async def _dial(
    host: str, port: int, ssl: ssl_module.SSLContext | None, factory: Callable[[], _ClientCarrier]
) -> _ClientCarrier:
    """The one place where a carrier's TCP connection is made: proxies belong here."""
    extra: dict[str, Any] = {"server_hostname": host} if ssl else {}
    _, carrier = await asyncio.get_running_loop().create_connection(factory, host, port, ssl=ssl, **extra)
    return carrier


def _explained(error: OSError | TimeoutError, host: str, port: int) -> Unavailable:
    facts: dict[str, Any] = {"host": host, "port": port}
    if isinstance(error, TimeoutError):
        return Unavailable("relay_timeout", "the relay did not answer in time", facts)
    if isinstance(error, ssl_module.SSLCertVerificationError):
        facts["reason"] = error.verify_message
        return Unavailable("relay_untrusted", "the relay's certificate is not to be trusted", facts)
    return Unavailable("relay_down", "the relay can't be reached", facts | {"reason": str(error)})


def tune(transport: asyncio.BaseTransport) -> None:
    """Keep a carrier's queues short, in our buffers and in the kernel's."""
    cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=HIGH_WATER)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    # A socket that is closed already or no TCP socket has no such options, and needs none.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if TCP_NOTSENT_LOWAT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def _read_buffer() -> memoryview:
    global _buffer  # noqa: PLW0603  # made on first use
    if _buffer is None:
        _buffer = memoryview(bytearray(READ))
    return _buffer


_buffer: memoryview | None = None

Admit = Callable[[str, dict[str, str], Carrier], None]
Plain = Callable[[str, dict[str, str]], tuple[int, str, bytes]]


class ServerCarrier(Carrier):
    """The listening side of one connection.

    `admit(path, headers, carrier)` decides on an upgrade: it calls `carrier.use(handler, messages=...)` and returns, or
    raises a PanelgateError, which becomes the answer with its status and JSON body. It may write to the carrier
    already.
    `plain(path, headers)` answers every other GET with (status, content type, body).
    Header names are in lower case. The head must be complete within HEAD_SECONDS.
    """

    def __init__(self, admit: Admit, plain: Plain, *, head_seconds: float = HEAD_SECONDS) -> None:
        super().__init__()
        self._admit = admit
        self._plain = plain
        self._head_seconds = head_seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP and outer TLS are there; the head's time starts."""
        super().connection_made(transport)
        self._rearm(self._head_seconds, self._cut)

    def _head_arrived(self) -> None:
        if self._closing:
            return
        head, end, rest = bytes(self._head).partition(upgrade.HEAD_END)
        try:
            if len(head) > upgrade.MAX_HEAD:
                raise BadInput("head_too_large", "the request's head is too large", status=431)
            if not end:
                return
            request = upgrade.parse_request(head)
            if not request.upgrade:
                self._answer(upgrade.make_answer(*self._plain(request.path, request.headers)))
                return
            key = upgrade.check_upgrade(request)
            self._admit(request.path, request.headers, self)
        except PanelgateError as error:
            self._refuse(error.status, error.as_json())
        except Exception:
            log.exception("request failed")
            self._refuse(500, {"error": {"code": "internal", "message": "the relay failed", "facts": {}}})
        else:
            if self._handler is None:
                self._refuse(404, {"error": {"code": "not_found", "message": "there is nothing here", "facts": {}}})
                return
            self._transport.write(upgrade.make_accept(key))
            self._upgraded(rest)

    def _refuse(self, status: int, body: object) -> None:
        self._handler = None
        self._answer(upgrade.json_answer(status, body))

    def _answer(self, answer: bytes) -> None:
        self._closing = True
        self._rearm(CLOSE_SECONDS, self._cut)
        self._transport.write(answer)
        self._transport.close()
