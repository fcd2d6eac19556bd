import asyncio

import pytest
import structlog.testing

from panelgate.tasks import spawn


async def test_a_spawned_task_runs_and_is_kept() -> None:
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    task = spawn("work", work())
    await task
    assert done.is_set()
    assert task.get_name() == "work"


async def test_an_exception_is_logged_not_lost() -> None:
    async def fail() -> None:
        raise RuntimeError("broken")

    with structlog.testing.capture_logs() as logs:
        task = spawn("fail", fail())
        with pytest.raises(RuntimeError):
            await task
        await asyncio.sleep(0)
    assert [(line["event"], line["task"]) for line in logs] == [("task failed", "fail")]


async def test_cancelling_is_no_failure() -> None:
    with structlog.testing.capture_logs() as logs:
        task = spawn("wait", asyncio.Event().wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
    assert logs == []
