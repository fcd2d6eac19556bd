"""The panel on the machine: what it shows, and what touches and keys do. It draws by lists of filled boxes.

Layout, 800 x 480:

    +----------------------------------------------------------------+
    | MIXING PLANT 3                                        14:05:09 |
    +----------------------+--------------------+--------------------+
    |        motor         | TEMPERATURE   64.9 |       START        |
    |       vessel         | LEVEL         55.0 |       STOP         |
    |      with level      | SPEED        180.0 |     -    |    +    |
    |      and blade       | SET POINT     65.0 |   touches, key     |
    +----------------------+--------------------+--------------------+
    | RUNNING              | : typed text                            |
    +----------------------+-----------------------------------------+
"""

from demo.canvas import Box, Colour, Element, Fill, element, text
from demo.machine import CommandRefused, Machine, Snapshot

SIZE = (800, 480)
TYPED = 24
"""Characters of typed text that fit on the line."""
TARGET_STEP_C = 1.0

BUTTONS: dict[str, Box] = {
    "start": Box(560, 60, 220, 80),
    "stop": Box(560, 150, 220, 80),
    "less": Box(560, 240, 105, 70),
    "more": Box(675, 240, 105, 70),
}
_FACES = {
    "start": ("START", Colour.GO, Colour.WHITE),
    "stop": ("STOP", Colour.HALT, Colour.WHITE),
    "less": ("-", Colour.KEY, Colour.INK),
    "more": ("+", Colour.KEY, Colour.INK),
}

# Keysyms (X11 and RFB use the same): what a keyboard sends beside plain Latin-1 characters.
BACKSPACE, ENTER, KEYPAD_ENTER, ESCAPE = 0xFF08, 0xFF0D, 0xFF8D, 0xFF1B


class OperatorPanel:
    """The panel's state: pressed button, typed text, counters; and the machine behind it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.typed = ""
        self.touches = 0
        self.note = "TOUCH, OR TYPE A SET POINT AND ENTER"
        self._pressed: str | None = None

    def press(self, now: float, x: int, y: int) -> str | None:
        """Take a touch at (x, y); return the button's name when one was hit."""
        self.touches += 1
        self._pressed = next((name for name, box in BUTTONS.items() if box.holds(x, y)), None)
        match self._pressed:
            case "start":
                self.machine.start(now)
            case "stop":
                self.machine.stop(now)
            case "less":
                self._set(now, self.machine.snapshot(now).target - TARGET_STEP_C)
            case "more":
                self._set(now, self.machine.snapshot(now).target + TARGET_STEP_C)
        return self._pressed

    def release(self) -> None:
        """The finger or button is up again."""
        self._pressed = None

    def key(self, now: float, keysym: int) -> None:
        """Take a key: characters are shown as typed, Enter makes a number the set point, Escape clears."""
        if keysym in (ENTER, KEYPAD_ENTER):
            self._enter(now)
        elif keysym == BACKSPACE:
            self.typed = self.typed[:-1]
        elif keysym == ESCAPE:
            self.typed = ""
        elif 0x20 <= keysym <= 0xFF:
            self.typed = (self.typed + chr(keysym))[-TYPED:]

    def _enter(self, now: float) -> None:
        words, self.typed = self.typed, ""
        try:
            self._set(now, float(words.replace(",", ".")))
        except ValueError:
            self.note = "NOT A NUMBER"

    def _set(self, now: float, celsius: float) -> None:
        try:
            self.machine.set_target(now, celsius)
            self.note = f"SET POINT {celsius:g} °C"
        except CommandRefused:
            self.note = "20 TO 95 °C"

    def elements(self, now: float, time_of_day: str) -> tuple[Element, ...]:
        """Return the whole screen, always the same elements in the same order; compare to see what changed."""
        values = self.machine.snapshot(now)
        return (
            element(Box(0, 0, 800, 480), Colour.GROUND),
            element(Box(0, 0, 560, 44), Colour.BAR, *text("MIXING PLANT 3", 20, 12, 3, Colour.WHITE)),
            element(Box(560, 0, 240, 44), Colour.BAR, *text(time_of_day, 632, 12, 3, Colour.WHITE)),
            _motor(values),
            _vessel(values, now),
            _value(0, "TEMPERATURE °C", values.temperature),
            _value(1, "LEVEL %", values.level),
            _value(2, "SPEED 1/MIN", values.speed),
            _value(3, "SET POINT °C", values.target),
            *(self._button(name) for name in BUTTONS),
            self._counters(values),
            _state(values),
            self._entry(),
        )

    def _button(self, name: str) -> Element:
        box, (words, colour, ink) = BUTTONS[name], _FACES[name]
        if self._pressed == name:
            colour, ink = Colour.LIT, Colour.INK
        scale = 4
        x = box.x + (box.width - (len(words) * 6 - 1) * scale) // 2
        return element(
            box,
            Colour.LINE,
            Fill(Box(box.x + 2, box.y + 2, box.width - 4, box.height - 4), colour),
            *text(words, x, box.y + (box.height - 7 * scale) // 2, scale, ink),
        )

    def _counters(self, values: Snapshot) -> Element:
        return element(
            Box(560, 320, 220, 70),
            Colour.CARD,
            *text(f"TOUCHES {self.touches % 10000}", 570, 330, 2, Colour.SOFT),
            *text(f"BATCHES {values.batches % 10000}", 570, 364, 2, Colour.SOFT),
        )

    def _entry(self) -> Element:
        box = Box(300, 400, 480, 64)
        return element(
            box,
            Colour.LINE,
            Fill(Box(302, 402, 476, 60), Colour.WHITE),
            *text(f":{self.typed}_"[-26:], 310, 410, 3, Colour.INK),
            *text(self.note[:36], 310, 442, 2, Colour.SOFT),
        )


def _motor(values: Snapshot) -> Element:
    colour = Colour.WHITE if values.speed > 0 else Colour.KEY
    return element(
        Box(110, 56, 80, 34),
        Colour.BAR,
        Fill(Box(114, 60, 72, 26), colour),
        *text("M1", 138, 66, 2, Colour.INK),
    )


def _vessel(values: Snapshot, now: float) -> Element:
    outer = Box(40, 96, 220, 284)
    inner = Box(46, 96, 208, 278)
    fluid = round(inner.height * values.level / 100)
    top = inner.y + inner.height - fluid
    turn = abs((now * values.speed / 60 * 2) % 2 - 1) if values.speed else 1.0
    half = 20 + round(60 * turn)
    return element(
        outer,
        Colour.BAR,
        Fill(inner, Colour.CARD),
        Fill(Box(inner.x, top, inner.width, fluid), Colour.FLUID),
        Fill(Box(147, 96, 6, 200), Colour.BAR),
        Fill(Box(150 - half, 290, 2 * half, 16), Colour.BAR),
    )


def _value(place: int, words: str, number: float) -> Element:
    top = 60 + place * 84
    shown = f"{number:.1f}"
    x = 530 - (len(shown) * 6 - 1) * 5
    return element(
        Box(300, top, 244, 76),
        Colour.LINE,
        Fill(Box(302, top + 2, 240, 72), Colour.WHITE),
        *text(words, 310, top + 9, 2, Colour.SOFT),
        *text(shown, x, top + 31, 5, Colour.INK),
    )


def _state(values: Snapshot) -> Element:
    return element(
        Box(40, 400, 220, 64),
        Colour.BAR,
        Fill(Box(42, 402, 216, 60), Colour.WHITE if values.state == "running" else Colour.CARD),
        *text(values.state, 52, 420, 3, Colour.INK),
    )
