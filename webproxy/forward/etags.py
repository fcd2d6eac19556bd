"""Entity tags of bodies with rewritten addresses. No I/O.

The browser's copy of a rewritten body is good for one set of addresses: the tag that it keeps names that set, and the
device is asked with its own tag again, byte for byte, since small web servers compare tags as strings.
"""

from __future__ import annotations

import re

from webproxy.forward.rules import Rules

_TAG = re.compile(rb'(W/)?"([^"]*)"')


def mark_tag(rules: Rules, value: bytes) -> bytes:
    """A device's entity tag for the body with `rules`' addresses in it: weak, and told apart from other sets'."""
    match = _TAG.fullmatch(value.strip())
    weak, tag = (match[1], match[2]) if match else (None, value.strip().strip(b'"'))
    kind = b"w" if weak else b"s" if match else b"u"  # u: unquoted, as some devices send it
    return b'W/"pg-%b%b-%b"' % (rules.mark, kind, tag)


def unmark_tags(rules: Rules, value: bytes) -> bytes:
    """An If-None-Match for the device: its own tags again; nothing when all were of another set of addresses."""
    kept = []
    for match in _TAG.finditer(value):
        if not match[2].startswith(b"pg-"):
            kept.append(match[0])
        elif match[2][3:11] == rules.mark and match[2][12:13] == b"-":
            kind, tag = match[2][11:12], match[2][13:]
            kept.append(tag if kind == b"u" else (b"W/" if kind == b"w" else b"") + b'"' + tag + b'"')
    return b", ".join(kept) if kept or _TAG.search(value) else value
