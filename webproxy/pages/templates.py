"""The templates' environment: autoescape, names that a page was not given are errors, words and icons as functions."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, StrictUndefined, Undefined, select_autoescape
from jinja2.utils import missing

from webproxy.pages import icons, words
from webproxy.pages.assets import address

FOLDER = Path(__file__).resolve().parent.parent / "templates"
PORTAL_BASE = "/static/"
SERVICE_BASE = "/.pg/static/"


class Lenient(Undefined):
    """A name that a page was not given is our mistake and raises; a field that access left out is just empty."""

    def __new__(cls, hint: str | None = None, obj: Any = missing, name: str | None = None, **_: Any) -> Any:
        """Return the kind of undefined value that fits what was looked up."""
        kind = StrictUndefined if obj is missing else ChainableUndefined
        return kind(hint, obj, name)


@lru_cache(maxsize=4)
def environment(base: str = PORTAL_BASE) -> Environment:
    """Return the environment whose assets are below `base`: the portal's or a service origin's."""
    env = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(("html",), default=True),
        undefined=Lenient,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        icon=partial(icons.icon, base=base),
        protocol_icon=partial(icons.protocol_icon, base=base),
        asset=partial(address, base=base),
        time=words.time_tag,
        count=words.count,
    )
    env.filters.update(
        duration=words.duration,
        size=words.size,
        person=words.person,
        initials=words.initials,
        browser=words.browser,
        lines=words.lines,
    )
    return env


def render(template: str, base: str = PORTAL_BASE, **context: Any) -> str:
    """Render a template; missing names raise jinja2.UndefinedError."""
    return environment(base).get_template(template).render(**context)
