"""The one error tree. Errors carry facts; the edge that meets a person makes sentences of them.

PanelgateError
├── BadInput      what came in can't be understood: the sender must change it
├── Refused       understood, and not allowed: permission, ticket, certificate, lock-out
├── Unavailable   allowed, and not there now: device offline, panel dead, access server down, disk full
└── Broken        we are at fault: a bug or an installation that can't work
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PanelgateError(Exception):
    """`code` is for machines and stays stable, `message` is a sentence, `facts` are JSON values without secrets."""

    status = 500  # the HTTP status an API answers with unless the raiser knows a better one

    def __init__(
        self, code: str, message: str = "", facts: Mapping[str, Any] | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.facts: dict[str, Any] = dict(facts or {})
        if status is not None:
            self.status = status

    def as_json(self) -> dict[str, Any]:
        """The error envelope of every JSON API of the project."""
        return {"error": {"code": self.code, "message": self.message, "facts": self.facts}}


class BadInput(PanelgateError):
    """What came in can't be understood."""

    status = 400


class Refused(PanelgateError):
    """Understood, and not allowed."""

    status = 403


class Unavailable(PanelgateError):
    """Allowed, and not there now."""

    status = 503


class Broken(PanelgateError):
    """We are at fault."""

    status = 500


def from_json(status: int, body: object) -> PanelgateError:
    """The error that an API answered with HTTP `status`, from its envelope; odd bodies become Broken or Unavailable."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return Unavailable("bad_answer", "the server answered something that is not ours", {"status": status})
    kind: type[PanelgateError]
    if status in (400, 422):
        kind = BadInput
    elif status in (409, 502, 503, 504, 507):
        kind = Unavailable
    else:
        kind = Refused if status < 500 else Broken
    facts = error.get("facts")
    return kind(error["code"], str(error.get("message", "")), facts if isinstance(facts, dict) else {}, status=status)
