"""Signing in: password, then authenticator or recovery code. Every step counts failures and is written to the audit.

Hashing happens between units, never inside one; the lock is looked at again when the result is written, so that guesses
made side by side don't get past it.
"""

from __future__ import annotations

from typing import Any

from access import audit, factors, lockout, sessions, users
from access.db import Unit
from access.kernel import Kernel
from access.models.people import Account, User
from access.sessions import Client, Who
from panelgate.errors import BadInput, Refused


def wrong_credentials() -> Refused:
    """The one answer to a wrong account, user or password, and to a disabled user."""
    return Refused("wrong_credentials", "Account, user name or password is not right.", status=401)


def wrong_code() -> Refused:
    """The answer to a wrong, old or used code."""
    return Refused("wrong_code", "This code is not right, or was used. Wait for the next one and type it.", status=401)


def password(kernel: Kernel, account: str, user: str, given: str, client: Client) -> tuple[str, str]:
    """First step: (session token, stage `factor` or `enrol`). Refused: wrong_credentials, locked."""
    slug, name = account.strip().casefold(), user.strip().casefold()
    key = lockout.subject(slug, name)
    account_id = kernel.store.account_of(Account.slug, slug)
    with kernel.store.operator() as unit:
        _refuse_if_locked(unit, key)
        # Asked in every case: an unknown account must not answer faster.
        row = unit.find(User, User.account_id == (account_id or ""), User.name == name)
        stored = row.password_hash if row else None
    right = kernel.hasher.verify(stored, given)
    renewed = kernel.hasher.hash(given) if right and stored and kernel.hasher.outdated(stored) else None

    with kernel.store.operator(write=True) as unit:
        if account_id is not None:
            unit.bind(account_id)
        until = lockout.locked_until(unit, key)
        row = unit.find(User, User.name == name) if account_id is not None else None
        # The hash is compared again: a password changed meanwhile is the one that counts.
        if until is None and right and row is not None and row.password_hash == stored and not row.disabled:
            row.password_hash = renewed or row.password_hash
            stage = "enrol" if factors.enrolled_since(unit, row.id) is None else "factor"
            _, token = sessions.begin(unit, row, stage, client)
            _note(unit, "signin.password", "ok", row.id, name, client.address)
            return token, stage
        if until is None:
            until = _failed(unit, key, "signin.password", row.id if row else None, name, client.address, account=slug)
    if until is not None:
        raise lockout.locked(until)
    raise wrong_credentials()


def _refuse_if_locked(unit: Unit, key: str) -> None:
    until = lockout.locked_until(unit, key)
    if until is not None:
        raise lockout.locked(until)


def _note(unit: Unit, action: str, result: str, user_id: str | None, name: str, address: str, **facts: Any) -> None:
    audit.append(unit, action, result=result, user_id=user_id, user=name[:100], address=address, facts=facts)


def _failed(
    unit: Unit, key: str, action: str, user_id: str | None, name: str, address: str, **facts: Any
) -> float | None:
    """Count and record a failure; until when it locked, if it did."""
    until = lockout.fail(unit, key)
    _note(unit, action, "failed", user_id, name, address, **facts)
    if until is not None:
        _note(unit, "signin.locked", "refused", user_id, name, address, **facts)
    return until


def _own_key(who: Who) -> str:
    return lockout.subject(who.account_slug, who.user)


def totp(kernel: Kernel, who: Who, code: str) -> str:
    """Second step with the authenticator: the new token of the session, now full. Refused: wrong_code, locked."""
    with kernel.store.account(who.account_id, write=True) as unit:
        _refuse_if_locked(unit, _own_key(who))
        if factors.check(unit, kernel.keyring, who.user_id, code):
            return _complete(unit, who, "signin.totp")
        until = _failed(unit, _own_key(who), "signin.totp", who.user_id, who.user, who.address)
    raise wrong_code() if until is None else lockout.locked(until)


def recovery(kernel: Kernel, who: Who, code: str) -> tuple[str, int]:
    """Second step with a recovery code: (new token, codes left). Refused: wrong_code, locked."""
    with kernel.store.account(who.account_id, write=True) as unit:
        _refuse_if_locked(unit, _own_key(who))
        if factors.use_recovery_code(unit, kernel.keyring, who.user_id, code):
            left = factors.recovery_codes_left(unit, who.user_id)
            return _complete(unit, who, "signin.recovery", left=left), left
        until = _failed(unit, _own_key(who), "signin.recovery", who.user_id, who.user, who.address)
    raise wrong_code() if until is None else lockout.locked(until)


def _complete(unit: Unit, who: Who, action: str, **facts: Any) -> str:
    lockout.clear(unit, _own_key(who))
    _note(unit, action, "ok", who.user_id, who.user, who.address, **facts)
    return sessions.promote(unit, who.session_id, unit.need(User, who.user_id))


def prove_password(kernel: Kernel, who: Who, given: str) -> None:
    """A signed-in user proves himself again before he changes what protects him. Refused: wrong_credentials, locked."""
    with kernel.store.account(who.account_id) as unit:
        _refuse_if_locked(unit, _own_key(who))
        stored = unit.need(User, who.user_id).password_hash
    right = kernel.hasher.verify(stored, given)
    with kernel.store.account(who.account_id, write=True) as unit:
        until = lockout.locked_until(unit, _own_key(who))
        if until is None and right:
            return
        if until is None:
            until = _failed(unit, _own_key(who), "signin.password", who.user_id, who.user, who.address, again=True)
    if until is not None:
        raise lockout.locked(until)
    raise Refused("wrong_credentials", "The password is not right.", status=401)


def begin_factor(kernel: Kernel, who: Who) -> tuple[str, str]:
    """A new authenticator's (secret, otpauth URI); nothing changes before it is confirmed."""
    with kernel.store.account(who.account_id, write=True) as unit:
        unit.lock()
        _only_once(unit, who)
        return factors.begin(unit, kernel.keyring, unit.need(User, who.user_id), who.account_slug)


def confirm_factor(kernel: Kernel, who: Who, code: str, given: str | None) -> tuple[str, list[str]]:
    """Put the authenticator in use: (new token of the session, now full; ten recovery codes).

    Who is signed in already gives his password as well; his other sessions end. Refused: wrong_code, wrong_credentials,
    locked, already_enrolled.
    """
    if who.stage == "full":
        if given is None:
            raise BadInput("password_needed", "Give your password to replace the authenticator.")
        prove_password(kernel, who, given)
    with kernel.store.account(who.account_id, write=True) as unit:
        unit.lock()
        _refuse_if_locked(unit, _own_key(who))
        _only_once(unit, who)
        if factors.confirm(unit, kernel.keyring, who.user_id, code):
            codes = factors.new_recovery_codes(unit, kernel.keyring, who.user_id)
            token = _complete(unit, who, "factor.enrol")
            sessions.end_all(unit, who.user_id, "factor_changed", keep=who.session_id, by=who.user)
            return token, codes
        until = _failed(unit, _own_key(who), "factor.enrol", who.user_id, who.user, who.address)
    raise wrong_code() if until is None else lockout.locked(until)


def _only_once(unit: Unit, who: Who) -> None:
    # A session that began before there was a factor must not be a way around the one there is now.
    if who.stage != "full" and factors.enrolled_since(unit, who.user_id) is not None:
        raise Refused("already_enrolled", "An authenticator is registered already. Sign in again.", status=409)


def change_password(kernel: Kernel, who: Who, current: str, new: str) -> None:
    """A user's own new password (already checked by `passwords.check_new`); his other sessions end."""
    prove_password(kernel, who, current)
    hashed = kernel.hasher.hash(new)
    with kernel.store.account(who.account_id, write=True) as unit:
        users.change_own_password(unit, who.user_id, hashed, who.session_id, Client(who.address, ""))


def renew_recovery_codes(kernel: Kernel, who: Who, given: str) -> list[str]:
    """Ten new recovery codes for a signed-in user who gives his password again."""
    prove_password(kernel, who, given)
    with kernel.store.account(who.account_id, write=True) as unit:
        _note(unit, "factor.recovery_codes", "ok", who.user_id, who.user, who.address)
        return factors.new_recovery_codes(unit, kernel.keyring, who.user_id)
