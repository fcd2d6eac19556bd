import pytest

from access.audit import ACTIONS
from webproxy.pages.sentences import FILTERS, SENTENCES, picture, reason, sentence


def row(action, result="ok", **more):
    return {
        "action": action,
        "result": result,
        "user": "jana",
        "device": "press-4",
        "service": "hmi",
        "facts": {},
    } | more


def test_every_recorded_action_has_a_sentence():
    assert set(ACTIONS) == set(SENTENCES)


@pytest.mark.parametrize("action", sorted(SENTENCES))
@pytest.mark.parametrize("result", ["ok", "failed", "refused"])
def test_all_can_be_said(action, result):
    said = sentence(row(action, result))
    assert said
    assert "{" not in said
    assert picture(row(action, result))


def test_wording():
    assert sentence(row("connection")) == "jana used hmi on press-4"
    assert sentence(row("connection", "failed")) == "jana could not open hmi on press-4"
    assert sentence(row("user.delete", facts={"name": "Milo"})) == "jana removed Milo"
    assert sentence(row("account.change", "refused")) == "jana changed the account (refused)"
    assert sentence(row("new.thing", user=None)) == "Someone, new: thing (hmi, press-4)"
    assert sentence({"action": "connection", "result": "ok"}) == "Someone used a panel on a machine"
    names = {"user": "Jana Novak", "device": "Press 4", "service": "Main HMI"}
    assert sentence(row("connection", names=names)) == "Jana Novak used Main HMI on Press 4"
    assert sentence(row("user.create", facts={"user": "jana"})) == "jana became the first administrator"


def test_facts_say_more_than_the_action():
    assert sentence(row("connection", facts={"reason": "port_closed"})) == "jana could not open hmi on press-4"
    assert sentence(row("connection", facts={"reason": "idle"})) == "jana could not open hmi on press-4"
    assert picture(row("connection", facts={"reason": "idle"})) == "alert-triangle"
    assert sentence(row("connection", bytes_down=9, facts={"reason": "idle"})) == "jana used hmi on press-4"
    assert sentence(row("session.end", facts={"reason": "sign_out"})) == "jana signed out"
    assert sentence(row("session.end", facts={"reason": "disabled"})) == "A session of jana ended"
    assert sentence(row("user.change", facts={"user": "bob", "disabled": [False, True]})) == "jana disabled bob"
    assert sentence(row("user.change", facts={"user": "bob", "disabled": [True, False]})) == "jana enabled bob again"
    link = {"what": "link", "account": "acme", "device": "a{b}", "service": "hmi"}
    said = "jana followed a link to acme/ab/hmi, where nothing is for them"
    assert sentence(row("refused", "refused", facts=link)) == said
    handoff = row("refused", "refused", facts={"what": "handoff"})
    assert sentence(handoff) == "A sign-in to a panel was refused for jana"
    assert sentence(row("refused", "refused")) == "jana tried what their permissions do not cover"


def test_a_refused_certificate_is_told_with_both_fingerprints():
    facts = {"shown": "ab" * 32, "pinned": "cd" * 32, "verify": "pin"}
    event = row("service.certificate_refused", "refused", facts=facts)
    shown, pinned = "AB:AB:AB:AB:AB:AB:AB:AB…", "CD:CD:CD:CD:CD:CD:CD:CD…"
    assert sentence(event) == f"hmi of press-4 showed jana the certificate {shown} instead of the trusted {pinned}"
    facts["pinned"] = None
    assert sentence(event) == f"hmi of press-4 showed jana the certificate {shown}, which nobody has trusted yet"
    facts["verify"] = "ca"
    assert sentence(event).endswith("which no known authority signed")
    facts["shown"] = "{user}"  # never the format's
    assert "showed a certificate that is not trusted" in sentence(event)


def test_reasons_in_words():
    assert reason(row("connection", facts={"reason": "idle"})) == "closed after a time without use"
    assert reason(row("connection", reason="odd_thing")) == "odd thing"
    assert reason(row("connection")) == ""


def test_filters_are_kinds_that_exist():
    for word, _ in FILTERS[1:]:
        assert any(action == word or action.startswith(word + ".") for action in ACTIONS)
