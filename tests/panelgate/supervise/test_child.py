"""Child processes: kept running, refused, stopped. They are real, and small."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from panelgate.supervise.child import Child, RoleRefused, Spec, lines, start

Log = list[tuple[str, str]]


def spec(script: str) -> Spec:
    return Spec("relay", [], dict(os.environ), (sys.executable, "-uc", script))


@asynccontextmanager
async def kept(what: Spec, log: Log) -> AsyncIterator[Child]:
    child = Child(what, lambda role, line: log.append((role, line)))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(child.keep())
        yield child
        await child.stop(5)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


async def test_lines_of_both_outputs_reach_the_log_and_stop_ends_it():
    log: Log = []
    script = "import signal, sys; print('out'); print('err', file=sys.stderr); signal.pause()"
    async with kept(spec(script), log) as child:
        await until(lambda: len(log) == 2)
    assert sorted(log) == [("relay", "err"), ("relay", "out")]
    assert child.process is not None
    assert child.process.returncode == -15


async def test_crashed_child_is_started_again():
    log: Log = []
    async with kept(spec("import os; print('here'); os.abort()"), log) as child:
        await until(lambda: child.starts == 2)
    assert ("relay", "ended (SIGABRT); starts again in 0.5 s") in log


async def test_stopping_does_not_wait_for_the_pause():
    log: Log = []
    async with kept(spec("raise SystemExit(3)"), log) as child:
        await until(lambda: child.starts == 3)  # the pause is a second or more now
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 0.9
    assert ("relay", "ended (exit code 3); starts again in 1 s") in log


async def test_refusal_in_words_is_raised_and_not_tried_again():
    child = Child(spec("import sys; sys.exit('Error: the port is in use')"), lambda *_: None)
    with pytest.raises(RoleRefused, match="relay: the port is in use"):
        await child.keep()
    assert child.starts == 1


async def test_error_after_it_was_ready_is_a_crash():
    log: Log = []
    script = "import sys; print('{\"event\": \"shown\"}'); sys.stdin.read(); sys.exit('Error: lost')"
    async with kept(replace(spec(script), ready_event="shown"), log) as child:
        await until(lambda: child.starts == 2)
        assert child.ready.is_set()


async def test_probe_is_asked_until_it_says_ready():
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    async with kept(replace(spec("import signal; signal.pause()"), probe=probe), []) as child:
        await child.ready.wait()
    assert next(answers, None) is None


async def test_child_that_ignores_the_request_is_killed():
    log: Log = []
    script = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf'); signal.pause()"
    child = Child(spec(script), lambda role, line: log.append((role, line)))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(child.keep())
        await until(lambda: ("relay", "deaf") in log)
        await child.stop(0.2)
    assert log[-1] == ("relay", "did not stop within 0.2 s and was killed")


async def test_child_that_never_gets_ready_is_given_up():
    async def never() -> bool:
        return False

    child = Child(replace(spec("import sys; sys.exit('what a pity')"), probe=never), lambda *_: None)
    child.starts = 4  # four crashes ago it began
    with pytest.raises(RoleRefused, match="relay does not start: what a pity"):
        await child.keep()


async def test_line_without_end_is_dropped():
    process = await start(spec("print('x' * 200_000); print('next')"))
    assert process.stdout is not None
    found = [line async for line in lines(process.stdout)]
    await process.wait()
    assert found[-1] == "next"
    assert "was dropped" in found[0]
