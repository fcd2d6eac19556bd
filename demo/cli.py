"""The commands of the demonstration machine."""

import asyncio
import os
import signal
import socket

import click
import uvicorn

from demo import hmi as web
from demo import panel as vnc
from panelgate import log
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Unavailable

SHUTDOWN_S = 1
"""Live values and messages never end by themselves."""
PANEL_PASSWORD = "demo1234"  # noqa: S105 (a demonstration's, printed in the README)


@click.group("demo")
def group() -> None:
    """The demonstration machine: what `make run` puts behind an agent."""


@group.command()
@click.option("--host", default="127.0.80.10", show_default=True, help="Address to listen on.")
@click.option("--port", default=8081, show_default=True, help="Port to listen on.")
def hmi(host: str, port: int) -> None:
    """Run the web HMI of a mixing plant (user operator, password 1234)."""
    log.configure("demo-hmi", json=True)
    listener = listen(host, port)
    where = listener.getsockname()[1]
    config = uvicorn.Config(
        web.create_app(Clock(), f"http://{host}:{where}"),
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    log.get_logger(__name__).info("hmi shown", host=host, port=where)
    uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise Unavailable with a sentence when the address is taken or isn't here."""
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise Unavailable(
            "port_in_use", f"The HMI cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}."
        ) from error


@group.command()
@click.option("--host", default="127.0.80.11", show_default=True, help="Address to listen on.")
@click.option("--port", default=5900, show_default=True, help="Port to listen on.")
@click.option("--own", is_flag=True, help="Use the project's own small VNC server, also where TigerVNC is installed.")
def panel(host: str, port: int, own: bool) -> None:
    """Run the VNC panel (password demo1234)."""
    log.configure("demo-panel", json=True)
    try:
        asyncio.run(_until_told(host, port, own))
    except* PanelgateError as group_of_one:
        raise _first(group_of_one) from None


async def _until_told(host: str, port: int, own: bool) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await vnc.serve(Clock(), host, port, PANEL_PASSWORD, tigervnc=None if own else vnc.find_tigervnc())
    except asyncio.CancelledError:
        return  # told to stop: that is the ordinary end


def _first(errors: BaseExceptionGroup[PanelgateError]) -> PanelgateError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PanelgateError)
    return error
