"""A browser without a screen at a service's origin: HTTP with the headers of a browser, and a session's cookie."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx

from e2e.harness.administrator import Administrator
from e2e.harness.installation import Installation

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}  # fmt: skip


def words(page: str) -> str:
    """What a person reads of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


class Shown:
    """An error page: its status and the words a person reads."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.html = response.text
        self.words = words(self.html.partition("<main")[2].partition(">")[2])
        found = re.search(r"Reference for support: (\S+)", self.words)
        self.reference = found.group(1) if found else ""

    @property
    def retries(self) -> bool:
        """Whether there is a button to try again."""
        return "data-again" in self.html


class Client:
    """Requests to one service in one session."""

    def __init__(self, installation: Installation, api: Administrator, label: str) -> None:
        self.origin = installation.service_origin(label)
        self.cookie = f"__Host-pg={api.service_cookie(label)}"
        self.host = f"{label}.apps.localhost:{installation.port}"
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{installation.port}", timeout=30, trust_env=False,
            headers={"Host": self.host, "Cookie": self.cookie},
        )  # fmt: skip

    def page(self, path: str = "/", **options: Any) -> Shown:
        """Open a page as a person does."""
        return Shown(self.http.get(path, headers=NAVIGATION, **options))

    def post(self, path: str, content: Any, length: int) -> httpx.Response:
        """Send something from a page of the service."""
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "Content-Length": str(length)}
        return self.http.post(path, content=content, headers=headers)

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()
