"""Which event loop a role runs on: uvloop where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end and return what it returns.

    uvloop takes half the processor time for each byte; controllers without a wheel for it do without.
    """
    return _runner()(main)


def _runner() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run
    return asyncio.run
