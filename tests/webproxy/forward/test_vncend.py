from webproxy.forward.rfb import Trouble
from webproxy.forward.vncend import ENDS, MAX_REASON, OF_TROUBLE, End, close_reason


def test_every_end_has_words_and_every_trouble_an_end() -> None:
    assert set(ENDS) == set(End)
    assert set(OF_TROUBLE) == set(Trouble)
    for words in ENDS.values():
        assert words.title
        assert words.happened.endswith(".")
        assert words.todo.endswith(".")
        words.happened.format(target="192.168.0.12:5900")


def test_codes_are_private_and_distinct() -> None:
    assert len({int(end) for end in End}) == len(list(End))
    assert all(4000 <= end <= 4099 for end in End)


def test_nothing_that_used_a_password_is_tried_again_by_itself() -> None:
    for end in (End.PASSWORD_WRONG, End.PASSWORD_MISSING, End.PANEL_REFUSED, End.NO_COMMON_TYPE, End.NOT_VNC):
        assert ENDS[end].after == "ask"


def test_reason_fits_a_close_frame_and_is_cut_at_a_character() -> None:
    assert close_reason("ab12") == "ab12"
    assert close_reason("ab12", "Zu viele Versuche") == "ab12 Zu viele Versuche"
    cut = close_reason("ab12", "ü" * 200)
    assert len(cut.encode()) <= MAX_REASON
    assert set(cut[5:]) == {"ü"}
