"""The panel as an X program: one window over the whole screen of an X server, such as TigerVNC's."""

import asyncio
from datetime import datetime

from demo import x11
from demo.canvas import Element
from demo.operator_panel import SIZE, OperatorPanel
from panelgate.clock import Clock

SETUP_S = 10.0
"""For the X server's first answer; it comes at once or never."""
REDRAW_S = 0.2
"""Between two looks at the machine: five pictures a second."""


class XPanel:
    """The panel's window, over a connection to an X server."""

    def __init__(
        self, panel: OperatorPanel, clock: Clock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._panel, self._clock = panel, clock
        self._reader, self._writer = reader, writer
        self._shown: tuple[Element, ...] = ()
        self._keyboard: x11.Keyboard | None = None

    async def run(self) -> None:
        """Show the panel until the X server goes; raise x11.XError or ConnectionError then."""
        async with asyncio.timeout(SETUP_S):
            self._writer.write(x11.SETUP)
            head = await self._reader.readexactly(x11.SETUP_HEAD)
            screen = x11.parse_setup(head + await self._reader.readexactly(x11.setup_length(head)))
        self._writer.write(x11.open_window(screen, *SIZE))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live(screen))
            group.create_task(self._listen(screen))

    async def _live(self, screen: x11.Screen) -> None:
        while True:
            self._redraw(screen)
            await self._writer.drain()
            await asyncio.sleep(REDRAW_S)

    def _redraw(self, screen: x11.Screen) -> None:
        moment = datetime.fromtimestamp(self._clock.now()).astimezone().strftime("%H:%M:%S")
        elements = self._panel.elements(self._clock.monotonic(), moment)
        before = self._shown or (None,) * len(elements)
        for old, new in zip(before, elements, strict=True):
            if old != new:
                self._writer.write(x11.draw(screen, new.fills))
        self._shown = elements

    async def _listen(self, screen: x11.Screen) -> None:
        while True:
            try:
                head = await self._reader.readexactly(x11.EVENT)
                message = head + await self._reader.readexactly(x11.reply_length(head))
            except asyncio.IncompleteReadError as gone:
                raise ConnectionResetError("the X server went away") from gone
            now = self._clock.monotonic()
            match x11.parse(screen, message):
                case x11.Touch(down=True, x=x, y=y):
                    self._panel.press(now, x, y)
                case x11.Touch():
                    self._panel.release()
                case x11.Key() as key if self._keyboard:
                    self._panel.key(now, self._keyboard.keysym(key))
                case x11.Keyboard() as keyboard:
                    self._keyboard = keyboard
                case x11.KeyboardChanged():
                    self._writer.write(x11.ask_keyboard(screen))
                case x11.Exposed():
                    self._shown = ()
                case _:
                    continue
            self._redraw(screen)
