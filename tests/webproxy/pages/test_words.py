import pytest

from webproxy.pages import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "a moment"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 800, "2 years"),
        (None, ""),
    ],
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (999_600, "1.0 MB"),
        (12_000_000, "12 MB"),
        (5e15, "5000 TB"),
        (None, ""),
    ],
)
def test_sizes(count, said):
    assert words.size(count) == said


def test_times_are_elements():
    assert (
        words.time_tag("2026-01-31T12:00:00Z") == '<time datetime="2026-01-31T12:00:00Z" data-as="ago" '
        'title="2026-01-31 12:00 UTC">2026-01-31 12:00 UTC</time>'
    )
    assert words.time_tag("2026-01-31T14:00:00+02:00") == words.time_tag("2026-01-31T12:00:00")
    assert words.time_tag(0, "stamp").startswith('<time datetime="1970')
    for nothing in (None, "", "<script>", "yesterday", 1e30):
        assert words.time_tag(nothing) == "—"


def test_names():
    assert words.person({"display_name": "Jana"}) == "Jana"
    assert words.person(None) == ""
    assert words.initials("Jana Hofer") == "JH"
    assert words.initials("") == "?"
    assert words.count(1, "machine") == "1 machine"
    assert words.count(10_000, "machine") == "10,000 machines"
    assert words.browser("Mozilla (X11; Linux) Firefox/130") == "Firefox on Linux"
    assert words.browser(None) == "Unknown browser"
    assert words.lines("<a>\nb") == "&lt;a&gt;<br>b"
    assert words.sentence("odd thing") == "Odd thing."
    assert words.sentence("") == ""
