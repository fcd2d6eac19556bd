import pytest

from panelgate.errors import BadInput, Broken, PanelgateError, Refused, Unavailable, from_json


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadInput), (422, BadInput), (401, Refused), (403, Refused), (404, Refused), (429, Refused),
     (409, Unavailable), (503, Unavailable), (507, Unavailable), (500, Broken)],
)  # fmt: skip
def test_an_error_survives_the_wire(status: int, kind: type[PanelgateError]) -> None:
    sent = kind("some_code", "A sentence.", {"since": 3}, status=status)
    got = from_json(status, sent.as_json())
    assert type(got) is kind
    assert (got.code, got.message, got.facts, got.status) == ("some_code", "A sentence.", {"since": 3}, status)


@pytest.mark.parametrize("body", [None, [], {}, {"error": "no"}, {"error": {"code": 3}}, "text"])
def test_an_answer_that_is_not_ours_is_unavailable(body: object) -> None:
    assert isinstance(from_json(500, body), Unavailable)


def test_an_error_without_sentence_shows_its_code() -> None:
    assert str(Refused("no_session")) == "no_session"
