"""Requests and answers of a web service on their way through the agent, and the answers that are compressed.

The web proxy sends well-formed heads and waits for each answer before the next request, so the agent needs no parser of
requests that is also a judge: it looks on, and from the first byte that it did not expect everything passes as it came.
Only while an answer that may be compressed is awaited are bytes held back, and only until its head is complete.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from agent import compress
from agent.compress import Encoder, Request, Tags
from panelgate.frames import StreamError
from panelgate.joining import Joined
from panelgate.log import get_logger
from panelgate.options import Compress
from panelgate.response import BadResponse, ResponseHead, ResponseReader
from panelgate.stream import StreamReset

log = get_logger(__name__)

# A device that pauses for so long has said something that somebody may wait for. A flush for each of its packets would
# cost a tenth of what compression gains.
FLUSH_SECONDS: Final = 0.005
FLUSH_TICKS: Final = 10  # of these, while it goes on in small pieces: then what is held goes out all the same
# The device sent more than its answer, so its connection must not be used again. The web proxy sees that by itself when
# it gets the device's bytes; after a body that was written anew it is told so with a byte too much as well.
SURPLUS: Final = b"\0"

_PASS, _HEAD, _BODY = range(3)


@dataclass(slots=True)
class Shared:
    """What all streams of an agent share: memory is bounded by the number of encoders at work."""

    tags: Tags = field(default_factory=Tags)
    encoders: int = 0


class Exchanges:
    """A filter of `panelgate.joining` for one stream to a web service."""

    def __init__(self, service_id: str, level: Compress, shared: Shared) -> None:
        self._service = service_id
        self._level: Compress = level
        self._shared = shared
        self._joined: Joined | None = None
        # Requests
        self._raw = False  # something unexpected came: from now on nothing is looked at
        self._begun = bytearray()  # a request's head that is not complete
        self._left = 0  # bytes of a request's body that are still to come
        self._last: tuple[bytes, Request] | None = None  # pages that poll send the same request again and again
        self._target = b""
        # Answers
        self._state = _PASS
        self._reader = ResponseReader()
        self._held: bytes | bytearray = b""  # an answer's head that is not complete, with what came behind it
        self._encoder: Encoder | None = None
        self._keeps = False  # the connection can be used again after this answer
        # Flushing
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False
        self._ticks = 0

    def start(self, joined: Joined) -> None:
        """What is joined."""
        self._joined = joined

    # ---- requests

    def a_to_b(self, data: bytes) -> bytes:
        """Look at what the web proxy sends; it passes unchanged but for entity tags."""
        if self._raw:
            return data
        if self._left:
            self._left -= len(data)
            self._raw = self._left < 0
            return data
        if self._state != _PASS:
            self._raw = True  # the answer before this request is still awaited
            return data
        last = self._last
        if last is not None and last[0] == data and not self._begun:
            return self._begin(data, last[1])
        return self._request(data)

    def _request(self, data: bytes) -> bytes:
        begun = self._begun
        whole = not begun
        start = max(0, len(begun) - 3)
        begun += data
        end = begun.find(b"\r\n\r\n", start) + 4
        if end < 4:
            self._raw = len(begun) > compress.REQUEST_HEAD_LIMIT
            if self._raw:
                begun.clear()
            return data
        request = compress.read_request(bytes(begun[:end]))
        more = len(begun) - end
        begun.clear()
        if request is None or more > request.length:
            self._raw = True
            return data
        self._left = request.length - more
        self._last = (data, request) if whole and not request.length else None
        if whole:
            return self._begin(data, request)
        # Its first pieces are gone already: the tags in it stay as they are.
        self._begin(b"", request)
        return data

    def _begin(self, data: bytes, request: Request) -> bytes:
        if not request.accepts:
            return data
        self._state = _HEAD
        self._target = request.target
        self._reader.reset(request.method)
        return self._shared.tags.restore(self._service, data, request.matches) if request.matches else data

    # ---- answers

    def b_to_a(self, data: bytes) -> bytes:
        """What the web proxy gets for bytes of the device; nothing while a head is incomplete."""
        if self._state == _PASS:
            return data
        if self._state == _HEAD:
            return self._head(data)
        try:
            return self._more(self._reader.feed(data))
        except BadResponse as error:
            log.info("answer is garbage", service=self._service, detail=str(error))
            self._release()
            self._raw = True
            if self._joined is not None:
                self._joined.abort(StreamReset(StreamError.PEER_RESET, str(error)))
            return b""

    def _head(self, data: bytes) -> bytes:
        """Bytes while an answer's head is awaited. The reader gets the head alone: most bodies are not its business."""
        before = len(self._held)
        if not before:
            self._held = data
        else:
            if isinstance(self._held, bytes):
                self._held = bytearray(self._held)  # a device may send byte by byte
            self._held += data
        end = self._held.find(b"\r\n\r\n", max(0, before - 3)) + 4
        reader, split = self._reader, (end - before if end > 3 else len(data))
        try:
            reader.feed(data[:split])
            head = reader.head
            if head is not None and end > 3:
                return self._answer(head, end, data[split:] if self._picks(head, end) else None)
        except BadResponse:
            # The web proxy's reader will say the same, and show it.
            self._raw = True
            return self._pass_on()
        # A head without any doubt ends where we looked; an interim answer or bare line ends make this one doubtful.
        return b"" if head is None and end < 4 else self._pass_on()

    def b_ended(self) -> bytes:
        """The device sends no more: what is still to be said."""
        self._raw = True
        if self._state == _HEAD:
            return self._pass_on()
        if self._state == _PASS or self._encoder is None:
            return b""
        try:
            self._reader.eof()
        except BadResponse:
            # The body ends without its last chunk, which the web proxy takes for what it is.
            rest = self._encoder.flush()
            self._release()
            return rest
        return self._finish()

    def close(self) -> None:
        """Both sides are gone."""
        self._held = b""
        self._release()

    def _pass_on(self) -> bytes:
        """Let an answer through as it came, to its end."""
        self._state = _PASS
        held, self._held = bytes(self._held), b""
        return held

    def _picks(self, head: ResponseHead, end: int) -> bool:
        if self._shared.encoders >= compress.ENCODERS_LIMIT:
            return False
        return compress.chosen(self._level, self._target, head, bytes(self._held[:end]))

    def _answer(self, head: ResponseHead, end: int, rest: bytes | None) -> bytes:
        """The head is complete, its first `end` bytes; `rest` is what follows it when its body is to be compressed."""
        if rest is None:
            raw = self._pass_on()
            if head.status == 304 and compress.is_clear(head, raw[:end]):
                return self._shared.tags.weaken_known(self._service, raw[:end]) + raw[end:]
            return raw
        # Before the rest is read: a device that sends too much makes the connection unusable only then.
        self._keeps = compress.persists(head)
        body = self._reader.feed(rest) if rest else b""
        if self._reader.done and len(body) < compress.LEAST:
            return self._pass_on()
        self._held = b""
        self._shared.encoders += 1
        self._encoder = Encoder()
        self._state = _BODY
        return compress.coded_head(head, self._shared.tags, self._service) + self._more(body)

    def _more(self, body: bytes) -> bytes:
        encoder = self._encoder
        assert encoder is not None  # the state is _BODY
        out = encoder.feed(body) if body else b""
        if self._reader.done:
            return out + self._finish()
        self._heard = True
        if self._timer is None and encoder.holds:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._tick)
        return out

    def _finish(self) -> bytes:
        assert self._encoder is not None  # the state is _BODY
        out = self._encoder.finish()
        self._release()
        if self._keeps and not self._reader.reusable:
            self._raw = True
            return out + SURPLUS
        return out

    def _release(self) -> None:
        self._state = _PASS
        if self._encoder is not None:
            self._encoder = None
            self._shared.encoders -= 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- flushing

    def _tick(self) -> None:
        self._timer = None
        encoder = self._encoder
        if encoder is None or not encoder.holds or self._joined is None:
            return
        if self._heard and self._ticks < FLUSH_TICKS:
            self._heard = False
            self._ticks += 1
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._tick)
            return
        self._ticks = 0
        self._joined.write_to_a(encoder.flush())
