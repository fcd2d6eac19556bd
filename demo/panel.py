"""The VNC panel: TigerVNC with an X program of ours where it is installed, else our own small VNC server."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from demo import vncauth
from demo.machine import Machine
from demo.operator_panel import SIZE, OperatorPanel
from demo.rfb_server import RfbServer
from demo.xpanel import XPanel
from panelgate.clock import Clock
from panelgate.errors import Unavailable
from panelgate.log import get_logger
from panelgate.supervise.orphans import die_with_parent

log = get_logger(__name__)

START_S = 15.0
"""For TigerVNC to say which display it is; a loaded machine takes a few seconds."""
STOP_S = 2.0
"""Between asking TigerVNC to end and making it."""


def find_tigervnc() -> str | None:
    """Return TigerVNC's server program, or None."""
    return shutil.which("Xtigervnc")


async def serve(clock: Clock, host: str, port: int, password: str, *, tigervnc: str | None) -> None:
    """Show the panel on `host`:`port` until cancelled; raise Unavailable when the server can't start or ends."""
    panel = OperatorPanel(Machine(clock.monotonic()))
    if tigervnc:
        await _serve_by_tigervnc(panel, clock, host, port, password, tigervnc)
    else:
        await _serve_by_ourselves(panel, clock, host, port, password)


async def _serve_by_ourselves(panel: OperatorPanel, clock: Clock, host: str, port: int, password: str) -> None:
    server = RfbServer(panel, clock, password)
    try:
        listener = await asyncio.start_server(server.serve, host, port)
    except OSError as error:
        raise _port_taken(host, port) from error
    async with listener:
        log.info("panel shown", by="own server", host=host, port=port)
        await server.live()


async def _serve_by_tigervnc(
    panel: OperatorPanel, clock: Clock, host: str, port: int, password: str, program: str
) -> None:
    async with _password_file(password) as path, _tigervnc(program, host, port, path) as display:
        reader, writer = await asyncio.open_unix_connection(f"/tmp/.X11-unix/X{display}")  # noqa: S108 (X's own place)
        log.info("panel shown", by="TigerVNC", host=host, port=port, display=display)
        try:
            await XPanel(panel, clock, reader, writer).run()
        except* ConnectionError as error:
            raise Unavailable("vnc_ended", "TigerVNC ended.") from error
        finally:
            writer.close()


@asynccontextmanager
async def _password_file(password: str) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="panelgate-panel-") as folder:  # 0700, gone at the end
        path = Path(folder) / "password"
        path.write_bytes(vncauth.password_file(password))
        path.chmod(0o600)
        yield path


@asynccontextmanager
async def _tigervnc(program: str, host: str, port: int, password_file: Path) -> AsyncIterator[int]:
    """Run TigerVNC; yield its display's number once it is ready."""
    ready, told = os.pipe()
    words = [
        *("-displayfd", str(told), "-interface", host, "-rfbport", str(port), "-nolisten", "tcp"),
        *("-SecurityTypes", "VncAuth", "-PasswordFile", str(password_file), "-AlwaysShared"),
        *("-geometry", f"{SIZE[0]}x{SIZE[1]}", "-depth", "24", "-AcceptSetDesktopSize=0"),
        *("-desktop", "Mixing plant 3", "-noreset", "-br"),
    ]
    try:
        # Its words go nowhere: a page of greeting at each start, and a line for each viewer, which the agent logs too.
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            pass_fds=[told],
            start_new_session=True,  # Ctrl-C in a terminal is for us: we end it in order
            preexec_fn=die_with_parent(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    finally:
        os.close(told)
    try:
        yield await _display(ready, host, port)
    finally:
        await _end(process)


async def _display(ready: int, host: str, port: int) -> int:
    """Read the display's number from the pipe that TigerVNC writes it to; it closes the pipe when it can't start."""
    reader = asyncio.StreamReader()
    with open(ready, "rb", buffering=0) as pipe:  # noqa: ASYNC230 (a file descriptor, read by the loop)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            async with asyncio.timeout(START_S):
                line = await reader.readline()
        except TimeoutError:
            line = b""
        finally:
            transport.close()
    if not line.strip().isdigit():
        raise _port_taken(host, port)
    return int(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def _port_taken(host: str, port: int) -> Unavailable:
    return Unavailable(
        "port_in_use",
        f"The panel cannot listen on {host} port {port}. Is another `make run` or VNC server using it?",
        {"host": host, "port": port},
    )
