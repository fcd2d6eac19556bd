"""A browser without a screen for the portal: httpx over ASGI, with the cookie and the Origin that a real one sends."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx

from panelgate.names import Sites
from tests.fakes.portal_access import FakeAccess, FakeWeb, portal

ORIGIN = "http://portal.localhost:8080"


def browse(
    access: FakeAccess | None = None,
    token: str | None = "full-token",
    origin: str | None = ORIGIN,
    web: FakeWeb | None = None,
    sites: Sites | None = None,
) -> httpx.AsyncClient:
    """Return a client of the portal, signed in as `token` says (None: not at all)."""
    headers = {"user-agent": "test"}
    if token:
        headers["cookie"] = f"{sites.cookie_stem if sites else '__Host-'}pgs={token}"
    if origin:
        headers["origin"] = origin
    transport = httpx.ASGITransport(portal(web or FakeWeb(access, sites)), client=("10.20.0.7", 40_000))
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)


class Page(HTMLParser):
    """The parts of a page that tests ask about."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._depth_of_label = 0
        self.in_labels: set[int] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "label":
            self._depth_of_label += 1
        if self._depth_of_label:
            self.in_labels.add(len(self.tags))
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._depth_of_label -= 1

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of every such element."""
        return [attrs for name, attrs in self.tags if name == tag and all(attrs.get(k) == v for k, v in wanted.items())]

    def unlabelled(self) -> list[str]:
        """Return the form controls that nothing names."""
        named = {attrs["for"] for attrs in self.all("label") if "for" in attrs}
        lost = []
        for at, (tag, attrs) in enumerate(self.tags):
            if tag not in {"input", "select", "textarea"} or attrs.get("type") in {"hidden", "submit"}:
                continue
            if attrs.get("aria-hidden") == "true":
                continue
            if attrs.get("id") not in named and at not in self.in_labels and "aria-label" not in attrs:
                lost.append(f"{tag} {attrs}")
        return lost


async def page(client: httpx.AsyncClient, path: str, status: int = 200, /, **form: Any) -> Page:
    """Open a page, or send a form to it, and check the answer's status."""
    answer = await (client.post(path, data=form) if form else client.get(path))
    assert answer.status_code == status, (path, answer.status_code, answer.headers.get("location"))
    return Page(answer.text)


async def moved(client: httpx.AsyncClient, path: str, /, **form: Any) -> str:
    """Return where a page or a form leads."""
    answer = await (client.post(path, data=form) if form else client.get(path))
    assert answer.status_code == 303, (path, answer.status_code)
    return answer.headers["location"]
