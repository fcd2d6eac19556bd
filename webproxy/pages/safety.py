"""What a portal page may be sent on to."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

from panelgate.names import account_ok

# A longer one is no deep link that a person was given; browsers and proxies cut addresses near 8 KiB.
MAX_NEXT = 4096
HOME = "/machines"


def safe_next(value: str | None) -> str:
    """Return `value` when it is a path on this portal, else the home page.

    Refused are other schemes and hosts, `//host` and `/\\host` (browsers read both as a host),
    control characters (browsers
    drop tab and newline anywhere in an address) and the sign-in pages themselves.
    """
    if not value or len(value) > MAX_NEXT or not value.startswith("/") or value.startswith("//"):
        return HOME
    if "\\" in value or any(ord(char) <= 32 or ord(char) == 127 for char in value):
        return HOME
    try:
        parts = urlsplit(value)
    except ValueError:
        return HOME
    first = parts.path.split("/")[1]
    if (
        parts.scheme
        or parts.netloc
        or first in {"sign-in", "sign-out", "sign-up", "setup", "factor", "signed-out", "live"}
    ):
        return HOME
    return HOME if parts.path == "/" else value


def with_next(path: str, onward: str) -> str:
    """Return `path` with `?next=` when there is somewhere to go on to."""
    return path if onward == HOME else f"{path}?next={quote(onward, safe='/')}"


def account_of(onward: str) -> str:
    """Guess the account's slug from a deep link or from a hand-off, for the sign-in form; "" when there is none."""
    parts = urlsplit(onward)
    words = parts.path.split("/")[1:]
    if words[0] == "launch":
        label = parse_qs(parts.query).get("host", [""])[0].split(".")[0]
        pieces = label.split("--")
        # A label too long for DNS carries hashes instead of names (panelgate.names.host_label).
        hashed = len(pieces) == 3 and len(pieces[2]) == 9 and pieces[2].startswith("h")
        return pieces[2] if len(pieces) == 3 and not hashed else ""
    account = words[0].lower()
    return account if len(words) >= 2 and words[1] and account_ok(account) else ""
