"""The commands `panelgate agent enrol`, `run`, `status` and `policy`."""

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click

from agent import status as status_file
from agent.enrol import Wish, enrol
from agent.interfaces import connected_lans
from agent.loop import Agent
from agent.policy import LEVELS, WIDEST, Network, OwnerPolicy, parse_networks
from agent.state import DEFAULT_DIRECTORY, State, machine_serial
from panelgate.errors import BadInput
from panelgate.log import configure
from panelgate.loop import run

STATE = click.option(
    "--state",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DIRECTORY,
    envvar="PANELGATE_AGENT_STATE",
    show_default=True,
    help="Folder with this agent's key and configuration.",
)
ALLOW = click.option(
    "--allow",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network that may be reached although it is outside the LAN. Loopback and this machine's own "
    "addresses must be named exactly. Only this command changes the list; no server can.",
)
DENY_ALL_BUT = click.option(
    "--deny-all-but",
    "only",
    multiple=True,
    metavar="ADDRESS",
    help="Reach nothing but these addresses or networks, whatever the server configures.",
)
LEVEL = click.option(
    "--level",
    type=click.Choice(LEVELS),
    default=None,
    help="The widest firewall level: standard (links may name any address in the LAN), high (other ports of hosts that "
    "have a listed service), enforced or ultra (listed services alone). The server can only set a stricter one.",
)


@click.group("agent")
def group() -> None:
    """The agent on a machine's LAN."""


@group.command("enrol")
@click.option(
    "--key", required=True, envvar="PANELGATE_AGENT_KEY", help="Activation key from the portal; - reads it from input."
)
@click.option("--access", required=True, help="Address of the access server, https://...")
@STATE
@ALLOW
@DENY_ALL_BUT
@click.option("--lan", multiple=True, metavar="NETWORK", help="The machine's LAN. Default: what this computer is on.")
@click.option("--serial", default=None, help="Serial number. Default: made from this computer's machine-id.")
@click.option("--again", is_flag=True, help="Enrol anew, giving up the present identity.")
def enrol_command(
    key: str,
    access: str,
    directory: Path,
    allow: tuple[str, ...],
    only: tuple[str, ...],
    lan: tuple[str, ...],
    serial: str | None,
    again: bool,
) -> None:
    """Bind this computer to a device of the installation."""
    state = State(directory)
    networks = _networks(lan)
    with state.running():
        if state.enrolled() and not again:
            known = state.enrolment()
            raise BadInput(
                "already_enrolled",
                f"This agent is already enrolled as {known.account}/{known.device}. To enrol it anew, add --again.",
            )
        if allow or only:
            kept = state.owner().level
            state.save_owner(OwnerPolicy(_networks(allow), _networks(only) if only else None, kept))
        wish = Wish(
            sys.stdin.readline() if key == "-" else key,
            access,
            serial or machine_serial(directory),
            tuple(str(network) for network in networks) or connected_lans(),
            bool(networks),
        )
        done = asyncio.run(enrol(wish, state))
    click.echo(f"Enrolled as {done.account}/{done.device} ({done.name}). Start the agent with: panelgate agent run")


@group.command("run")
@STATE
@click.option("--log", "form", type=click.Choice(["json", "text"]), default="json", show_default=True)
def run_command(directory: Path, form: str) -> None:
    """Connect and serve until stopped (Ctrl-C or SIGTERM)."""
    configure("agent", json=form == "json")
    state = State(directory)
    state.enrolment()
    with state.running():
        run(run_until_stopped(state))


@group.command("status")
@STATE
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status_command(directory: Path, as_json: bool) -> None:
    """Say how the agent is. Exit code 0: online; 1: running, not online; 3: not running."""
    state = State(directory)
    running = state.is_running()
    snapshot = status_file.read(state.status_file)
    if as_json:
        click.echo(json.dumps({"running": running, **(asdict(snapshot) if snapshot else {})}))
    else:
        if not state.enrolled():
            click.echo(f"There is no enrolled agent in {directory}.")
        for line in status_file.describe(snapshot, running=running):
            click.echo(line)
    online = running and snapshot is not None and snapshot.state == "online"
    sys.exit(0 if online else 1 if running else 3)


@group.command("policy")
@STATE
@ALLOW
@DENY_ALL_BUT
@LEVEL
@click.option("--clear", is_flag=True, help="Forget lists and level first.")
def policy_command(
    directory: Path, allow: tuple[str, ...], only: tuple[str, ...], level: str | None, clear: bool
) -> None:
    """Show or change the owner's own rules: addresses, widest level. Restart the agent for a change to count."""
    state = State(directory)
    before = OwnerPolicy() if clear else state.owner()
    added = None if not only and before.only is None else (*(before.only or ()), *_networks(only))
    policy = OwnerPolicy((*before.allow, *_networks(allow)), added, level or before.level)
    if allow or only or level or clear:
        state.save_owner(policy)
    click.echo("Allowed besides the LAN: " + (", ".join(str(network) for network in policy.allow) or "nothing"))
    if policy.only is not None:
        click.echo("Denied is all but:       " + (", ".join(str(network) for network in policy.only) or "nothing"))
    click.echo(f"Widest firewall level:   {policy.level}" + (" (the server decides)" if policy.level == WIDEST else ""))


async def run_until_stopped(state: State, *, stop: asyncio.Event | None = None) -> None:
    """Run the agent until `stop` is set; by default SIGINT and SIGTERM set it."""
    stopping = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
    agent = Agent(state)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(agent.run(), name="agent")
        await stopping.wait()
        running.cancel()


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return parse_networks(texts)
    except ValueError as error:
        raise BadInput("bad_address", f"{error}. Write it like 192.168.0.10 or 192.168.0.0/24.") from error
