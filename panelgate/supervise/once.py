"""Commands that run once and answer: `panelgate access init`, `relay join` and their like."""

import asyncio

from panelgate.supervise.child import RoleRefused, Spec, start

LIMIT_S = 60.0
"""For one command: the slowest makes a database on a loaded machine."""


async def run_once(spec: Spec) -> str:
    """Run a command to its end and return what it printed; RoleRefused with its own words when it fails."""
    process = await start(spec)
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError:
        raise RoleRefused("command_silent", f"{spec.name} did not finish within {LIMIT_S:g} seconds.") from None
    finally:
        if process.returncode is None:  # too slow, or we are stopping
            process.kill()
            await process.wait()
    if process.returncode:
        complaint = err.decode("utf-8", "replace").strip()
        last = complaint.splitlines()[-1] if complaint else f"exit code {process.returncode}"
        raise RoleRefused("command_failed", f"{spec.name}: {last.removeprefix('Error: ')}", {"output": complaint})
    return out.decode("utf-8", "replace").strip()
