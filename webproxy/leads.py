"""Leads: the portal's word that a person, and not another site, asked for an address with a query.

Many panels change values by GET, so a link on another site may not open such an address unasked. Whoever comes by the
portal's own deep link has asked; whoever comes straight from elsewhere is asked at the portal before the hand-off.
No I/O.
"""

from __future__ import annotations

import hashlib

SECONDS = 60  # from the portal's redirect to the hand-off that it leads to
# After the site's `cookie_stem`, and followed by the mark, so that links opened side by side don't undo each other.
COOKIE = "pgd-"


def mark_of(word: str, target: bytes) -> str:
    """The short name of one target (path and query) at one service's origin, named as `Sites.word_of` does."""
    return hashlib.sha256(word.encode() + b" " + target).hexdigest()[:32]
