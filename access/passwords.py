"""Passwords: argon2id, bounded in how much of the machine it may take, and equally slow for users nobody has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from panelgate.errors import BadInput, Unavailable

TIME_COST = 3  # RFC 9106 section 4, second recommended option: 3 passes over 64 MiB
MEMORY_KIB = 65536
LANES = 1  # requests run side by side already
AT_ONCE = 2  # 128 MiB and two cores at most, however many try to sign in
WAIT_SECONDS = 10.0  # who waits longer is told to try again: a flood of sign-ins must not pile up threads
SHORTEST = 10  # characters
LONGEST = 256  # characters; longer input only costs time


class Hasher:
    """Hashes and verifies. Call it outside of transactions: it takes tenths of a second."""

    def __init__(self, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB, at_once: int = AT_ONCE) -> None:
        self._argon = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=LANES, type=Type.ID)
        self._slots = threading.BoundedSemaphore(at_once)
        self._dummy = self._argon.hash("nobody has this password")

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("busy", "Too many people are signing in at the same time. Try again in a moment.")
        try:
            yield
        finally:
            self._slots.release()

    def hash(self, password: str) -> str:
        """The argon2id hash of a password, in PHC form."""
        with self._slot():
            return self._argon.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; `stored` None (no such user) takes as long and is always wrong."""
        with self._slot():
            try:
                return self._argon.verify(stored or self._dummy, password[:LONGEST]) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with weaker parameters than today's."""
        return self._argon.check_needs_rehash(stored)


def check_new(password: str, user: str) -> None:
    """Whether a new password may be used; BadInput says what is wrong with it."""
    if len(password) < SHORTEST:
        raise BadInput("weak_password", f"The password needs at least {SHORTEST} characters.", {"shortest": SHORTEST})
    if len(password) > LONGEST:
        raise BadInput("weak_password", f"The password may have at most {LONGEST} characters.", {"longest": LONGEST})
    if password.casefold() == user.casefold() or len(set(password)) < 4:
        raise BadInput("weak_password", "This password is too easy to guess: choose other words.")
