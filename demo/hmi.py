"""The web HMI of the mixing plant, as a panel builder would make it.

It does on purpose what real HMIs do and tunnels stumble over: absolute addresses of its own in redirects, assets by
absolute path, a session cookie and a login of its own, a WebSocket that insists on its own Origin, server-sent
events, a streamed download, a file name with umlauts, and an upload.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.machine import CommandRefused, Machine
from panelgate.clock import Clock

PAGES = Path(__file__).parent / "pages"
COOKIE = "HMISESSION"
LIVE_S = 0.2
"""Between two live values: quick enough that a needle moves, 5 small messages a second."""
EVENTS_S = 1.0
"""How often the message list is looked at; operators' messages are not in a hurry."""
MAX_SESSIONS = 100
"""Sign-ins remembered; the oldest falls out, as on a small controller."""
MAX_RECIPE = 4 * 1024 * 1024
"""Bytes of a recipe file."""
MAX_ROWS = 1_000_000
"""Rows of the archive, about 40 MB."""
ROWS_A_CHUNK = 500
"""Rows written at once: some 20 KiB, so that a slow reader holds little."""


@dataclass
class Hmi:
    """What the pages share: the plant, its clock, and who is signed in."""

    clock: Clock
    origin: str
    user: str = "operator"
    password: str = "1234"  # noqa: S105 (a demonstration's, printed in the README)
    sessions: dict[str, str] = field(default_factory=dict)
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = Machine(self.clock.monotonic())

    def sign_in(self, user: str, password: str) -> str | None:
        """Return a new session's token, or None."""
        right = secrets.compare_digest(user.encode(), self.user.encode())
        if not (secrets.compare_digest(password.encode(), self.password.encode()) and right):
            return None
        token = secrets.token_urlsafe(16)
        self.sessions[token] = user
        while len(self.sessions) > MAX_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        return token

    def who(self, connection: HTTPConnection) -> str | None:
        """Return the signed-in user, or None."""
        return self.sessions.get(connection.cookies.get(COOKIE, ""))

    def values(self) -> dict[str, str | float | int]:
        """Return the live values with the time of day in seconds."""
        return self.machine.snapshot(self.clock.monotonic()).as_dict() | {"time": round(self.clock.now(), 2)}

    def to(self, path: str) -> RedirectResponse:
        """Redirect the way controllers do: to an absolute URL with the machine's own address."""
        return RedirectResponse(self.origin + path, status_code=302)

    def message(self, at: float, text: str) -> dict[str, str]:
        """Return one line of the message list with its wall-clock time."""
        moment = datetime.fromtimestamp(self.clock.now() - (self.clock.monotonic() - at), UTC)
        return {"time": moment.strftime("%H:%M:%S"), "text": text}


templates = Jinja2Templates(PAGES)


def _hmi(connection: HTTPConnection) -> Hmi:
    hmi = connection.app.state.hmi
    assert isinstance(hmi, Hmi)
    return hmi


def _signed_out() -> JSONResponse:
    return JSONResponse({"error": "not signed in"}, 401)


async def index(request: Request) -> Response:
    """Send people on to the panel or to the login."""
    hmi = _hmi(request)
    return hmi.to("/panel" if hmi.who(request) else "/login")


async def login_page(request: Request) -> Response:
    """Ask for user and password."""
    return templates.TemplateResponse(request, "login.html", {"failed": False})


async def login(request: Request) -> Response:
    """Open a session, or ask again."""
    hmi = _hmi(request)
    async with request.form() as form:
        token = hmi.sign_in(str(form.get("user", "")), str(form.get("password", "")))
    if token is None:
        return templates.TemplateResponse(request, "login.html", {"failed": True}, status_code=401)
    response = hmi.to("/panel")
    response.set_cookie(COOKIE, token, path="/", httponly=True)
    return response


async def logout(request: Request) -> Response:
    """Close the session."""
    hmi = _hmi(request)
    hmi.sessions.pop(request.cookies.get(COOKIE, ""), None)
    response = hmi.to("/login")
    response.delete_cookie(COOKIE, path="/")
    return response


async def panel(request: Request) -> Response:
    """Show the operator panel."""
    hmi = _hmi(request)
    user = hmi.who(request)
    if user is None:
        return hmi.to("/login")
    return templates.TemplateResponse(request, "panel.html", {"user": user, "values": hmi.values()})


async def live(socket: WebSocket) -> None:
    """Send the values five times a second until the browser leaves."""
    hmi = _hmi(socket)
    if socket.headers.get("origin") != hmi.origin or hmi.who(socket) is None:
        await socket.close(1008)
        return
    await socket.accept()
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(_send_values(socket, hmi))
            await _drain(socket)
            sender.cancel()
    except* WebSocketDisconnect:
        pass  # the browser left in the middle of a message


async def _drain(socket: WebSocket) -> None:
    """Read until the browser leaves: it has nothing to say here."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _send_values(socket: WebSocket, hmi: Hmi) -> None:
    while True:
        await socket.send_json(hmi.values())
        await asyncio.sleep(LIVE_S)


async def events(request: Request) -> Response:
    """Send the operator's messages as server-sent events."""
    hmi = _hmi(request)
    if hmi.who(request) is None:
        return _signed_out()

    async def lines() -> AsyncIterator[str]:
        last: tuple[float, str] | None = None
        while not await request.is_disconnected():
            notes = list(hmi.machine.messages)
            new = notes[notes.index(last) + 1 :] if last in notes else notes
            for note in new:
                yield f"event: message\ndata: {json.dumps(hmi.message(*note))}\n\n"
            last = notes[-1]
            if not new:
                yield ": nothing new\n\n"  # keeps middle boxes from closing a silent connection
            await asyncio.sleep(EVENTS_S)

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def command(request: Request) -> Response:
    """Obey a button: {"command": "start" | "stop" | "set_target", "value": degrees Celsius}."""
    hmi = _hmi(request)
    if hmi.who(request) is None:
        return _signed_out()
    now = hmi.clock.monotonic()
    try:
        body = await request.json()
        match body["command"]:
            case "start":
                hmi.machine.start(now)
            case "stop":
                hmi.machine.stop(now)
            case "set_target":
                hmi.machine.set_target(now, float(body["value"]))
            case _:
                return JSONResponse({"error": "The machine does not know this command."}, 400)
    except CommandRefused as refusal:
        return JSONResponse({"error": str(refusal)}, 422)
    except (ValueError, KeyError, TypeError):
        return JSONResponse({"error": "The machine does not understand this."}, 400)
    return JSONResponse(hmi.values())


async def report(request: Request) -> Response:
    """Download the last batches as CSV, under a name with umlauts."""
    hmi = _hmi(request)
    if hmi.who(request) is None:
        return hmi.to("/login")
    batches = int(hmi.values()["batches"])
    rows = ["Batch;Recipe;Peak °C;Result"]
    rows += [f"{n};{hmi.values()['recipe']};{64.2 + n % 7 / 10:.1f};good" for n in range(1, batches + 25)]
    return Response(
        "\r\n".join(rows) + "\r\n",
        media_type="text/csv; charset=utf-8",
        headers=_attachment("Chargenbericht Rührwerk.csv"),
    )


async def archive(request: Request) -> Response:
    """Stream a long CSV, `rows` of about 40 bytes, without a Content-Length."""
    hmi = _hmi(request)
    if hmi.who(request) is None:
        return hmi.to("/login")
    try:
        rows = int(request.query_params.get("rows", "100000"))
    except ValueError:
        return JSONResponse({"error": "rows must be a number."}, 400)
    if not 0 < rows <= MAX_ROWS:
        return JSONResponse({"error": f"rows must be between 1 and {MAX_ROWS}."}, 400)
    return StreamingResponse(
        _archive_rows(rows), media_type="text/csv; charset=utf-8", headers=_attachment("Archiv Meßwerte.csv")
    )


def _archive_rows(rows: int) -> Iterator[str]:
    yield "Second;Temperature °C;Level %;Speed 1/min\r\n"
    for first in range(0, rows, ROWS_A_CHUNK):
        yield "".join(
            f"{n};{60 + n % 97 / 10:.1f};{25 + n % 61:.1f};{180 - n % 5:.1f}\r\n"
            for n in range(first, min(first + ROWS_A_CHUNK, rows))
        )


def _attachment(name: str) -> dict[str, str]:
    """Name a download: plain ASCII for old readers, RFC 6266's filename* for the real name."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"}


async def recipe(request: Request) -> Response:
    """Take a recipe file over (multipart field `file`)."""
    hmi = _hmi(request)
    if hmi.who(request) is None:
        return _signed_out()
    async with request.form(max_files=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            return JSONResponse({"error": "Choose a recipe file first."}, 400)
        digest, size = hashlib.sha256(), 0
        while block := await file.read(65536):
            size += len(block)
            if size > MAX_RECIPE:
                return JSONResponse({"error": "A recipe has at most 4 MB."}, 413)
            digest.update(block)
    hmi.machine.load_recipe(hmi.clock.monotonic(), Path(file.filename).stem)
    return JSONResponse({"name": file.filename, "size": size, "sha256": digest.hexdigest()})


async def not_found(request: Request, _: Exception) -> Response:
    """Say in the HMI's own look that there is no such page."""
    return HTMLResponse(templates.get_template("missing.html").render(), 404)


def create_app(clock: Clock, origin: str) -> Starlette:
    """Build the HMI; `origin` is its own address as seen on the machine's LAN, such as http://127.0.80.10:8081."""
    app = Starlette(
        routes=[
            Route("/", index),
            Route("/login", login_page, methods=["GET"]),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout),
            Route("/panel", panel),
            WebSocketRoute("/live", live),
            Route("/events", events),
            Route("/command", command, methods=["POST"]),
            Route("/report.csv", report),
            Route("/archive.csv", archive),
            Route("/recipe", recipe, methods=["POST"]),
            Mount("/assets", StaticFiles(directory=PAGES / "assets")),
        ],
        exception_handlers={404: not_found},
    )
    app.state.hmi = Hmi(clock, origin)
    return app
