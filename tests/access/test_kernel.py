"""The server's parts from its data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.kernel import AUTHORITY_FOLDER, DATABASE_FILE, KEY_FILE, database_address, open_kernel
from access.keyring import Keyring
from access.models.people import Account
from panelgate.errors import Broken
from panelgate.settings import AccessSettings


def settings(data: Path, database: str = "") -> AccessSettings:
    return AccessSettings(_env_file=None, data=data, database=database)  # type: ignore[call-arg]


def test_the_database_is_sqlite_in_the_folder_unless_told(tmp_path: Path) -> None:
    assert database_address(settings(tmp_path)) == str(tmp_path / DATABASE_FILE)
    assert database_address(settings(tmp_path, "postgresql://x/y")) == "postgresql://x/y"


def test_events_of_units_reach_the_hub(data: Path) -> None:
    kernel = open_kernel(settings(data))
    heard: list[dict[str, str]] = []
    kernel.hub.listen(heard.append)
    with kernel.store.operator(write=True) as unit:
        unit.add(Account(slug="acme", name="Acme", created=unit.now))
        unit.publish({"type": "access.changed", "account_id": "1"})
    assert heard == [{"type": "access.changed", "account_id": "1"}]
    assert kernel.data == data
    kernel.store.close()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=KEY_FILE):
        open_kernel(settings(tmp_path))
    Keyring.create(tmp_path / KEY_FILE)
    with pytest.raises(Broken, match=AUTHORITY_FOLDER):
        open_kernel(settings(tmp_path))
