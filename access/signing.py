"""The keys that sign tickets: made here, sealed in the database, published before they are used, replaced in time."""

import json
from itertools import pairwise
from typing import Any, Final

from access.db import Unit
from access.keyring import Keyring
from access.models.machines import SigningKey
from panelgate import tickets
from panelgate.errors import Broken

ROTATE_SECONDS: Final = 30 * 86400.0  # a key that leaked signs for a month at most
LEAD_SECONDS: Final = 86400.0  # a new key is published a day before it signs: every verifier has fetched by then
KEEP_SECONDS: Final = 7 * 86400.0  # an old key verifies this long: a configuration may lie in a box that was off


def _context(kid: str) -> str:
    return f"signing:{kid}"


def rotate(unit: Unit, keyring: Keyring, *, lead: float = LEAD_SECONDS) -> str:
    """Make a new key that signs from `lead` seconds from now on; its id."""
    private = tickets.new_signing_key()
    kid = str(private["kid"])
    unit.add(
        SigningKey(
            kid=kid, public=tickets.public_part(private), created=unit.now, signs_from=unit.now + lead,
            sealed_private=keyring.seal(json.dumps(private), _context(kid)),
        )
    )  # fmt: skip
    return kid


def ensure(unit: Unit, keyring: Keyring) -> bool:
    """See to it that there is a key to sign with, and a next one in time, and drop those long out of use.

    Whether anything changed; needs a writing unit of the operator.
    """
    rows = unit.all(SigningKey, order=SigningKey.signs_from.desc())
    if not rows:
        rotate(unit, keyring, lead=0.0)
        return True
    changed = False
    if rows[0].signs_from < unit.now - ROTATE_SECONDS + LEAD_SECONDS:
        rotate(unit, keyring)
        changed = True
    # A key is out of use since the one after it began to sign.
    for newer, older in pairwise(rows):
        if newer.signs_from < unit.now - KEEP_SECONDS:
            unit.delete(older)
            changed = True
    return changed


def jwks(unit: Unit) -> dict[str, Any]:
    """The public keys as a JWK Set (RFC 7517 section 5): the present one, a coming one, and those just replaced."""
    return {"keys": [dict(row.public) for row in unit.all(SigningKey, order=SigningKey.signs_from.desc())]}


def signer(unit: Unit, keyring: Keyring) -> tickets.Signer:
    """What signs tickets now. Broken when the installation has no key yet."""
    rows = unit.all(SigningKey, SigningKey.signs_from <= unit.now, order=SigningKey.signs_from.desc(), limit=1)
    if not rows:
        raise Broken("no_signing_key", "The installation has no ticket key. Run: panelgate access init")
    row = rows[0]
    return tickets.Signer(json.loads(keyring.open(row.sealed_private, _context(row.kid))))
