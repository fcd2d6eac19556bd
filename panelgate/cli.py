"""The command `panelgate`. A role is imported when it is called, so that an agent needs no server's library."""

from __future__ import annotations

import importlib
import os

import click

from panelgate.errors import PanelgateError

COMMANDS = {
    "access": ("access.cli:group", "The access server: accounts, devices, permissions."),
    "relay": ("relay.cli:group", "The relay: joins web proxies and agents."),
    "webproxy": ("webproxy.cli:group", "The web proxy: what browsers meet."),
    "agent": ("agent.cli:group", "The agent on a machine's LAN."),
    "demo": ("demo.cli:group", "The demonstration machine."),
    "run": ("panelgate.supervisor:run", "Everything on one machine, with one log."),
}


class _Roles(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"'{cmd_name}' needs the package '{error.name}', which is not installed. "
                "A server role needs: pip install 'panelgate[server]'"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PanelgateError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Roles)
@click.version_option(package_name="panelgate")
def main() -> None:
    """Open a machine's HMI in any browser, without opening a port at the plant."""
    # Whatever a role writes (the database and its journals among it) is its own user's alone.
    os.umask(0o077)
