"""Setting up the second factor: QR code, first code, recovery codes. Also how a signed-in user replaces it."""

from __future__ import annotations

from typing import Any

import segno
from starlette.responses import Response

from panelgate.errors import PanelgateError
from webproxy.pages.safety import HOME
from webproxy.pages.session import Visit, page, set_cookie
from webproxy.pages.signin import locked_page

WRONG = "That code is not right. Check that the phone's clock is set automatically, then type the code it shows now."


def qr_image(uri: str) -> str:
    """Return a QR code as a data: address of an SVG, with the quiet zone that cameras need."""
    image: str = segno.make(uri, error="m").svg_data_uri(scale=5, border=4, light="#fff", dark="#000")
    return image


def in_groups(secret: str) -> str:
    """Return a secret in groups of four, as people type it."""
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


@page(stage="enrol")
async def factor(visit: Visit) -> Response:
    """GET /factor: a new secret as QR code and text. POST: the first code confirms it and the recovery codes are shown.

    A signed-in user gives the password as well (the page then replaces the second factor).
    """
    assert visit.session is not None
    replacing = visit.session["stage"] == "full"
    if visit.session["stage"] == "factor":
        return visit.go("/sign-in/code")
    if visit.request.method == "GET":
        begun = await visit.api.portal("POST", "/factor/begin")
        return _form(visit, begun, replacing=replacing)
    body = {"code": "".join(visit.form.get("code", "").split())[:16]}
    if replacing:
        body["password"] = visit.form.get("password", "")
    try:
        answer = await visit.api.portal("POST", "/factor/confirm", body)
    except PanelgateError as error:
        if error.status == 429:
            return locked_page(error)
        if error.code == "no_session" or error.status not in {400, 401, 422}:
            raise
        # The same secret again: a new one would make the entry in the phone wrong. It came from this page and goes
        # back to the same reader; access confirms only the one it keeps.
        again = {"secret": visit.form.get("secret", "")[:128], "uri": visit.form.get("uri", "")[:512]}
        wrong = "That password is not right." if error.code == "wrong_credentials" else WRONG
        if not again["uri"].startswith("otpauth://totp/"):
            return visit.go("/factor")
        return _form(visit, again, wrong=wrong, replacing=replacing, status=401)
    response = visit.page(
        "recoverycodes.html",
        codes=answer["recovery_codes"],
        onward=visit.onward,
        first=not replacing,
        account=visit.session["account"],
    )
    set_cookie(response, answer["session_token"], visit.web.sites)
    return response


def _form(visit: Visit, begun: dict[str, Any], *, replacing: bool, wrong: str = "", status: int = 200) -> Response:
    onward = visit.onward
    return visit.page(
        "factor.html", status, qr=qr_image(begun["uri"]), secret=begun["secret"], uri=begun["uri"],
        grouped=in_groups(begun["secret"]), wrong=wrong, replacing=replacing, onward=onward, first=onward == HOME,
    )  # fmt: skip
