"""What runs where."""

from pathlib import Path

from panelgate.supervise.plan import Plan

PLAN = Plan(Path("/srv/pg"), 8090, 8451, 8452, demo=True, environment={"HOME": "/root", "PANELGATE_ACCESS_PORT": "1"})


def test_addresses():
    assert PLAN.portal == "http://portal.localhost:8090"
    assert PLAN.access_url == "https://127.0.0.1:8451"
    assert PLAN.relay_url == "wss://127.0.0.1:8452"


def test_roles_get_their_settings_over_what_the_shell_has():
    spec = PLAN.spec("access", "access", "serve", EXTRA="1")
    assert spec.words == ("access", "serve")
    assert spec.environment["PANELGATE_ACCESS_PORT"] == "8451"
    assert spec.environment["PANELGATE_WEBPROXY_DATA"] == "/srv/pg/webproxy"
    assert (spec.environment["HOME"], spec.environment["EXTRA"]) == ("/root", "1")


def test_services_have_names_unless_ports_are_asked_for():
    assert PLAN.spec("x").environment["PANELGATE_ORIGINS"] == "names"
    ports = Plan(Path("/srv/pg"), 8090, 8451, 8452, demo=False, environment={}, origins="ports")
    assert ports.spec("x").environment["PANELGATE_ORIGINS"] == "ports"


def test_activation_key_is_not_on_the_command_line():
    spec = PLAN.enrol("pgk-secret")
    assert "pgk-secret" not in " ".join(spec.words)
    assert spec.environment["PANELGATE_AGENT_KEY"] == "pgk-secret"


def test_demonstration_can_be_left_out():
    bare = Plan(Path("/srv/pg"), 8090, 8451, 8452, demo=False, environment={})
    assert len(PLAN.ports()) == 5
    assert [port for _, _, port, _ in bare.ports()] == [8090, 8451, 8452]
    assert "PANELGATE_ACCESS_LAN_LOOPBACK" in PLAN.spec("x").environment
    assert "PANELGATE_ACCESS_LAN_LOOPBACK" not in bare.spec("x").environment


def test_demonstration_runs_on_its_own_addresses():
    assert PLAN.hmi().words[-4:] == ("--host", "127.0.80.10", "--port", "8081")
    assert PLAN.panel().words[-4:] == ("--host", "127.0.80.11", "--port", "5900")
    assert (PLAN.hmi().ready_event, PLAN.panel().ready_event) == ("hmi shown", "panel shown")
