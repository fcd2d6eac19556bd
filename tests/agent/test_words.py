import pytest

from agent.words import HOPELESS, WORDS, explain
from panelgate.errors import Refused


@pytest.mark.parametrize("code", sorted(WORDS))
def test_every_sentence_says_something_to_a_person(code: str) -> None:
    sentence = WORDS[code]
    assert sentence[0].isupper()
    assert sentence.rstrip()[-1] in ".?" or "timedatectl" in sentence
    assert explain(Refused(code, "from the server")) == sentence


def test_what_we_have_no_words_for_keeps_its_own() -> None:
    assert explain(Refused("serial_bound", "It is bound.")) == "It is bound."


def test_everything_hopeless_is_explained() -> None:
    assert set(WORDS) >= HOPELESS
