"""The panel's font."""

import pytest

from demo import font


@pytest.mark.parametrize("character", sorted(font.GLYPHS))
def test_each_glyph_is_five_by_seven_dots(character: str):
    rows = font.glyph(character)
    assert len(rows) == 7
    assert all(len(row) == 5 and set(row) <= {"#", "."} for row in rows)


def test_glyphs_differ():
    assert len(set(font.GLYPHS.values())) == len(font.GLYPHS)


def test_small_letters_are_capitals_and_the_unknown_is_a_question_mark():
    assert font.glyph("q") == font.glyph("Q")
    assert font.glyph("€") == font.glyph("?")


def test_runs_cover_the_dots_and_no_more():
    dots = {(x + n, y) for x, y, length in font.runs("HI") for n in range(length)}
    expected = {
        (place * 6 + x, y)
        for place, character in enumerate("HI")
        for y, row in enumerate(font.glyph(character))
        for x, dot in enumerate(row)
        if dot == "#"
    }
    assert dots == expected


def test_width_leaves_no_gap_after_the_last_character():
    assert font.width("", 3) == 0
    assert font.width("A", 3) == 15
    assert font.width("AB", 2) == 22
