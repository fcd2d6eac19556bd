"""The password scheme that VNC panels have: DES with the password as key (RFC 6143, section 7.2.2)."""

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

_FILE_KEY = bytes([23, 82, 107, 6, 35, 78, 88, 7])
"""With this fixed key every VNC server hides the password in its password file: a veil, not a protection."""


def _des(key: bytes, blocks: bytes) -> bytes:
    # VNC feeds each key byte to DES with its bits in reverse order. Three times the same key is single DES.
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    encryptor = Cipher(TripleDES(turned * 3), modes.ECB()).encryptor()  # noqa: S305 (the protocol's own)
    return encryptor.update(blocks) + encryptor.finalize()


def answer(password: str, challenge: bytes) -> bytes:
    """Return the 16 bytes that answer a 16-byte challenge; only the password's first 8 characters count."""
    return _des(_key(password), challenge)


def password_file(password: str) -> bytes:
    """Return the content of the file that TigerVNC's -PasswordFile reads."""
    return _des(_FILE_KEY, _key(password))


def _key(password: str) -> bytes:
    return password.encode("latin-1", "replace")[:8].ljust(8, b"\0")
