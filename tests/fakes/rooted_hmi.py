"""An HMI whose every address begins with "/": markup, styles, scripts, modules, requests, sockets, cookies.

Its page writes what worked into #results, a line each. `asked` has what the server heard.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="green"/></svg>'

PAGE = """<!doctype html><html><head><meta http-equiv=Content-Security-Policy content="script-src 'self'">
<title>NAME</title><link rel=icon href=data:,><link rel=stylesheet href=/style.css integrity=HASH>
<style>#inline{background:url("/inline.svg")}</style><script src=/app.js></script>
<script type=module src=/module.js></script></head><body><h1>Device NAME</h1>
<p id=linked>linked</p><p id=inline>inline</p><p style='background:url(/attribute.svg)'>attribute</p>
<img id=image src=/image.svg><img id=set srcset="/set.svg 1x">
<form action=/set method=post><input name=speed value=5><button>Set</button></form><a href=/deep/page>Deep</a>
<button id=leave onclick='location.href = "/by-script"'>Leave</button><ul id=results></ul></body></html>"""

APP = """
const done = word => document.addEventListener("DOMContentLoaded", () => add(word));
const add = word => { const line = document.createElement("li"); line.textContent = word;
  document.getElementById("results").append(line); };
const tell = word => document.readyState === "loading" ? done(word) : add(word);
fetch("/api/fetch").then(a => a.text()).then(t => tell("fetch " + t));
fetch(new Request("/api/request", {method: "POST", body: "x"})).then(a => a.text()).then(t => tell("request " + t));
fetch(new URL("/api/url", location.href)).then(a => a.text()).then(t => tell("url " + t));
fetch(location.origin + "/api/origin").then(a => a.text()).then(t => tell("origin " + t));
const xhr = new XMLHttpRequest(); xhr.onload = () => tell("xhr " + xhr.responseText);
xhr.open("GET", "/api/xhr"); xhr.send();
const socket = new WebSocket(`ws://${location.host}/socket`); socket.onmessage = e => tell("socket " + e.data);
const events = new EventSource("/events"); events.onmessage = e => { events.close(); tell("events " + e.data); };
const worker = new Worker("/worker.js"); worker.onmessage = e => tell("worker " + e.data);
document.addEventListener("DOMContentLoaded", () => {
  for (const [name, make] of Object.entries({
    setter: i => { i.src = "/by-setter.svg"; }, attribute: i => { i.setAttribute("src", "/by-attribute.svg"); }})) {
    const image = new Image(); image.onload = () => tell("image " + name); make(image); document.body.append(image); }
  const box = document.createElement("div"); document.body.append(box);
  box.innerHTML = '<img src="/by-markup.svg">'; box.firstChild.onload = () => tell("image markup");
  if (!location.pathname.endsWith("/")) return;
  history.pushState({}, "", "/view/2"); tell("history " + location.pathname.split("/").slice(-2).join("/"));
});
"""
FILES = {
    "/app.js": ("text/javascript", APP),
    "/module.js": (
        "text/javascript",
        'import {word} from "/part.js"; import("/dynamic.js").then(m => tell("module " + word + " " + m.word));',
    ),
    "/part.js": ("text/javascript", 'export const word = "static";'),
    "/dynamic.js": ("text/javascript", 'export const word = "dynamic";'),
    "/worker.js": ("text/javascript", 'fetch("/api/worker").then(a => a.text()).then(t => postMessage(t));'),
    "/style.css": ("text/css", '@import "/imported.css"; #linked{background:url(/linked.svg)}'),
    "/imported.css": ("text/css", "h1{color:rgb(0, 128, 0)}"),
}
RESULTS = (
    "fetch GET /api/fetch", "request POST /api/request", "url GET /api/url", "origin GET /api/origin",
    "xhr GET /api/xhr", "socket live", "events 1", "worker GET /api/worker", "image setter", "image attribute",
    "image markup", "history view/2", "module static dynamic",
)  # fmt: skip


class RootedHmi:
    """The server, on `host` and a port of its own."""

    def __init__(self, host: str, name: str) -> None:
        hmi = self
        self.asked: list[tuple[str, str, str]] = []
        digest = hashlib.sha256(FILES["/style.css"][1].encode()).digest()
        page = PAGE.replace("NAME", name).replace("HASH", "sha256-" + base64.b64encode(digest).decode())

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                hmi.asked.append((self.command, self.path, self.headers.get("Cookie", "")))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                if path == "/socket":
                    self.socket()
                elif path == "/set":
                    self.give("text/plain", "", status=303, location="/was-set")
                elif path.startswith("/api/"):
                    self.give("text/plain", f"{self.command} {path}")
                elif path == "/events":
                    self.give("text/event-stream", "data: 1\n\n")
                elif path.endswith(".svg"):
                    self.give("image/svg+xml", _SVG)
                else:
                    self.give(*FILES.get(path, ("text/html; charset=utf-8", page)))

            do_GET = do_POST = answer  # noqa: N815  the base class's names

            def give(self, kind: str, text: str, *, status: int = 200, location: str = "") -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header(
                    "Content-Security-Policy", "default-src 'self' data:; style-src 'self' 'unsafe-inline'"
                )
                if kind.startswith("text/html"):
                    self.send_header("Set-Cookie", f"session={name}; Path=/; HttpOnly")
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def socket(self) -> None:
                key = self.headers["Sec-WebSocket-Key"].encode()
                accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
                self.send_response(101)
                for field, value in (
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Accept", accept),
                ):
                    self.send_header(field, value)
                self.end_headers()
                self.wfile.write(b"\x81\x04live")
                self.wfile.flush()
                self.rfile.read(1)  # until the page goes
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer((host, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
