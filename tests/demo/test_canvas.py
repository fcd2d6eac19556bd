"""Boxes, and the picture made of them."""

from demo.canvas import PALETTE, Box, Canvas, Colour, Fill, element, text


def test_palette_names_a_colour_for_each():
    assert len(PALETTE) == len(Colour)


def test_box_holds_its_edge_but_not_the_one_beyond():
    box = Box(10, 20, 5, 5)
    assert box.holds(10, 20)
    assert box.holds(14, 24)
    assert not box.holds(15, 24)
    assert not box.holds(14, 25)


def test_draws_ground_and_fills_over_it():
    canvas = Canvas(4, 3)
    canvas.draw(element(Box(1, 1, 3, 2), Colour.CARD, Fill(Box(2, 1, 1, 1), Colour.INK)))
    card, ink = Colour.CARD, Colour.INK
    assert list(canvas.pixels) == [0, 0, 0, 0, 0, card, ink, card, 0, card, card, card]
    assert list(canvas.cut(Box(2, 1, 2, 2))) == [ink, card, card, card]


def test_cuts_off_what_sticks_out():
    canvas = Canvas(2, 2)
    canvas.draw(element(Box(-1, -1, 10, 2), Colour.GO))
    canvas.draw(element(Box(5, 0, 3, 3), Colour.HALT))
    assert list(canvas.pixels) == [Colour.GO, Colour.GO, 0, 0]


def test_text_is_scaled():
    fills = text("-", 10, 20, 3, Colour.INK)
    assert fills == (Fill(Box(10, 29, 15, 3), Colour.INK),)
