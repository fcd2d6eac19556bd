"""The merged log, line by line."""

import json
from datetime import UTC

import pytest

from panelgate.supervise.lines import Style, format_line

PLAIN = Style(colour=False, zone=UTC)
NOW = 1_800_000_000.0  # 08:00:00 UTC


def test_json_line_becomes_time_role_event_and_facts():
    line = json.dumps(
        {"event": "device online", "level": "info", "timestamp": "2026-01-31T12:34:56.7Z", "role": "relay",
         "module": "relay.server", "device": "mixer", "ms": 12}
    )  # fmt: skip
    assert format_line(PLAIN, "relay", line, NOW) == "12:34:56  relay       device online device=mixer ms=12"


def test_text_and_broken_json_are_shown_as_they_are():
    assert format_line(PLAIN, "demo-panel", "Hello", NOW) == "08:00:00  demo-panel  Hello"
    assert format_line(PLAIN, "access", '{"half', NOW).endswith('{"half')
    assert format_line(PLAIN, "access", '"only a text"', NOW).endswith('"only a text"')


def test_values_with_spaces_are_quoted_and_structures_are_json():
    line = json.dumps({"event": "x", "why": "no such host", "list": [1], "none": None, "empty": ""})
    assert format_line(PLAIN, "agent", line, NOW).endswith('x why="no such host" list=[1] none=null empty=""')


@pytest.mark.parametrize("level", ["warning", "error"])
def test_trouble_is_a_word_without_a_terminal_and_a_colour_on_one(level: str):
    line = json.dumps({"event": "disk full", "level": level})
    assert f"{level}: disk full" in format_line(PLAIN, "access", line, NOW)
    coloured = format_line(Style(colour=True, zone=UTC), "access", line, NOW)
    assert level not in coloured
    assert "\x1b[3" in coloured


def test_no_colours_without_a_terminal():
    assert "\x1b" not in format_line(PLAIN, "panelgate", '{"event": "x", "level": "error"}', NOW)


def test_trace_follows_indented():
    line = json.dumps({"event": "task failed", "level": "error", "exception": "Traceback:\n  File x\nValueError"})
    assert format_line(PLAIN, "relay", line, NOW).splitlines()[1:] == [
        "    Traceback:",
        "      File x",
        "    ValueError",
    ]


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "bell\x07", "\x9b2J", "\x7f"])
def test_what_came_from_a_network_cannot_steer_the_terminal(text: str):
    for line in (text, json.dumps({"event": text, "who": text, "exception": text})):
        shown = format_line(PLAIN, "access", line, NOW)
        assert not {"\x1b", "\x07", "\x9b", "\x7f"} & set(shown)


def test_odd_time_is_replaced_by_the_moment_of_reading():
    assert format_line(PLAIN, "access", '{"event": "x", "timestamp": "soon"}', NOW).startswith("08:00:00")
