"""Tasks that nobody awaits, kept alive and never silent.

asyncio keeps only a weak reference to a task, and drops its exception when nobody asks: both end here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from panelgate.log import get_logger

log = get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(name: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Run `coroutine` beside the caller; an exception that leaves it is logged with its trace."""
    task = asyncio.create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task failed", task=task.get_name(), exc_info=error)
