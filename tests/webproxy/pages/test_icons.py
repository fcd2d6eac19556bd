import pytest

from webproxy.pages import icons


def test_an_icon_is_silent():
    text = icons.icon("world", "big")
    assert 'aria-hidden="true"' in text
    assert "#world" in text
    assert 'fill="currentColor"' in icons.icon("filled-circle")


@pytest.mark.parametrize("name", ['x"onload="y', "", "a b", "../x"])
def test_odd_names_are_refused(name):
    with pytest.raises(ValueError, match=r".*"):
        icons.icon(name)


def test_protocols():
    assert "#device-imac" in icons.protocol_icon("vnc")
    assert "#plug-connected" in icons.protocol_icon("odd")
