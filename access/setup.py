"""The first visit: a one-time code creates the first account and its administrator.

More accounts come by sign-up, where the installation's setting allows it.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from access import audit, sessions, users
from access.db import Store
from access.kernel import SETUP_FILE, Kernel
from access.keyring import token_hash
from access.models.people import Account, SetupCode
from access.passwords import check_new
from access.sessions import Client
from panelgate.errors import Refused
from panelgate.pki import write_private

CODE_BYTES = 15  # 120 bits: 24 characters to type at most once


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What somebody gives to create an account."""

    account: str
    account_name: str
    user: str
    display_name: str
    password: str
    client: Client


def needed(store: Store) -> bool:
    """Whether there is no account yet."""
    with store.operator() as unit:
        return unit.count(Account) == 0


def new_code(kernel: Kernel) -> str:
    """A new set-up code in the place of any older one; also in a file that only the server's user may read.

    Refused when the installation has been set up.
    """
    code = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower()
    code = "-".join(code[i : i + 4] for i in range(0, len(code), 4))
    with kernel.store.operator(write=True) as unit:
        if unit.count(Account):
            raise Refused("already_set_up", "This installation has an account already; there is nothing to set up.")
        for old in unit.all(SetupCode):
            unit.delete(old)
        unit.add(SetupCode(digest=_digest(code), created=unit.now))
    write_private(code_file(kernel), code.encode() + b"\n")
    return code


def code_file(kernel: Kernel) -> Path:
    """Where the code lies until it is used."""
    return kernel.data / SETUP_FILE


def _digest(code: str) -> str:
    return token_hash("".join(c for c in code.lower() if c.isalnum()))


def set_up(kernel: Kernel, code: str, newcomer: Newcomer) -> str:
    """Create the first account; the token of its administrator's session, at stage enrol."""
    wrong = Refused(
        "wrong_setup_code",
        "This set-up code is not right, or was used. Print a new one on the server: panelgate access setup-code",
        status=403,
    )
    digest = _digest(code)
    with kernel.store.operator() as unit:
        if unit.count(SetupCode, SetupCode.digest == digest, SetupCode.used.is_(None)) == 0:
            raise wrong
    token = _create(kernel, newcomer, digest, wrong)
    with contextlib.suppress(FileNotFoundError):
        code_file(kernel).unlink()
    return token


def sign_up(kernel: Kernel, newcomer: Newcomer) -> str:
    """Create an account where anybody may; the token of its administrator's session, at stage enrol."""
    if not kernel.settings.signup:
        raise Refused("signup_off", "New accounts can't be created here. Ask who runs this installation.", status=403)
    if needed(kernel.store):
        raise Refused("setup_needed", "The installation must be set up first.", status=409)
    return _create(kernel, newcomer, None, None)


def _create(kernel: Kernel, newcomer: Newcomer, digest: str | None, wrong: Refused | None) -> str:
    name = users.user_name(newcomer.user)
    check_new(newcomer.password, name)
    hashed = kernel.hasher.hash(newcomer.password)
    actor = users.Actor(None, name, newcomer.client.address)
    with kernel.store.operator(write=True) as unit:
        if digest is not None and wrong is not None:
            code = unit.session.get(SetupCode, digest, with_for_update=True)
            if code is None or code.used is not None or unit.count(Account):
                raise wrong
            code.used = unit.now
        account = users.create_account(unit, newcomer.account, newcomer.account_name)
        bound = unit.bind(account.id)
        audit.append(
            bound, "account.create" if digest is None else "setup", user=name, address=newcomer.client.address,
            facts={"account": account.slug},
        )  # fmt: skip
        user = users.create_user(
            bound, actor, name=name, display_name=newcomer.display_name, role="administrator", password_hash=hashed
        )
        _, token = sessions.begin(bound, user, "enrol", newcomer.client)
        return token
