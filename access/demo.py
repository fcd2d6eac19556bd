"""The demonstration machine: a device with a web HMI and a VNC panel on loopback addresses of its own."""

from __future__ import annotations

from typing import Any, Final

from access import devices, services
from access.db import Store
from access.keyring import Keyring
from access.models.machines import Device
from access.models.people import Account
from access.services import Fields
from access.users import Actor
from panelgate.errors import BadInput
from panelgate.log import Secret
from panelgate.pki import Authority

SLUG: Final = "demo-machine"
NAME: Final = "Demonstration machine"
LAN: Final = ("127.0.80.0/24",)
PANEL_PASSWORD: Final = "demo1234"  # noqa: S105 - of a panel that shows a picture, printed in the README
SERVICES: Final = (
    Fields(slug="hmi", name="Mixer HMI", host="127.0.80.10", port=8081, protocol="http", visible=True),
    Fields(
        slug="panel", name="Operator panel", host="127.0.80.11", port=5900, protocol="vnc", visible=True,
        password=Secret(PANEL_PASSWORD),
    ),
)  # fmt: skip
OPERATOR: Final = Actor(None, "operator", "")


def add(store: Store, keyring: Keyring, ca: Authority) -> dict[str, Any]:
    """Add the demonstration machine to the one account there is: {account, device, key}, `key` None when enrolled.

    Called again it adds what is missing and changes nothing that is there. BadInput: no_account (set up first),
    several_accounts.
    """
    with store.operator() as unit:
        accounts = unit.all(Account, order=Account.created, limit=2)
    if len(accounts) != 1:
        if accounts:
            raise BadInput("several_accounts", "There are several accounts: the demonstration needs just one.", {})
        raise BadInput("no_account", "There is no account yet. Open the portal and set the installation up first.", {})
    account = accounts[0]
    with store.account(account.id, write=True) as unit:
        device = unit.find(Device, Device.slug == SLUG)
        if device is not None and device.deleted is not None:
            return {"account": account.slug, "device": SLUG, "key": None}  # somebody did not want it
        if device is None:
            device = devices.create(
                unit, OPERATOR, slug=SLUG, name=NAME, site="This computer", lan=LAN, loopback=True,
                description="A simulated mixing plant: a web HMI and an operator panel, reached through an agent.",
            )  # fmt: skip
            for fields in SERVICES:
                services.create(unit, keyring, OPERATOR, device, fields)
        if device.serial is not None:
            return {"account": account.slug, "device": device.slug, "key": None}
        key, _ = devices.new_activation_key(unit, OPERATOR, device, ca.certificate)
        return {"account": account.slug, "device": device.slug, "key": key}
