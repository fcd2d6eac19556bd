"""A request's head as it goes to the device, changed at the last moment. No I/O."""

from __future__ import annotations


def amended(request: bytes, drop: frozenset[bytes], add: bytes) -> bytes:
    """`request` (a whole head) without the header lines named in `drop` (lower case), and with the lines `add`."""
    lines = request.split(b"\r\n")
    kept = [line for line in lines[1:-2] if line.partition(b":")[0].lower() not in drop]
    return b"\r\n".join([lines[0], *kept, add + b"\r\n"])


def target_of(request: bytes) -> tuple[bytes, bytes]:
    """Method and request-target, exactly as the device gets them."""
    method, target, _ = request.split(b" ", 2)
    return method, target
