import asyncio
import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from panelgate.access_client import AccessClient
from panelgate.clock import Clock, FakeClock
from panelgate.errors import Unavailable
from panelgate.pki import Identity
from relay.renewal import due, keep_renewed, renew
from tests.fakes.access_api import NAMES, fake_access
from tests.fakes.plant import plant


async def test_the_certificate_changes_and_the_key_stays(tmp_path: Path) -> None:
    async with fake_access(tmp_path / "access") as access:
        identity = access.relay_identity(tmp_path / "relay")
        async with AccessClient(access.url, identity) as client:
            fresh = await renew(identity, client, NAMES, Clock())
        stored = Identity.load(tmp_path / "relay")
        assert stored.fingerprint == fresh.fingerprint != identity.fingerprint
        assert stored.key.public_key() == identity.key.public_key()


async def test_nothing_changes_when_access_is_away(tmp_path: Path) -> None:
    async with fake_access(tmp_path / "access") as access:
        identity = access.relay_identity(tmp_path / "relay")
        await access.down()
        async with AccessClient(access.url, identity) as client:
            with pytest.raises(Unavailable):
                await renew(identity, client, NAMES, Clock())
        assert Identity.load(tmp_path / "relay").fingerprint == identity.fingerprint


async def test_a_running_relay_shows_the_new_certificate(tmp_path: Path) -> None:
    async with AsyncExitStack() as clients, plant(tmp_path, run=False) as site:
        relay = await site.start_relay()
        identity = Identity.load(site.directory / "relay-1")
        late = FakeClock(due(identity) + 1)
        # The access server checks the proof of identity by the same clock.
        site.access.clock = late
        task = asyncio.get_running_loop().create_task(
            keep_renewed(relay, identity, site.access.url, NAMES, clients, late), name="renewal"
        )
        await site.access.until(lambda: site.access.asked("/v1/renew"))
        await site.access.until(lambda: Identity.load(site.directory / "relay-1").fingerprint != identity.fingerprint)
        task.cancel()
        await asyncio.wait([task])
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port, ssl=identity.client_context())
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        assert hashlib.sha256(shown).hexdigest() == Identity.load(site.directory / "relay-1").fingerprint
