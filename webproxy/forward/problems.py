"""What went wrong, in a technician's words: every error of the forwarding path becomes one of these pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.frames import StreamError


@dataclass(frozen=True)
class Problem:
    """One page: HTTP `status`, stable `kind`, three texts, seconds until it tries again by itself, and facts."""

    status: int
    kind: str
    title: str
    happened: str
    todo: str
    retry_seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def with_facts(self, **facts: Any) -> Problem:
        """The same with more facts, where they are known."""
        return replace(self, facts={**self.facts, **{key: value for key, value in facts.items() if value}})


BAD_REQUEST = Problem(
    400, "bad_request", "That request was not understood",
    "The browser sent a request that could be read in more than one way.",
    "Reload the page. If it comes back, a proxy between you and this server may be changing requests.",
)  # fmt: skip
UNKNOWN_HOST = Problem(
    421, "unknown_host", "No such address here", "This server does not serve that name.",
    "Check the address, or open the machine from the list in the portal.",
)  # fmt: skip
PLAIN = Problem(
    403, "plain_http", "Only by HTTPS", "The request came without encryption, so it was not answered.",
    "Use the address with https:// in front. If it was: the load balancer before this server passes plain HTTP on.",
)  # fmt: skip
NO_SESSION = Problem(
    401, "no_session", "You are not signed in", "The sign-in for this panel has ended or never began.",
    "Reload the page to sign in again.",
)  # fmt: skip
COOKIE_TROUBLE = Problem(
    400, "cookie_trouble", "Two sign-ins at once",
    "The browser sent more than one sign-in for this panel. Another page may have planted one.",
    "Reload the page to sign in again. If it comes back, type /.pg/reset behind this address once.",
)  # fmt: skip
FOREIGN = Problem(
    403, "foreign_request", "Stopped: another site asked for this",
    "A page of another site tried to reach the panel in your name. It was not passed on to the machine.",
    "Open the panel from the portal or from its own pages.",
)  # fmt: skip
SERVICE_WORKER = Problem(
    403, "service_worker", "Service workers are off", "The panel's page wanted to install a background program.",
    "Nothing to do: the panel works without it.",
)  # fmt: skip
FRAMED = Problem(
    403, "framed", "Only in a window of its own",
    "The page wants to show another service of this machine inside itself. Each service is shown on its own here, so "
    "that no page can act in the name of another.",
    "Open that service from the machine's list.",
)  # fmt: skip
WATCH_ONLY = Problem(
    403, "watch_only", "You may watch, not operate", "Your permission for this machine is to watch only. This would "
    "have changed something, so it was not passed on.",
    "Ask an administrator of your account for the permission to operate.",
)  # fmt: skip
BAD_HAND_OFF = Problem(
    403, "bad_hand_off", "The sign-in did not complete",
    "The sign-in was begun in another browser or tab, was used already, or took longer than five minutes.",
    "Open the panel again from the portal or by its link.",
)  # fmt: skip
NOT_ALLOWED = Problem(
    403, "not_allowed", "You may not open this", "Your permission for this panel was taken away, or never given.",
    "Ask an administrator of your account.",
)  # fmt: skip
NOT_FOUND = Problem(
    404, "not_found", "Nothing here", "There is no such page.", "Open the panel's start page instead.",
)  # fmt: skip
CROWDED = Problem(
    503, "crowded", "Too much at once", "This panel already has as many requests under way as it may have.",
    "Close other tabs with this panel, then try again.", 10,
)  # fmt: skip
MANY_SOCKETS = Problem(
    503, "many_sockets", "Too many live connections",
    "The pages of this panel already keep as many live connections open as it may have for one sign-in. The rest is "
    "kept free, so that pages still load.",
    "Close other tabs with this panel, then reload this one.",
)  # fmt: skip
TIMED_OUT = Problem(
    504, "timeout", "The panel does not answer",
    "The connection to the panel stands, but no answer came within five minutes.",
    "Check whether the panel itself still reacts; a restart of its web server often helps.",
)  # fmt: skip
SLOW_PAGE = replace(
    TIMED_OUT, happened="The connection to the panel stands, but for 30 seconds nothing of this page came.",
    todo="Check whether the panel itself still reacts; a restart of its web server often helps. If this page is known "
    "to take long, load it again: then it may take up to five minutes.",
)  # fmt: skip
SIGNED_OUT = Problem(
    200, "signed_out", "You are signed out", "This panel is closed, and what the browser had kept of it is deleted.",
    "Open it again from the portal when you need it.",
)  # fmt: skip
BROKEN = Problem(
    500, "broken", "That was our fault", "Something in this web proxy failed. It has been logged.",
    "Try again. If it comes back, give your administrator the reference below.",
)  # fmt: skip
NO_HANDLER = Problem(
    501, "no_viewer", "Windows desktops can't be opened yet",
    "This panel is a Windows desktop (RDP). The viewer for it arrives with a later version of Panelgate.",
    "Nothing at the machine is wrong, and the panel's settings stay. Until then use the machine's other panels.",
)  # fmt: skip
SIGN_IN_REFUSED = Problem(
    502, "sign_in_refused", "The stored user name or password was refused",
    "Panelgate signs in at this panel for you, and the panel did not accept the user name and password stored for it.",
    "Ask an administrator of your account to correct them: on the machine's page, under Change at this panel.",
)  # fmt: skip
SIGN_IN_MISSING = Problem(
    502, "sign_in_missing", "No password is stored for this panel",
    "Panelgate is set up to sign in at this panel for you, but has no user name and password for it.",
    "Ask an administrator of your account to enter them: on the machine's page, under Change at this panel.",
)  # fmt: skip
SIGN_IN_TOO_LARGE = Problem(
    502, "sign_in_too_large", "Sent before the sign-in was ready",
    "The panel wanted a new sign-in after the upload had begun, and the upload is too large to be kept and repeated.",
    "Nothing was taken by the panel. Do the same once more: the sign-in is ready now.",
)  # fmt: skip
TOO_LARGE = Problem(
    431, "head_too_large", "Too many cookies", "The request's head is larger than 128 kB, or its cookies than 720 kB.",
    "Delete the cookies of this site in your browser, then open the panel again.",
)  # fmt: skip


def no_companion(slug: str) -> Problem:
    """A page calls another service of its device that it may not, or that there is none of."""
    return Problem(
        404, "no_companion", "This page may not use that service",
        f"The page asked for “{slug[:40]}”, which is none of the services that its pages may use, or none that you may "
        "open.",
        "An administrator can allow it: on the machine's page choose Change at this panel, Advanced, Companions.",
        facts={"companion": slug[:40]},
    )  # fmt: skip


def redirected(address: str) -> Problem:
    """The device redirects to an address on its LAN that is no service."""
    return Problem(
        502, "redirected", "The panel sends you to another address",
        f"It answered with a redirect to {address}, an address at the machine that is not set up here.",
        "Ask an administrator to add that address as a service of this machine, and open that service.",
        facts={"target": address},
    )  # fmt: skip


def garbage(detail: str) -> Problem:
    """What the device sent is no HTTP response."""
    return Problem(
        502, "garbage", "The panel's answer makes no sense",
        f"The panel answered, but not as a web server does: {detail}.",
        "Check that the service's port is the panel's web page, and whether it must be http or https.",
    )  # fmt: skip


def sign_in_other(scheme: str, offered: list[str]) -> Problem:
    """The device asks for another kind of sign-in than the one that is set up for it."""
    kinds = ", ".join(name for name in dict.fromkeys(offered) if name.isalnum())[:80] or "something else"
    return Problem(
        502, "sign_in_other", "The panel wants another kind of sign-in",
        f"Panelgate is set up to sign in by {scheme.capitalize()}, and the panel asks for {kinds}, or for a form of "
        "it that is not spoken here (auth-int, or an unknown algorithm). The password was not sent in another form.",
        "Ask an administrator of your account to change the sign-in of this panel: on the machine's page, under "
        "Change at this panel.",
    )  # fmt: skip


CLOSED_EARLY = Problem(
    502, "closed", "The panel hung up", "The panel closed the connection without an answer.",
    "Try again. If it stays so, check whether the port is right and whether it must be http or https.", 10,
)  # fmt: skip
NOT_REPEATED = Problem(
    502, "not_repeated", "Not known whether that arrived",
    "The connection broke after your command was sent and before the panel answered. It was not sent a second time.",
    "Look at the panel's state before you repeat it.",
)  # fmt: skip
_OF_STREAM: dict[int, Problem] = {
    StreamError.REFUSED: Problem(
        403, "agent_refused", "The machine's agent refuses this",
        "The agent's own list of services does not allow this target for you.",
        "If it was set up a moment ago, try again in a few seconds; otherwise ask an administrator.", 10,
    ),
    StreamError.UNKNOWN_SERVICE: Problem(
        502, "unknown_service", "The agent does not know this service yet",
        "The service was set up or changed a moment ago, and the agent has not heard of it.",
        "It is tried again by itself.", 5,
    ),
    StreamError.CONNECTION_REFUSED: Problem(
        502, "connection_refused", "The panel's port is closed",
        "The panel is there, but nothing listens on this port.",
        "Check that the web server or VNC server is switched on in the panel's settings, and the port.", 15,
    ),
    StreamError.UNREACHABLE: Problem(
        502, "unreachable", "The panel can't be reached",
        "The agent found no way to this address: no answer on the machine's network.",
        "Check that the panel is switched on, its network cable, and the address of the service.", 15,
    ),
    StreamError.TIMEOUT: Problem(
        504, "timeout", "The panel does not answer", "The agent tried to connect, and the panel stayed silent.",
        "Check that the panel is switched on and that no firewall on the machine's network drops the connection.", 15,
    ),
    StreamError.TLS: Problem(
        502, "tls", "No encrypted connection to the panel", "The encrypted connection to the panel failed.",
        "Check whether the service must be http or https, and which TLS versions the panel offers.",
    ),
    StreamError.LIMIT: CROWDED,
    StreamError.PEER_RESET: CLOSED_EARLY,
    StreamError.INTERNAL: Problem(
        502, "agent_broken", "The machine's agent failed", "The agent met an error of its own while connecting.",
        "Try again. If it comes back, look at the agent's log.", 10,
    ),
    StreamError.CLOSED: Problem(
        502, "relay_lost", "The connection to the machine was lost",
        "The relay or the machine's line went away.", "It is tried again by itself.", 3,
    ),
}  # fmt: skip
SILENT_TLS = Problem(
    504, "timeout_tls", "The panel does not answer",
    "The panel accepted the connection, and stayed silent when the agent began to speak TLS.",
    "Check whether the service must be http instead of https, and whether the panel's web server still reacts.", 15,
)  # fmt: skip
RELAY_LOST = _OF_STREAM[StreamError.CLOSED]

_OF_CODE: dict[str, Problem] = {
    "device_offline": Problem(
        503, "device_offline", "The machine is offline", "Its agent has no connection to us.",
        "Check that the machine is switched on, its internet line, and that its agent runs.", 15,
    ),
    "access_down": Problem(
        503, "access_down", "Sign-in is not possible right now",
        "The access server, which decides who may open what, can't be reached. What is open already goes on.",
        "This page tries again by itself.", 5,
    ),
    "relay_lost": RELAY_LOST,
    "circuit_refused": Problem(
        503, "circuit_refused", "The machine's agent did not accept the connection",
        "The permission for this connection was refused on the way.", "Try again; if it stays so, sign in again.", 10,
    ),
    "no_relay": Problem(
        503, "no_relay", "No relay is running", "There is no relay that the machine's agent could be reached over.",
        "This page tries again by itself. An administrator of the installation should look at the relays.", 10,
    ),
    "no_session": NO_SESSION,
    "session_ended": NO_SESSION,
    "session_expired": NO_SESSION,
    "not_allowed": NOT_ALLOWED,
    "not_found": NOT_ALLOWED,
    "locked": NOT_ALLOWED,
}  # fmt: skip
# The access server answers, but can't work: its own sentence says what is wrong.
SERVER_TROUBLE = Problem(
    503, "server_trouble", "The server has trouble of its own", "The access server could not open the connection.",
    "This page tries again by itself. An administrator of the installation should look at the server.", 10,
)  # fmt: skip
_TROUBLES = frozenset({
    "disk_full", "disk_error", "database_busy", "database_read_only", "database_gone", "database_damaged",
})  # fmt: skip
_OF_CODE["access_untrusted"] = _OF_CODE["access_down"]
_OF_CODE["no_agent"] = _OF_CODE["device_offline"]


def of_error(error: PanelgateError) -> Problem:
    """The page of an error of the access server or of opening a circuit."""
    known = _OF_CODE.get(error.code)
    if known is not None:
        facts = {key: error.facts[key] for key in ("since", "last_address", "until") if error.facts.get(key)}
        return known.with_facts(**facts)
    if error.code in _TROUBLES:
        return replace(SERVER_TROUBLE, happened=error.message)
    if isinstance(error, Refused):
        return NOT_ALLOWED
    if isinstance(error, Unavailable):
        return replace(RELAY_LOST, happened=f"{error.message}.", kind=error.code)
    return BROKEN


def of_stream(exc: Exception | None) -> Problem:
    """The page of a stream's end without an answer; `exc` is panelgate.circuit.StreamReset or None."""
    code = getattr(exc, "code", None)
    if not isinstance(code, int):
        return CLOSED_EARLY
    problem = _OF_STREAM.get(code, CLOSED_EARLY)
    detail = str(getattr(exc, "text", "") or "")
    if code == StreamError.TLS and detail:
        # The agent says a fact and often what to do about it: "fact: what to do".
        fact, _, advice = detail.partition(": ")
        return replace(
            problem, happened=f"The encrypted connection to the panel failed: {fact}.",
            todo=f"{advice[0].upper()}{advice[1:]}. Who manages the machine does that under “Change” at the panel."
            if advice else problem.todo,
        )  # fmt: skip
    return problem
