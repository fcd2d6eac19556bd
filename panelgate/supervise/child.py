"""One child process: started, kept running, and stopped; its lines go to the merged log."""

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from panelgate.errors import Broken
from panelgate.supervise.lines import MAX_LINE
from panelgate.supervise.orphans import die_with_parent

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0
"""Between a crash and the next start; doubled each time."""
SETTLED_S = 60.0
"""After this long the next crash counts as the first again."""
PROBE_S = 0.1
"""Between two questions whether a child is ready."""
FRUITLESS_STARTS = 5
"""A role that has never been ready and crashes this often won't be helped by more patience."""
KEPT_LINES = 20
"""Last lines of a child's error output, to say why it ended."""

Sink = Callable[[str, str], None]
"""Takes a role's name and one of its lines."""
Probe = Callable[[], Awaitable[bool]]
"""Answers whether the child is ready."""


class RoleRefused(Broken):
    """A role said in words why it can't run; starting it again would not help."""


@dataclass(frozen=True)
class Spec:
    """What to run: the name in the log, the words after the command, and its environment."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    command: Sequence[str]
    probe: Probe | None = None
    ready_event: str = ""


@dataclass
class Child:
    """A role's process, started again with growing pauses when it crashes."""

    spec: Spec
    sink: Sink
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _seen_ready: bool = False
    _last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    async def keep(self) -> None:
        """Run until stopped. RoleRefused when the role says why it can't start, or never gets ready."""
        pause = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while not self.stopping.is_set():
            began = loop.time()
            code = await self._run_once()
            if self.stopping.is_set():
                return
            self._complain_of_refusal(code)
            if loop.time() - began > SETTLED_S:
                pause = FIRST_PAUSE_S
            self.sink(self.spec.name, f"ended ({_cause(code)}); starts again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.stopping.wait()
            pause = min(2 * pause, LAST_PAUSE_S)

    async def stop(self, seconds: float) -> None:
        """End the process for good: ask it, and after `seconds` make it."""
        self.stopping.set()
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            self.sink(self.spec.name, f"did not stop within {seconds:g} s and was killed")
            process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        self.starts += 1
        self._seen_ready = False
        self._last_lines.clear()
        process = self.process = await start(self.spec)
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(process.stdout))
            group.create_task(self._read(process.stderr, keep=True))
            asking = group.create_task(self._ask(self.spec.probe)) if self.spec.probe else None
            code = await process.wait()
            if asking:
                asking.cancel()
        return code

    async def _ask(self, probe: Probe) -> None:
        while not self._seen_ready:
            if await probe():
                self._is_ready()
            else:
                await asyncio.sleep(PROBE_S)

    def _is_ready(self) -> None:
        self._seen_ready = True
        self.ready.set()

    async def _read(self, stream: asyncio.StreamReader, *, keep: bool = False) -> None:
        async for line in lines(stream):
            if keep:
                self._last_lines.append(line)
            if self.spec.ready_event and f'"{self.spec.ready_event}"' in line:
                self._is_ready()
            self.sink(self.spec.name, line)

    def _complain_of_refusal(self, code: int) -> None:
        if self._seen_ready:
            return
        words = next((line for line in reversed(self._last_lines) if line.startswith("Error: ")), None)
        if words is not None and code > 0:
            raise RoleRefused("role_refused", f"{self.spec.name}: {words.removeprefix('Error: ')}")
        if not self.ready.is_set() and (self.spec.probe or self.spec.ready_event) and self.starts >= FRUITLESS_STARTS:
            last = self._last_lines[-1] if self._last_lines else _cause(code)
            raise RoleRefused("role_fails", f"{self.spec.name} does not start: {last}")


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield a stream's lines; one over MAX_LINE is replaced by a note."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # over the limit; what was read of it is dropped
            yield f"(a line of more than {MAX_LINE // 1024} KiB was dropped)"
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip()


async def start(spec: Spec) -> asyncio.subprocess.Process:
    """Start a process that dies with us, has its own session (Ctrl-C reaches only us) and no standard input."""
    return await asyncio.create_subprocess_exec(
        *spec.command,
        *spec.words,
        env=dict(spec.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
