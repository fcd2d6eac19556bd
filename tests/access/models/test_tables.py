"""All tables together: each belongs to accounts, or is named here as the installation's."""

from __future__ import annotations

from access.models import machines
from access.models.base import AccountBound, Base
from access.models.tables import MODULES, metadata

# Tables without an account. Whoever adds one says here why nobody's data can leak through it.
OF_THE_INSTALLATION = {
    "accounts",  # bound by its own id
    "login_failures",  # digests only
    "setup_codes",  # before there is any account
    "audit_heads",  # hashes only
    "public_ports",  # numbers and times only
    "join_tokens", "relays", "signing_keys",  # the servers', shared by all accounts
}  # fmt: skip


def test_every_table_belongs_to_accounts_or_is_listed() -> None:
    loose = {
        mapper.class_.__tablename__ for mapper in Base.registry.mappers if not issubclass(mapper.class_, AccountBound)
    }
    assert loose <= OF_THE_INSTALLATION, loose - OF_THE_INSTALLATION


def test_all_modules_are_known() -> None:
    assert machines in MODULES
    assert {"users", "devices", "audit"} <= metadata.tables.keys()


def test_account_columns_are_indexed_or_first_in_a_key() -> None:
    for table in metadata.tables.values():
        if "account_id" in table.c:
            firsts = {next(iter(index.columns)).name for index in table.indexes}
            assert table.c.account_id.index or "account_id" in firsts or table.c.account_id.primary_key, table.name
