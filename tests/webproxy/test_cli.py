from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from panelgate.errors import BadInput
from panelgate.pki import Authority, Role
from panelgate.settings import WebproxySettings
from panelgate.tasks import spawn
from webproxy.cli import check, group, identity_directory, make_server

FILES = {"certificate": Path("c"), "key": Path("k")}
REAL = {"domain": "example.com", "public_scheme": "https"}


@pytest.mark.parametrize(("settings", "behind_proxy", "code"), [
    ({}, False, None),
    ({"domain": "plant.localhost"}, False, None),
    ({"domain": "example.com"}, False, "plain_http"),
    (REAL, False, "no_certificate"),
    (REAL | FILES, False, None),
    (REAL | FILES, True, "two_https"),
    (REAL, True, "no_trusted_proxies"),
    (REAL | {"trusted_proxies": "10.0.0.0/8"}, True, None),
    (REAL | {"trusted_proxies": "anyone"}, True, "bad_trusted_proxies"),
    ({"certificate": Path("c")}, False, "half_certificate"),
    (FILES, False, "wrong_scheme"),
    ({"origins": "ports"}, False, None),
    ({"origins": "ports", "port": 20005}, False, "bad_origin_ports"),
    ({"origins": "ports", "public_port": 20005}, False, "bad_origin_ports"),
    ({"origins": "ports", "origin_ports": "20000"}, False, "bad_origin_ports"),
    ({"origins": "ports", "public_host": "localhost"}, False, None),
    (REAL | FILES | {"origins": "ports", "public_host": "gate.example.com"}, False, None),
    ({"origins": "paths"}, False, None),
    ({"origins": "paths", "apps_host": "panels.localhost"}, False, None),
    ({"origins": "paths", "apps_host": "Portal.localhost"}, False, "bad_apps_host"),
    ({"origins": "paths", "apps_host": "apps.localhost:8081"}, False, "bad_apps_host"),
    ({"origins": "paths", "public_host": "apps.localhost"}, False, "bad_apps_host"),
    ({"apps_host": "portal.localhost"}, False, None),
    (REAL | FILES | {"origins": "paths"}, False, None),
    (REAL | FILES | {"origins": "paths", "apps_host": "portal.example.com"}, False, "bad_apps_host"),
    (REAL | FILES | {"public_host": "portal.apps.example.com"}, False, "bad_host"),
    (REAL | FILES | {"public_host": "https://gate.example.com"}, False, "bad_host"),
])  # fmt: skip
def test_unsafe_settings_are_refused_with_advice(
    settings: dict[str, Any], behind_proxy: bool, code: str | None
) -> None:
    made = WebproxySettings(**settings)
    if code is None:
        check(made, behind_proxy=behind_proxy)
        return
    with pytest.raises(BadInput) as error:
        check(made, behind_proxy=behind_proxy)
    assert error.value.code == code


def test_it_must_have_joined(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        make_server(WebproxySettings(data=tmp_path))
    assert "panelgate webproxy join" in error.value.message


def test_the_listener_is_ours(tmp_path: Path) -> None:
    Authority.create().new_identity(Role.WEBPROXY, "w1").save(identity_directory(tmp_path))
    server = make_server(WebproxySettings(data=tmp_path, trusted_proxies="10.0.0.1"))
    server.config.load()
    assert server.config.http_protocol_class.__name__ == "FrontProtocol"
    assert server.config.ws_protocol_class is None
    assert not server.config.access_log


async def test_where_services_have_ports_all_of_them_listen(tmp_path: Path) -> None:
    identity = Authority.create().new_identity(Role.WEBPROXY, "w1").save(identity_directory(tmp_path))
    assert identity
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        settings = {"data": tmp_path, "port": 0, "public_port": 8080, "origins": "ports"}
        given = {**settings, "origin_ports": f"{port}-{port}"}
        server = make_server(WebproxySettings(**given))
        with pytest.raises(BadInput, match=f"Port {port} at"):
            await server.serve()
    server = make_server(WebproxySettings(**given))
    running = spawn("server", server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.01)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    server.should_exit = True
    await running


def test_panels_that_share_one_address_are_warned_of(tmp_path: Path) -> None:
    Authority.create().new_identity(Role.WEBPROXY, "w1").save(identity_directory(tmp_path))
    for origins, lines in (("paths", ["panels share one address"]), ("names", [])):
        with capture_logs() as logs:
            make_server(WebproxySettings(data=tmp_path, origins=origins))
        assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == lines


def test_the_commands_exist() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert "join" in result.output
    assert "serve" in result.output
