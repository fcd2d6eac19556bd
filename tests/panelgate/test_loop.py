"""Which event loop runs: uvloop where it is, asyncio's where it is not."""

import asyncio
import sys

import pytest

from panelgate import loop


async def _name() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_where_installed() -> None:
    pytest.importorskip("uvloop")
    assert loop.run(_name()).startswith("uvloop")


def test_asyncio_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(_name()).startswith("asyncio")
