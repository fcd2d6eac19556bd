"""What the panel shows, and what touches and keys do to its machine."""

import pytest

from demo.canvas import Canvas
from demo.machine import Machine
from demo.operator_panel import BACKSPACE, BUTTONS, ENTER, ESCAPE, SIZE, OperatorPanel


@pytest.fixture
def panel() -> OperatorPanel:
    return OperatorPanel(Machine(0.0))


def touch(panel: OperatorPanel, now: float, name: str) -> str | None:
    box = BUTTONS[name]
    hit = panel.press(now, box.x + box.width // 2, box.y + box.height // 2)
    panel.release()
    return hit


def type_in(panel: OperatorPanel, words: str, now: float = 0.0) -> None:
    for character in words:
        panel.key(now, ord(character))


def test_touching_start_and_stop_moves_the_machine(panel: OperatorPanel):
    assert touch(panel, 0.0, "start") == "start"
    assert panel.machine.snapshot(5.0).state == "running"
    assert touch(panel, 5.0, "stop") == "stop"
    assert panel.machine.snapshot(10.0).state == "stopped"
    assert panel.touches == 2


def test_touching_beside_the_buttons_is_counted_only(panel: OperatorPanel):
    assert panel.press(0.0, 0, 0) is None
    assert panel.touches == 1
    assert panel.machine.snapshot(5.0).state == "stopped"


def test_plus_and_minus_move_the_set_point(panel: OperatorPanel):
    touch(panel, 0.0, "more")
    touch(panel, 0.0, "more")
    touch(panel, 0.0, "less")
    assert panel.machine.snapshot(0.0).target == 66.0


@pytest.mark.parametrize("words", ["72.5", "72,5"])
def test_typed_number_becomes_the_set_point(panel: OperatorPanel, words: str):
    type_in(panel, words)
    assert panel.typed == words
    panel.key(0.0, ENTER)
    assert panel.machine.snapshot(0.0).target == 72.5
    assert panel.typed == ""


@pytest.mark.parametrize(("words", "note"), [("", "NOT A NUMBER"), ("hot", "NOT A NUMBER"), ("300", "20 TO 95 °C")])
def test_what_is_no_set_point_is_said(panel: OperatorPanel, words: str, note: str):
    type_in(panel, words)
    panel.key(0.0, ENTER)
    assert panel.note == note
    assert panel.machine.snapshot(0.0).target == 65.0


def test_typed_text_can_be_corrected_and_stays_on_its_line(panel: OperatorPanel):
    type_in(panel, "abc")
    panel.key(0.0, BACKSPACE)
    assert panel.typed == "ab"
    panel.key(0.0, ESCAPE)
    assert panel.typed == ""
    type_in(panel, "x" * 100)
    assert len(panel.typed) == 24
    panel.key(0.0, 0xFFE1)  # shift alone
    assert len(panel.typed) == 24


def test_screen_changes_only_where_something_changed(panel: OperatorPanel):
    before = panel.elements(0.0, "12:00:00")
    assert panel.elements(0.0, "12:00:00") == before
    panel.key(0.0, ord("A"))
    after = panel.elements(0.0, "12:00:00")
    assert [old.box for old, new in zip(before, after, strict=True) if old != new] == [after[-1].box]


def test_pressed_button_shows(panel: OperatorPanel):
    before = panel.elements(0.0, "")
    panel.press(0.0, BUTTONS["less"].x, BUTTONS["less"].y)
    assert panel.elements(0.0, "") != before


def test_each_element_keeps_to_its_box_and_the_screen(panel: OperatorPanel):
    panel.machine.start(0.0)
    type_in(panel, "W" * 30)
    for now in range(0, 200, 7):
        for part in panel.elements(float(now), "23:59:59"):
            assert part.fills[0].box == part.box
            for fill in part.fills:
                assert fill.box.x >= part.box.x
                assert fill.box.y >= part.box.y
                assert fill.box.x + fill.box.width <= part.box.x + part.box.width <= SIZE[0]
                assert fill.box.y + fill.box.height <= part.box.y + part.box.height <= SIZE[1]


def test_draws_the_whole_screen(panel: OperatorPanel):
    canvas = Canvas(*SIZE)
    for part in panel.elements(0.0, "12:00:00"):
        canvas.draw(part)
    assert len(set(canvas.pixels)) > 8
