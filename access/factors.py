"""The second factor: time-based codes and recovery codes.

Codes follow RFC 6238 with SHA-1, 6 digits and 30 s: the one form that every authenticator app knows.
"""

from __future__ import annotations

import base64
import hmac
import secrets

import pyotp
from sqlalchemy import select

from access.db import Unit
from access.keyring import Keyring
from access.models.people import Factor, RecoveryCode, User
from panelgate.errors import BadInput

STEP_SECONDS = 30
SKEW_STEPS = 1  # a phone's clock may be half a minute off either way
CODES = 10
CODE_BYTES = 10  # 80 bits: can't be guessed, and still types in one breath
ISSUER = "Panelgate"


def _context(user_id: str) -> str:
    return f"totp:{user_id}"


def begin(unit: Unit, keyring: Keyring, user: User, account_slug: str) -> tuple[str, str]:
    """A new secret for a user, not in use before `confirm`: (secret in base32, otpauth URI for the QR code)."""
    for pending in unit.all(Factor, Factor.user_id == user.id, Factor.confirmed.is_(None)):
        unit.delete(pending)
    secret = pyotp.random_base32()
    unit.add(Factor(user_id=user.id, sealed=keyring.seal(secret, _context(user.id)), created=unit.now))
    uri = pyotp.TOTP(secret).provisioning_uri(name=f"{user.name}@{account_slug}", issuer_name=ISSUER)
    return secret, uri


def confirm(unit: Unit, keyring: Keyring, user_id: str, code: str) -> bool:
    """Put the pending secret in use if `code` is one of its codes; the old one is gone then."""
    pending = _locked_row(unit, user_id, confirmed=False)
    if pending is None:
        raise BadInput("no_factor_begun", "Start the registration of the authenticator again.", status=409)
    if not _accept(unit, keyring, pending, code):
        return False
    for old in unit.all(Factor, Factor.user_id == user_id, Factor.confirmed.is_not(None)):
        unit.delete(old)
    pending.confirmed = unit.now
    unit.session.flush()
    return True


def check(unit: Unit, keyring: Keyring, user_id: str, code: str) -> bool:
    """Whether a code is right now and new: each code works once, an older one never again."""
    row = _locked_row(unit, user_id, confirmed=True)
    return row is not None and _accept(unit, keyring, row, code)


def _locked_row(unit: Unit, user_id: str, *, confirmed: bool) -> Factor | None:
    state = Factor.confirmed.is_not(None) if confirmed else Factor.confirmed.is_(None)
    # Two requests with the same code must not both see the old last_step.
    query = select(Factor).where(Factor.user_id == user_id, state).with_for_update()
    return unit.session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _accept(unit: Unit, keyring: Keyring, row: Factor, code: str) -> bool:
    digits = code.replace(" ", "")
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return False
    totp = pyotp.TOTP(keyring.open(row.sealed, _context(row.user_id)))
    now_step = int(unit.now) // STEP_SECONDS
    for step in range(now_step - SKEW_STEPS, now_step + SKEW_STEPS + 1):
        if step > row.last_step and hmac.compare_digest(totp.generate_otp(step), digits):
            row.last_step = step
            unit.session.flush()
            return True
    return False


def enrolled_since(unit: Unit, user_id: str) -> float | None:
    """Since when (unix seconds) the user has a confirmed authenticator, None when he has none."""
    row = unit.find(Factor, Factor.user_id == user_id, Factor.confirmed.is_not(None))
    return row.confirmed if row else None


def remove(unit: Unit, user_id: str) -> None:
    """Take a user's authenticator and recovery codes away; he registers a new one at the next sign-in."""
    for row in (
        *unit.all(Factor, Factor.user_id == user_id),
        *unit.all(RecoveryCode, RecoveryCode.user_id == user_id),
    ):
        unit.delete(row)


def new_recovery_codes(unit: Unit, keyring: Keyring, user_id: str) -> list[str]:
    """Ten new codes in the place of the old ones; they are shown once and stored as keyed digests."""
    for row in unit.all(RecoveryCode, RecoveryCode.user_id == user_id):
        unit.delete(row)
    codes = []
    for _ in range(CODES):
        text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower()
        unit.add(RecoveryCode(user_id=user_id, digest=_digest(keyring, user_id, text)))
        codes.append("-".join(text[i : i + 4] for i in range(0, len(text), 4)))
    return codes


def use_recovery_code(unit: Unit, keyring: Keyring, user_id: str, code: str) -> bool:
    """Whether this is an unused recovery code of the user; it is used up then."""
    digest = _digest(keyring, user_id, code)
    query = select(RecoveryCode).where(RecoveryCode.digest == digest, RecoveryCode.user_id == user_id)
    row = unit.session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if row is None or row.used is not None:
        return False
    row.used = unit.now
    unit.session.flush()
    return True


def recovery_codes_left(unit: Unit, user_id: str) -> int:
    """How many recovery codes the user still has."""
    return unit.count(RecoveryCode, RecoveryCode.user_id == user_id, RecoveryCode.used.is_(None))


def _digest(keyring: Keyring, user_id: str, code: str) -> str:
    plain = "".join(c for c in code.lower() if c.isalnum())
    return keyring.digest(plain, f"recovery:{user_id}")
