"""The master key, and what is sealed with it: TOTP secrets and panels' passwords.

The key file lies beside the database, readable by its owner only: a copy of the database alone opens nothing.
A sealed text is `v1.<base64url of nonce and AES-256-GCM ciphertext>`; the context it was sealed for is authenticated
with it, so that a value moved to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from panelgate.errors import Broken
from panelgate.pki import write_private

KEY_BYTES = 32
NONCE_BYTES = 12
PREFIX = "v1."


class Keyring:
    """Seals and opens short texts, and makes keyed digests. Each use has a key of its own, derived from the master."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise Broken("bad_master_key", "the master key must have 32 bytes")
        self._sealing = AESGCM(_derive(master, b"panelgate seal v1"))
        self._digesting = _derive(master, b"panelgate digest v1")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key file; Broken when it is missing, damaged, or readable by others."""
        try:
            if path.stat().st_mode & 0o077:
                raise Broken(
                    "master_key_exposed",
                    f"Other users can read the master key. Run: chmod 600 {path}",
                    {"path": str(path)},
                )
            master = base64.b64decode(path.read_text().strip(), validate=True)
            if len(master) != KEY_BYTES:
                raise ValueError(f"{len(master)} bytes")
            return cls(master)
        except (OSError, ValueError) as error:
            raise Broken(
                "no_master_key",
                f"The master key {path} can't be read. Restore it from the backup: without it no second factor and "
                "no panel password can be opened.",
                {"path": str(path)},
            ) from error

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new key file, or load the one that is there: a key is never overwritten."""
        if not path.exists():
            write_private(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        return cls.load(path)

    def seal(self, text: str, context: str) -> str:
        """Encrypt `text`; it opens only with the same `context`, e.g. "totp:<user id>"."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._sealing.encrypt(nonce, text.encode(), context.encode())
        return PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, context: str) -> str:
        """The text that was sealed for `context`; Broken when it was not sealed with this key for this context."""
        try:
            if not sealed.startswith(PREFIX):
                raise ValueError("unknown version")
            data = base64.urlsafe_b64decode(sealed.removeprefix(PREFIX))
            return self._sealing.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context.encode()).decode()
        except (ValueError, binascii.Error, InvalidTag) as error:
            raise Broken(
                "cannot_open_sealed",
                "A stored secret can't be decrypted with the present master key. Was the key file replaced?",
            ) from error

    def digest(self, text: str, context: str) -> str:
        """A keyed hash (hex) for secrets that people type: useless to who has the database but not the key."""
        return hmac.new(self._digesting, f"{context}\0{text}".encode(), hashlib.sha256).hexdigest()


def _derive(master: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose).derive(master)


def token_hash(token: str) -> str:
    """How random tokens of 128 bits and more are stored: their SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()
