"""Stands in for the command `panelgate` where a test wants a supervisor's children without the roles themselves.

Environment: FAKE_REFUSES names a role that says an error and ends; FAKE_SETUP_DONE=1 answers that set-up is done.
"""

import json
import os
import re
import signal
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY = "pgk-" + "a" * 26 + "-" + "b" * 32


def folder(role: str) -> Path:
    return Path(os.environ[f"PANELGATE_{role.upper()}_DATA"])


def log(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, "level": "info", **facts}), flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "setup_needed": "FAKE_SETUP_DONE" not in os.environ}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def init() -> None:
    from panelgate.pki import Authority, Role

    if (folder("access") / "ca" / "ca.pem").exists():
        return
    authority = Authority.create()
    authority.save(folder("access") / "ca")
    authority.new_identity(Role.ACCESS, "1" * 32, names=["127.0.0.1"]).save(folder("access") / "identity")


def serve(role: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ[f"PANELGATE_{role.upper()}_PORT"])), Handler)
    if role != "webproxy":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity = folder("access") / "identity"
        context.load_cert_chain(identity / "certificate.pem", identity / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    log("serving")
    server.serve_forever()


def join(role: str) -> None:
    assert os.environ[f"PANELGATE_{role.upper()}_JOIN_TOKEN"] == f"token-{role}"
    (folder(role) / "identity").mkdir(parents=True)
    (folder(role) / "identity" / "certificate.pem").write_text("joined")


def main(words: list[str]) -> None:
    if os.environ.get("FAKE_REFUSES") == words[0]:
        print("starting", file=sys.stderr)
        sys.exit("Error: the database is of an older version. Run: panelgate access migrate")
    match words:
        case ["access", "init"]:
            init()
        case ["access", "migrate", "--copy"]:
            print("The database is at 0003 (before: 0003).")
        case ["access" | "relay" | "webproxy" as role, "serve"]:
            serve(role)
        case ["access", "join-token", "--role", role]:
            print(f"token-{role}")
        case ["relay" | "webproxy" as role, "join", "--access", _]:
            join(role)
        case ["access", "setup-code"]:
            print("abcd-efgh")
        case ["access", "add-demo"]:
            if "FAKE_ACCOUNTS" in os.environ:
                sys.exit("Error: There are several accounts: the demonstration needs just one.")
            print(json.dumps({"account": "acme", "device": "demo", "key": os.environ.get("FAKE_KEY", KEY) or None}))
        case ["agent", "enrol", *rest]:
            assert not re.search("pgk-", " ".join(rest))
            assert os.environ["PANELGATE_AGENT_KEY"] == KEY
            state = Path(rest[rest.index("--state") + 1])
            state.mkdir(parents=True)
            (state / "agent.json").write_text("{}")
        case ["agent", "run", *_]:
            log("agent online")
            signal.pause()
        case ["demo", name, *_]:
            log(f"{name} shown")
            signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
