"""Audit rows as human sentences. One table: an action without a sentence gets its words and its names."""

from __future__ import annotations

from webproxy.pages.api import JSON
from webproxy.pages.words import person

# {user} did it, {device} and {service} are what it was done to, {subject} a person or thing named in the facts.
# Each: icon, sentence when it worked, sentence when it failed or was refused ("" = the first with "(refused)").
SENTENCES: dict[str, tuple[str, str, str]] = {
    "setup": ("settings", "{user} set up this installation", ""),
    "account.create": ("settings", "{user} created the account", ""),
    "account.change": ("settings", "{user} changed the account", ""),
    "signin.password": ("login", "{user} gave the right password", "Wrong password for {user}"),
    "signin.totp": ("login", "{user} signed in", "Wrong second-factor code for {user}"),
    "signin.recovery": ("login", "{user} signed in with a recovery code", "Wrong recovery code for {user}"),
    "signin.locked": (
        "lock",
        "Sign-in of {user} is locked after too many wrong attempts",
        "Sign-in of {user} was tried while locked",
    ),
    "service.sign_out": ("logout", "{user} signed out of {service} at {device}", ""),
    "session.end": ("logout", "A session of {user} ended", ""),
    "factor.enrol": (
        "device-mobile",
        "{user} set up a second factor",
        "Wrong code while {user} set up a second factor",
    ),
    "factor.reset": ("device-mobile", "{user} reset the second factor of {subject}", ""),
    "factor.recovery_codes": ("key", "{user} made new recovery codes", ""),
    "password.change": ("key", "{user} changed their password", "{user} gave a wrong password while changing it"),
    "user.create": ("user", "{user} added {subject}", ""),
    "user.change": ("user", "{user} changed {subject}", ""),
    "user.delete": ("user", "{user} removed {subject}", ""),
    "user.unlock": ("user", "{user} unlocked {subject}", ""),
    "grants.change": ("shield-lock", "{user} changed what {subject} may do", ""),
    "refused": ("lock", "{user} was refused", "{user} was refused"),
    "device.create": ("server-2", "{user} added the machine {device}", ""),
    "device.change": ("server-2", "{user} changed the machine {device}", ""),
    "device.delete": ("server-2", "{user} removed the machine {device}", ""),
    "device.activation_key": ("key", "{user} made an activation key for {device}", ""),
    "device.enrol": (
        "plug-connected",
        "The agent of {device} was connected for the first time",
        "An agent tried to enrol and was refused",
    ),
    "device.release": ("server-2", "{user} released {device} from its agent", ""),
    "device.renew": ("shield-lock", "{device} renewed its certificate", "{device} could not renew its certificate"),
    "device.online": ("plug-connected", "{device} came online", ""),
    "device.offline": ("circle-x", "{device} went offline", ""),
    "device.claim": (
        "alert-triangle",
        "A certificate request for {device} named somebody; the server set the name itself",
        "A certificate request for {device} tried to name somebody",
    ),
    "device.move": ("server-2", "{device} was sent to another relay", "{device} could not move to another relay"),
    "role.join_token": ("key", "A join token was made", ""),
    "service.create": ("settings", "{user} added the panel {service} to {device}", ""),
    "service.change": ("settings", "{user} changed the panel {service} of {device}", ""),
    "service.delete": ("settings", "{user} removed the panel {service} from {device}", ""),
    "service.adhoc": ("world", "{user} opened an address of {device} by a link: {service}", ""),
    "service.adhoc_end": ("world", "{service} of {device}, opened by a link, is closed again", ""),
    "service.keep": ("settings", "{user} kept {service} of {device}, opened by a link, as a panel", ""),
    "service.certificate_refused": ("shield-x", "{service} of {device} showed a certificate that is not trusted", ""),
    "role.join": ("server-2", "A relay or web proxy joined", "A relay or web proxy was refused"),
    "connection": (
        "device-desktop",
        "{user} used {service} on {device}",
        "{user} could not open {service} on {device}",
    ),
}
# What the filter of the history offers, in a reader's words.
FILTERS = (
    ("", "Everything"), ("connection", "Connections"), ("signin", "Sign-ins"), ("user", "People"),
    ("device", "Machines"),
    ("service", "Panels"), ("refused", "Refusals"),
)  # fmt: skip
# Reasons why a connection ended, as the web proxy reports them.
REASONS = {
    "closed": "closed by the user", "browser_closed": "the page was closed",
    "browser_silent": "the browser went silent",
    "idle": "closed after a time without use", "signed_out": "the user signed out",
    "signed out": "the user signed out", "no_session": "the session ended", "session_expired": "the session ran out",
    "session_ended": "the session ended", "permission": "the permission was taken away",
    "permission_taken": "the permission was taken away", "not_allowed": "the permission was taken away",
    "not_found": "the permission was taken away, or the panel removed", "access_changed": "permissions were changed",
    "service_changed": "the panel's settings were changed", "too many sessions": "too many panels were open at once",
    "web proxy ends": "the web proxy was restarted", "password_wrong": "the panel did not accept its password",
    "password_missing": "the panel asked for a password and none is stored", "panel_refused": "the panel refused",
    "port_closed": "the panel's port is closed", "unreachable": "the panel can't be reached",
    "timed_out": "the panel did not answer", "not_vnc": "what answers there is not VNC",
    "no_common_type": "the panel offers no sign-in that the viewer knows", "access_down": "the access server was away",
    "target_refused": "the agent refused the address", "too_many": "too many viewers at once",
    "bad_client": "the browser sent something wrong", "broken": "an error of the web proxy",
    "sign_out": "", "disabled": "the person was disabled", "deleted": "the person was removed",
    "password_changed": "the password was changed", "factor_reset": "the second factor was reset",
    "factor_changed": "the second factor was replaced", "revoked": "ended under Settings",
    "expired": "its time was over", "absolute": "its time was over", "limit": "its time was over",
    "wrong_password": "wrong password", "wrong_code": "wrong code",
    "device_offline": "the machine went offline",
    "device_cut": "the machine was released", "web proxy lost": "the web proxy was restarted",
    "relay_lost": "the relay was lost",
    "panel_closed": "the panel closed it", "shutdown": "the web proxy was restarted",
}  # fmt: skip

# Ends that say that the panel was never reached.
FAULTS = frozenset(
    {
        "password_wrong", "password_missing", "panel_refused", "port_closed", "unreachable", "timed_out", "not_vnc",
        "no_common_type", "target_refused", "device_offline",
    }
)  # fmt: skip


def _subject(facts: JSON) -> str:
    for key in ("subject", "target", "of_user", "display_name", "name", "user"):
        if isinstance(facts.get(key), str) and facts[key]:
            return str(facts[key])
    return "a user"


def opened(row: JSON) -> bool:
    """Whether a connection got as far as the panel: it ended for no fault of the panel's, and something came back."""
    return reason_code(row) not in FAULTS and bool(row.get("bytes_down"))


def _special(row: JSON, facts: JSON) -> str:
    """The sentence of an event whose facts say more than its action; "" for all others."""
    if row["action"] == "connection" and row.get("result") in {"ok", None, ""} and reason_code(row) and not opened(row):
        return SENTENCES["connection"][2]
    if row["action"] == "session.end" and reason_code(row) == "sign_out":
        return "{user} signed out"
    if row["action"] == "user.change" and isinstance(facts.get("disabled"), list) and facts["disabled"]:
        return "{user} disabled {subject}" if facts["disabled"][-1] else "{user} enabled {subject} again"
    if row["action"] == "service.certificate_refused":
        return _certificate(facts)
    return _refusal(facts) if row["action"] == "refused" else ""


def _certificate(facts: JSON) -> str:
    shown, pinned = (_short(facts.get(key)) for key in ("shown", "pinned"))
    if not shown:
        return SENTENCES["service.certificate_refused"][1]
    if facts.get("verify") == "pin" and pinned:
        return f"{{service}} of {{device}} showed {{user}} the certificate {shown} instead of the trusted {pinned}"
    if facts.get("verify") == "pin":
        return f"{{service}} of {{device}} showed {{user}} the certificate {shown}, which nobody has trusted yet"
    return f"{{service}} of {{device}} showed {{user}} the certificate {shown}, which no known authority signed"


def _short(fingerprint: object) -> str:
    """The beginning of a fingerprint, enough to tell two apart by eye; the record has all of it."""
    digits = str(fingerprint or "")[:16].upper()
    if not digits or not digits.isalnum():
        return ""
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)) + "…"


def _refusal(facts: JSON) -> str:
    if facts.get("what") == "link":
        parts = [facts.get("account"), facts.get("device"), facts.get("service") or facts.get("ip")]
        # What a person typed may hold braces, which `format` would take for names.
        link = "/".join(str(part) for part in parts if part).replace("{", "").replace("}", "")
        return "{user} followed a link to " + link + ", where nothing is for them"
    if facts.get("what") == "handoff":
        return "A sign-in to a panel was refused for {user}"
    return "{user} tried what their permissions do not cover"


def sentence(row: JSON) -> str:
    """Return what a row of the audit says, as plain text (templates escape it).

    `names` holds what user, device and service are called now; without it stands what was recorded.
    """
    facts = row.get("facts") or {}
    called = {key: row[key] for key in ("user", "device", "service") if row.get(key)} | (row.get("names") or {})
    names = {
        "user": person(called.get("user")) or "Someone",
        "device": person(called.get("device")) or "a machine",
        "service": person(called.get("service")) or "a panel",
        "subject": _subject(facts),
    }
    worked = row.get("result") in {"ok", None, ""}
    known = SENTENCES.get(row["action"])
    if known is None:
        words = str(row["action"]).replace(".", ": ").replace("_", " ")
        said = [name for name in (person(row.get("service")), person(row.get("device"))) if name]
        return (
            f"{names['user']}, {words}" + (f" ({', '.join(said)})" if said else "") + ("" if worked else " (refused)")
        )
    _, good, bad = known
    special = _special(row, facts)
    if special:
        return special.format(**names)
    if row["action"] == "user.create" and worked and _subject(facts) == person(row.get("user")):
        return f"{names['user']} became the first administrator"
    if worked:
        return good.format(**names)
    return bad.format(**names) if bad else f"{good.format(**names)} (refused)"


def reason_code(row: JSON) -> str:
    """Return the code of why a connection or session ended, or why something was refused."""
    facts = row.get("facts") or {}
    return str(row.get("reason") or facts.get("reason") or facts.get("code") or "")


def reason(row: JSON) -> str:
    """Return why a connection ended, or why something was refused; "" when nothing says so."""
    code = reason_code(row)
    return REASONS.get(code, code.replace("_", " "))


def picture(row: JSON) -> str:
    """Return the name of the icon of a row."""
    if row.get("result") not in {"ok", None, ""} or (row["action"] == "connection" and _special(row, {})):
        return "alert-triangle"
    return SENTENCES.get(row["action"], ("info-circle", "", ""))[0]
