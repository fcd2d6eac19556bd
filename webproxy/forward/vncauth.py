"""VNC Authentication (security type 2): the DES response to a panel's challenge.

RFC 6143, section 7.2.2: the password, cut or zero-padded to eight bytes, is the DES key for both eight-byte halves of
a sixteen-byte challenge. Every implementation reads the key's bits in the opposite order, which the RFC leaves out.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB

CHALLENGE_BYTES = 16
KEY_BYTES = 8

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def response(password: str, challenge: bytes) -> bytes:
    """Return the sixteen bytes that prove knowledge of `password`.

    Only the first eight bytes of the password count; characters outside ISO 8859-1 become "?", as panels store them.

    Raises:
        ValueError: the challenge is not sixteen bytes long.
    """
    if len(challenge) != CHALLENGE_BYTES:
        raise ValueError("a VNC challenge has sixteen bytes")
    key = password.encode("latin-1", "replace")[:KEY_BYTES].ljust(KEY_BYTES, b"\0").translate(_REVERSED)
    # Three times the same key makes TripleDES single DES, which the library no longer has by itself.
    # ECB is what the protocol prescribes.
    encryptor = Cipher(TripleDES(key * 3), ECB()).encryptor()  # noqa: S305
    return encryptor.update(challenge) + encryptor.finalize()
