import json
from pathlib import Path

from agent.status import Status, describe, read
from panelgate.clock import FakeClock, iso


def make(path: Path, clock: FakeClock) -> Status:
    return Status(path, clock, account="acme", device="press", access="https://a")


async def test_a_state_is_written_at_once_and_keeps_its_time(tmp_path: Path) -> None:
    clock = FakeClock()
    status = make(tmp_path / "status.json", clock)
    status.set("connecting")
    since = iso(clock.now())
    clock.advance(5)
    status.set("connecting")
    snapshot = read(tmp_path / "status.json")
    assert snapshot is not None
    assert (snapshot.state, snapshot.since, snapshot.account) == ("connecting", since, "acme")


async def test_counts_are_written_together(tmp_path: Path) -> None:
    status = make(tmp_path / "status.json", FakeClock())
    status.count(circuits=1, config_version=2)
    status.count(circuits=2, config_version=2)
    assert read(tmp_path / "status.json") is None
    status.write()
    snapshot = read(tmp_path / "status.json")
    assert snapshot is not None
    assert (snapshot.circuits, snapshot.config_version) == (2, 2)


async def test_a_full_disk_does_not_stop_the_agent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    make(tmp_path / "file" / "status.json", FakeClock()).set("online", relay="wss://r")


def test_rubbish_reads_as_nothing(tmp_path: Path) -> None:
    for text in ("", "[]", "{}x", json.dumps({"later": 1})):
        (tmp_path / "status.json").write_text(text)
        assert read(tmp_path / "status.json") is None


async def test_what_a_person_reads(tmp_path: Path) -> None:
    status = make(tmp_path / "status.json", FakeClock())
    status.set("online", relay="wss://r")
    status.failed("The relay was lost.")
    text = "\n".join(describe(status.now, running=True))
    for part in ("online since", "acme/press", "wss://r", "The relay was lost."):
        assert part in text
    stopped = "\n".join(describe(status.now, running=False))
    assert "not running" in stopped
    assert "wss://r" not in stopped
    assert describe(None, running=False) == ["The agent is not running, and never was."]
    status.write()
