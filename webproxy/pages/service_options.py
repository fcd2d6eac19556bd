"""The advanced part of a panel's form: the options of a web page in a reader's words, and back into stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from panelgate.errors import BadInput
from panelgate.options import DEFAULTS, ServiceOptions
from webproxy.pages.api import JSON
from webproxy.pages.forms import OPTION, Problems

WEB: Final = frozenset({"http", "https"})
# Each: option, what it does, when one needs it.
SWITCHES: Final = (
    (
        "rewrite",
        "Put public addresses in place of the panel's own",
        "When pages or live values stay empty because they call the panel's own address directly.",
    ),
    (
        "forwarded",
        "Tell the panel who asks",
        "When a program on it needs the visitor's address or its own public one (X-Forwarded headers).",
    ),
    (
        "service_workers",
        "Let its pages install background programs",
        "Only when the panel does not work without. Such a program stays in the browser (service worker).",
    ),
)
SIGN_INS: Final = (
    ("none", "Each person", "The panel asks whoever opens it, if it asks at all."),
    ("basic", "The server, by Basic", "When the browser's small sign-in window opens at this panel."),
    ("digest", "The server, by Digest", "The same for panels that refuse Basic."),
)
COMPRESSIONS: Final = (
    ("static", "Scripts, styles and other unchanging files"),
    ("all", "Everything, pages with changing values too"),
    ("off", "Nothing"),
)
PROFILES: Final = (
    ("modern", "Today's (TLS 1.2 and 1.3)"),
    ("compat", "Of about 2010 to 2016 (TLS 1.2 with old ciphers)"),
    ("legacy", "Older (TLS 1.0 and 1.1 as well)"),
)
# What the advanced part holds; the rest of the options stands with the certificate.
ADVANCED: Final = (
    "host", "rewrite", "forwarded", "service_workers", "companions", "headers", "auth", "user", "compress", "cache",
    "tls_profile",
)  # fmt: skip


def fields_of(options: Mapping[str, object] | None) -> JSON:
    """Stored options as the form shows them, by option; of another version's what is known here."""
    made = ServiceOptions.of(options)
    return {
        "host": made.host, "forwarded": made.forwarded, "service_workers": made.service_workers,
        "rewrite": made.rewrite, "companions": list(made.companions), "auth": made.auth, "user": made.user,
        "headers": "\n".join(f"{name}: {value}" for name, value in made.headers), "compress": made.compress,
        "cache": made.cache, "tls_profile": made.tls_profile, "tls_ca": made.tls_ca,
    }  # fmt: skip


def read(form: Mapping[str, str], lists: Mapping[str, Sequence[str]], problems: Problems) -> tuple[JSON, JSON]:
    """Return the options as typed, and as the API takes them: all of them, for a change replaces them as a whole."""

    def text(name: str) -> str:
        return form.get(OPTION + name, "").strip()

    def switch(name: str) -> bool:
        return form.get(OPTION + name) == "yes"

    fields: JSON = {
        "host": text("host"), "forwarded": switch("forwarded"), "service_workers": switch("service_workers"),
        "rewrite": switch("rewrite"), "companions": list(lists.get(OPTION + "companions", ())),
        "auth": text("auth") or DEFAULTS.auth, "user": text("user"), "headers": form.get(OPTION + "headers", ""),
        "compress": text("compress") or DEFAULTS.compress, "cache": switch("cache"),
        "tls_profile": text("tls_profile") or DEFAULTS.tls_profile, "tls_ca": text("tls_ca"),
    }  # fmt: skip
    found = {**fields, "headers": _headers(fields["headers"], problems)}
    if fields["auth"] == "none":
        found["user"] = ""  # of no use, and not to be kept where nobody sees it
    elif not fields["user"]:
        problems.add(OPTION + "user", "Give the user name with which the panel is signed in to.")
    try:
        options = ServiceOptions.of(found)
    except BadInput as error:
        problems.take(error)
        return fields, {}
    return fields, options.as_json()


def _headers(text: str, problems: Problems) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            problems.add(OPTION + "headers", f"Write “{line.strip()[:40]}” as a name, a colon and a value.")
        found.append((name.strip(), value.strip()))
    return found


def chosen(fields: JSON) -> int:
    """How many options of the advanced part are not at their default."""
    usual = fields_of(None)
    return sum(1 for name in ADVANCED if fields[name] != usual[name])


def others(device: JSON, service: JSON | None) -> list[JSON]:
    """The device's other web pages: those that can be companions."""
    own = service["id"] if service else None
    lan = [one for one in device["services"] if one["protocol"] in WEB and one.get("kind") != "agent"]
    return [one for one in lan if one["id"] != own]
