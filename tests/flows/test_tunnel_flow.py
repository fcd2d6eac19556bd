"""Access (fake), relay, agent, a web proxy's side and a device, over loopback TLS: the tunnel as a whole."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.state import State
from panelgate.circuit import Circuit
from panelgate.errors import PanelgateError, Refused
from panelgate.frames import StreamError
from tests.fakes.access_api import WAIT_SECONDS
from tests.fakes.plant import Browser, Plant, plant


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path) as found:
        yield found


async def echo(circuit: Circuit, data: bytes = b"hello") -> Browser:
    browser = Browser()
    stream = circuit.open_stream("echo", browser)
    stream.write(data)
    await browser.until(lambda: browser.over.done() or len(browser.received) >= len(data))
    assert bytes(browser.received) == data
    return browser


async def refused_with(site: Plant, code: str, **changes: object) -> None:
    with pytest.raises(PanelgateError) as refused:
        await site.circuit(site.ticket(**changes))
    assert refused.value.code == code


async def test_open_and_echo(site: Plant) -> None:
    circuit = await site.circuit()
    await echo(circuit)
    await echo(circuit, b"x" * 3_000_000)
    assert site.target.transports[0].get_extra_info("peername")[0].startswith("127.")
    circuit.close()


async def test_half_close_reaches_the_device_and_its_last_words_come_back(site: Plant) -> None:
    circuit = await site.circuit()
    browser = Browser()
    stream = circuit.open_stream("echo", browser)
    stream.write(b"last")
    stream.write_eof()
    await browser.until(lambda: browser.eof)
    assert bytes(browser.received) == b"last<eof>"
    stream.close()
    circuit.close()


async def test_two_web_proxies_at_once_do_not_meet(site: Plant) -> None:
    first, second = await asyncio.gather(site.circuit(), site.circuit())
    await asyncio.gather(echo(first, b"one"), echo(second, b"two"))
    first.close()
    await echo(second, b"still here")
    second.close()


async def test_a_service_that_is_not_in_the_ticket_is_refused(site: Plant) -> None:
    circuit = await site.circuit(site.ticket(services=("other",)))
    browser = Browser()
    circuit.open_stream("echo", browser)
    reset = await browser.reset()
    assert (reset.code, reset.text) == (StreamError.REFUSED, "not_in_ticket")
    assert site.target.transports == []
    circuit.close()


async def test_a_service_that_the_agent_does_not_have_is_unknown(site: Plant) -> None:
    circuit = await site.circuit(site.ticket(services=("ghost",)))
    browser = Browser()
    circuit.open_stream("ghost", browser)
    assert (await browser.reset()).code == StreamError.UNKNOWN_SERVICE
    circuit.close()


async def test_a_service_made_a_moment_ago_is_fetched(site: Plant) -> None:
    """And the next one right after it: whoever follows links makes a service with each."""
    for name in ("new", "newer", "newest"):
        site.device.services.append(site.row(name, site.HOST, site.target.port))
        site.device.version += 1
        circuit = await site.circuit()
        browser = Browser()
        circuit.open_stream(name, browser).write(b"hi")
        await browser.until(lambda seen=browser: seen.received == b"hi")  # type: ignore[misc]
        circuit.close()


async def test_a_page_that_opens_many_connections_to_a_new_service_gets_them_all(site: Plant) -> None:
    assert site.agent is not None
    site.device.services.append(site.row("new", site.HOST, site.target.port))
    site.device.version += 1
    circuit = await site.circuit()
    site.agent._config_changed()  # the news of it comes at the same moment
    browsers = [Browser() for _ in range(8)]
    for browser in browsers:
        circuit.open_stream("new", browser).write(b"hi")
    for browser in browsers:
        await browser.until(lambda seen=browser: seen.over.done() or seen.received == b"hi")  # type: ignore[misc]
        assert browser.received == b"hi"
    circuit.close()


async def test_a_service_that_a_link_made_opens_only_at_its_level(site: Plant) -> None:
    site.device.services.append(site.row("link", site.HOST, site.target.port, kind="adhoc"))
    for level, opens in (("enforced", False), ("standard", True), ("ultra", False), ("high", True)):
        site.device.level = level
        site.device.version += 1
        assert site.agent is not None
        await site.agent._fetch_config()
        circuit = await site.circuit()
        browser = Browser()
        circuit.open_stream("link", browser).write(b"hi")
        if opens:
            await browser.until(lambda seen=browser: seen.received == b"hi")  # type: ignore[misc]
        else:
            reset = await browser.reset()
            assert (reset.code, reset.text) == (StreamError.REFUSED, "level")
        circuit.close()


async def test_an_address_that_the_owner_did_not_allow_is_refused(site: Plant) -> None:
    site.device.services.append(site.row("inside", "127.0.0.1", site.target.port))
    site.device.version += 1
    await site.stop_agent()
    await site.start_agent()
    circuit = await site.circuit()
    browser = Browser()
    circuit.open_stream("inside", browser)
    reset = await browser.reset()
    assert (reset.code, reset.text) == (StreamError.REFUSED, "own_address")
    await echo(circuit)
    circuit.close()


async def test_a_closed_port_says_so(site: Plant) -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, site.HOST, 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    site.device.services.append(site.row("closed", site.HOST, port))
    site.device.version += 1
    assert site.agent is not None
    await site.agent._fetch_config()
    circuit = await site.circuit()
    browser = Browser()
    circuit.open_stream("closed", browser)
    assert (await browser.reset()).code == StreamError.CONNECTION_REFUSED
    circuit.close()


async def test_an_expired_ticket_is_refused(site: Plant) -> None:
    await refused_with(site, "ticket_expired", expires=site.access.clock.now() - 60)


async def test_a_ticket_for_another_relay_is_refused(site: Plant) -> None:
    await refused_with(site, "wrong_relay", relay_id="relay-2")


async def test_a_ticket_for_another_device_is_refused_at_the_relay(site: Plant) -> None:
    await refused_with(site, "device_not_here", device_id="another")


async def test_a_ticket_opens_its_own_circuit_only_and_once(site: Plant) -> None:
    ticket = site.ticket()
    with pytest.raises(Refused) as refused:
        await site.circuit(ticket, circuit_id="another")
    assert refused.value.code == "wrong_circuit"
    (await site.circuit(ticket)).close()
    with pytest.raises(Refused) as refused:
        await site.circuit(ticket)
    assert refused.value.code == "ticket_used"


async def test_another_web_proxys_key_is_refused_by_the_agent(site: Plant) -> None:
    thief = site.access.webproxy_identity(site.directory / "thief", "webproxy-2")
    # In TLS 1.3 the client may be done before the server has looked at its certificate.
    try:
        circuit = await site.circuit(identity=thief)
    except PanelgateError as error:
        assert error.code in ("circuit_failed", "wrong_peer", "refused", "agent_wrong_peer")  # noqa: PT017
    else:
        await asyncio.wait_for(circuit.closed, WAIT_SECONDS)
    assert site.target.transports == []
    await echo(await site.circuit())


async def test_relay_killed_and_back(site: Plant) -> None:
    circuit = await site.circuit()
    await echo(circuit)
    before = site.device.counter
    await site.kill_relay()
    await asyncio.wait_for(circuit.closed, WAIT_SECONDS)
    await site.start_relay()
    await site.online(before)
    await echo(await site.circuit())


async def test_a_relays_clean_stop_tells_the_agent(site: Plant) -> None:
    assert site.agent is not None
    before = site.device.counter
    await site.stop_relay()
    assert site.access.reports[-1]["devices"] == []
    await site.start_relay()
    await site.online(before)
    await echo(await site.circuit())


async def test_a_copied_agent_replaces_the_first_which_says_so(site: Plant) -> None:
    assert site.agent is not None
    site.agent._backoff._jitter = lambda low, high: 3600.0
    copy = State(site.directory / "copy")
    copy.save_identity(site.state.identity())
    copy.save_enrolment(site.state.enrolment())
    copy.save_ticket_keys(site.state.ticket_keys())
    copy.save_owner(site.state.owner())
    second = await site.start_agent("copy", copy)
    assert second.status.now.state == "online"
    circuit = await site.circuit()
    await echo(circuit)
    circuit.close()
    assert site.agent.status.now.state == "revoked"
    assert "copied" in (site.agent.status.now.last_error or "")


async def test_access_down_open_and_new_circuits_go_on(site: Plant) -> None:
    circuit = await site.circuit()
    await echo(circuit)
    await site.access.down()
    await echo(circuit)
    # A ticket made before it went down still works: relay and agent ask nobody.
    await echo(await site.circuit())
    await site.access.up()


async def test_a_cut_circuit_ends_at_once(site: Plant) -> None:
    ticket = site.ticket()
    circuit = await site.circuit(ticket)
    await echo(circuit)
    other = await site.circuit()
    site.access.send("relay-1", {"type": "circuit.cut", "circuit_id": ticket.circuit_id, "reason": "session_ended"})
    await asyncio.wait_for(circuit.closed, 2.0)
    await echo(other)


async def test_a_cut_device_loses_everything(site: Plant) -> None:
    assert site.agent is not None
    site.agent._backoff._jitter = lambda low, high: 3600.0
    circuit = await site.circuit()
    await echo(circuit)
    site.device.revoked = True
    site.access.send("relay-1", {"type": "device.cut", "device_id": site.device.id, "reason": "released"})
    await asyncio.wait_for(circuit.closed, 2.0)
    await site.access.until(lambda: site.access.presence[-1]["state"] == "down")
    with pytest.raises(PanelgateError) as refused:
        await site.circuit()
    assert refused.value.code == "device_not_here"


async def test_a_changed_configuration_comes_by_the_control_connection(site: Plant) -> None:
    assert site.agent is not None
    asked = len(site.access.asked("/agent/v1/config"))
    site.device.services.clear()
    site.device.version += 1
    event = {"type": "config.changed", "device_id": site.device.id, "version": site.device.version}
    site.access.send("relay-1", event)
    await site.access.until(lambda: len(site.access.asked("/agent/v1/config")) > asked)
    circuit = await site.circuit(site.ticket(services=("echo",)))
    browser = Browser()
    circuit.open_stream("echo", browser)
    assert (await browser.reset()).code == StreamError.UNKNOWN_SERVICE
    circuit.close()


async def test_a_device_that_hangs_up_ends_its_stream_only(site: Plant) -> None:
    circuit = await site.circuit()
    first = await echo(circuit, b"first")
    second = await echo(circuit, b"second")
    # With a linger time of zero closing sends RST instead of FIN.
    socket_of = site.target.transports[0].get_extra_info("socket")
    socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    site.target.transports[0].abort()
    assert (await first.reset()).code == StreamError.PEER_RESET
    assert not second.over.done()
    await echo(circuit, b"third")
    circuit.close()
