"""The agent's real process on nothing but the base install: at most 64 MiB while it forwards 200 MB each way."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.access_api import WAIT_SECONDS
from tests.fakes.plant import Browser, plant

LIMIT_MIB = 64
TRANSFER = 200_000_000  # bytes each way
CHUNK = bytes(64 * 1024)
SERVER_ONLY = ("uvloop", "pydantic", "starlette", "fastapi", "sqlalchemy", "uvicorn")

# The command itself, and at its end (SIGTERM) one line: server modules that were loaded.
RUN = f"""
import sys
from panelgate.cli import main
try:
    main(["agent", "run", "--state", sys.argv[1], "--log", "json"], standalone_mode=False)
finally:
    print("LOADED", [name for name in {SERVER_ONLY!r} if name in sys.modules])
"""


class Counting(Browser):
    """Echo comes back; only its length is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.writable = asyncio.Event()
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self._news.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


def resident(pid: int) -> tuple[float, float]:
    """Resident memory now and at its highest, in MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024


@pytest.mark.slow
async def test_memory_of_the_real_process(tmp_path: Path, agent_python: Path) -> None:
    async with plant(tmp_path, run=False) as site:
        await site.start_relay()
        await site.enrol()
        process = await asyncio.create_subprocess_exec(
            agent_python, "-c", RUN, str(site.state.directory), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            await site.online()
            idle, _ = resident(process.pid)
            circuit = await site.circuit()
            browser = Counting()
            stream = circuit.open_stream("echo", browser)
            for _ in range(TRANSFER // len(CHUNK)):
                await asyncio.wait_for(browser.writable.wait(), WAIT_SECONDS)
                stream.write(CHUNK)
                await asyncio.sleep(0)
            stream.write_eof()
            async with asyncio.timeout(120):
                await browser.until(lambda: browser.eof)
            now, highest = resident(process.pid)
            print(f"agent: idle {idle:.1f} MiB, after {browser.count} bytes back {now:.1f}, highest {highest:.1f}")
            stream.close()
            circuit.close()
        finally:
            process.terminate()
            output, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        assert browser.count >= TRANSFER // len(CHUNK) * len(CHUNK)
        assert highest <= LIMIT_MIB
        assert b"LOADED []" in output
