"""A small font for panels, five by seven dots, drawn for this project: capitals, digits and some signs."""

WIDTH, HEIGHT = 5, 7
ADVANCE = WIDTH + 1
"""Dots from one character to the next."""

_ART = """
ABCDEFGHIJKLM
.###. ####. .#### ####. ##### ##### .###. #...# .###. ..### #...# #.... #...#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #..#. #.... ##.##
#...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #.#.. #.... #.#.#
##### ####. #.... #...# ####. ####. #.### ##### ..#.. ...#. ##... #.... #.#.#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #.#.. #.... #...#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. #..#. #..#. #.... #...#
#...# ####. .#### ####. ##### #.... .###. #...# .###. .##.. #...# ##### #...#
NOPQRSTUVWXYZ
#...# .###. ####. .###. ####. .#### ##### #...# #...# #...# #...# #...# #####
##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....#
##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.
#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..
#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# #...# #.#.# .#.#. ..#.. .#...
#..## #...# #.... #..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #....
#...# .###. #.... .##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. #####
0123456789+-.
.###. ..#.. .###. .###. ...#. ##### .###. ##### .###. .###. ..... ..... .....
#...# .##.. #...# #...# ..##. #.... #.... ....# #...# #...# ..#.. ..... .....
#..## ..#.. ....# ....# .#.#. ####. #.... ....# #...# #...# ..#.. ..... .....
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ...#. .###. .#### ##### ##### .....
##..# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....# ..#.. ..... .....
#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ....# ..#.. ..... .##..
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .###. ..... ..... .##..
:/%°,!?_()='#
..... ....# ##..# .##.. ..... ..#.. .###. ..... ...#. .#... ..... ..#.. .#.#.
.##.. ....# ##..# #..#. ..... ..#.. #...# ..... ..#.. ..#.. ..... ..#.. .#.#.
.##.. ...#. ...#. #..#. ..... ..#.. ....# ..... .#... ...#. ##### ..... #####
..... ..#.. ..#.. .##.. ..... ..#.. ...#. ..... .#... ...#. ..... ..... .#.#.
.##.. .#... .#... ..... .##.. ..#.. ..#.. ..... .#... ...#. ##### ..... #####
.##.. #.... #..## ..... ..#.. ..... ..... ..... ..#.. ..#.. ..... ..... .#.#.
..... #.... #..## ..... .#... ..#.. ..#.. ##### ...#. .#... ..... ..... .#.#.
"""


def _read(art: str) -> dict[str, tuple[str, ...]]:
    lines = art.strip().splitlines()
    glyphs = {" ": ("." * WIDTH,) * HEIGHT}
    for top in range(0, len(lines), HEIGHT + 1):
        rows = [line.split() for line in lines[top + 1 : top + 1 + HEIGHT]]
        for column, character in enumerate(lines[top]):
            glyphs[character] = tuple(row[column] for row in rows)
    return glyphs


GLYPHS = _read(_ART)


def glyph(character: str) -> tuple[str, ...]:
    """Return seven rows of five dots, "#" set and "." clear; a question mark for what the font hasn't."""
    return GLYPHS.get(character.upper(), GLYPHS["?"])


def width(text: str, scale: int) -> int:
    """Return the pixels that `text` takes at `scale` pixels a dot."""
    return max(0, len(text) * ADVANCE - 1) * scale


def runs(text: str) -> list[tuple[int, int, int]]:
    """Return the set dots of `text` as horizontal runs (x, y, length), in dots from its top left corner."""
    found: list[tuple[int, int, int]] = []
    for place, character in enumerate(text):
        for y, row in enumerate(glyph(character)):
            x = 0
            while x < WIDTH:
                length = len(row[x:]) - len(row[x:].lstrip("#"))
                if length:
                    found.append((place * ADVANCE + x, y, length))
                x += max(1, length)
    return found
