from pathlib import Path

import pytest
from pydantic import ValidationError

from panelgate.settings import AccessSettings, RelaySettings, WebproxySettings


def test_defaults_are_one_machine_on_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANELGATE_WEBPROXY_PORT", raising=False)
    assert WebproxySettings().sites().portal_origin == "http://portal.localhost:8080"
    assert AccessSettings().host == RelaySettings().host == "127.0.0.1"


def test_every_setting_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANELGATE_ACCESS_DATA", "/srv/pg")
    monkeypatch.setenv("PANELGATE_RELAY_URL", "wss://relay.example")
    monkeypatch.setenv("PANELGATE_WEBPROXY_DOMAIN", "gate.example")
    monkeypatch.setenv("PANELGATE_WEBPROXY_PUBLIC_SCHEME", "https")
    monkeypatch.setenv("PANELGATE_WEBPROXY_PUBLIC_PORT", "443")
    assert AccessSettings().data == Path("/srv/pg")
    assert RelaySettings().url == "wss://relay.example"
    assert WebproxySettings().sites().service_origin("a--b--c") == "https://a--b--c.apps.gate.example"


def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANELGATE_WEBPROXY_PUBLIC_SCHEME", "gopher")
    with pytest.raises(ValidationError):
        WebproxySettings()


def test_every_setting_says_what_it_is() -> None:
    for settings in (AccessSettings, RelaySettings, WebproxySettings):
        assert all(field.description for field in settings.model_fields.values())
