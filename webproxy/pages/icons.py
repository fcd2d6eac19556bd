"""Icons: Tabler's, from one sprite that tools/vendor.py makes of the names used in templates and listed here."""

from __future__ import annotations

import re

from markupsafe import Markup

from webproxy.pages.assets import address

SPRITE = "vendor/icons.svg"
# Names that templates get from tables rather than write themselves.
CHOSEN = (
    "world", "device-desktop", "device-imac", "brand-windows", "plug-connected", "user", "key", "lock", "login",
    "logout",
    "alert-triangle", "settings", "server-2", "shield-lock", "circle-x", "circle-check", "info-circle", "device-mobile",
)  # fmt: skip
# A service's icon follows its protocol.
PROTOCOLS = {"http": "world", "https": "world", "vnc": "device-imac", "rdp": "brand-windows"}
_NAME = re.compile(r"(filled-)?[a-z0-9]+(-[a-z0-9]+)*")


def icon(name: str, css: str = "", base: str = "/static/") -> Markup:
    """Return an icon that a screen reader skips: the word beside it speaks. "filled-x" is x of the filled set."""
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    paint = 'fill="currentColor"' if name.startswith("filled-") else (
        'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    )  # fmt: skip
    return Markup(  # noqa: S704 - the name is checked above, the rest is ours
        f'<svg class="icon {css}" width="24" height="24" viewBox="0 0 24 24" {paint} '
        f'aria-hidden="true" focusable="false">'
        f'<use href="{address(SPRITE, base)}#{name}"></use></svg>'
    )


def protocol_icon(protocol: str, css: str = "", base: str = "/static/") -> Markup:
    """Return the icon of a service's protocol."""
    return icon(PROTOCOLS.get(protocol, "plug-connected"), css, base)
