"""A second opinion on a VNC panel's pixels: asyncvnc, an independent client, in a process of its own.

`python -m e2e.harness.eye HOST PORT X,Y …` prints the colours as JSON; the password comes by the environment.
asyncvnc is GPL-3.0 and leaves its socket open: nothing of ours imports it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys


def look(host: str, port: int, password: str, points: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The colours (red, green, blue) of the panel's screen at `points`, as the other client sees them."""
    command = [sys.executable, "-m", "e2e.harness.eye", host, str(port), *(f"{x},{y}" for x, y in points)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30, env={**os.environ, "VNC_PASSWORD": password}
    )
    return [tuple(colour) for colour in json.loads(done.stdout)]


async def _colours(host: str, port: int, points: list[str]) -> list[list[int]]:
    import asyncvnc

    async with asyncvnc.connect(host, port, password=os.environ["VNC_PASSWORD"]) as client:
        pixels = await client.screenshot()
    places = [point.split(",") for point in points]
    return [[int(value) for value in pixels[int(y), int(x)][:3]] for x, y in places]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_colours(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))))
