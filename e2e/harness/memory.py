"""How much the processes that traffic passes grow while it does."""

from __future__ import annotations

import threading

import psutil

from e2e.harness.installation import Installation


class Memory:
    """The largest resident size of each role's process while it watches."""

    ROLES = (("webproxy", "serve"), ("relay", "serve"), ("agent", "run"))

    def __init__(self, installation: Installation, agent: psutil.Process) -> None:
        self.processes = {words[0]: installation.role(*words) for words in self.ROLES[:2]} | {"agent": agent}
        self.before = self.now()
        self.highest = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def now(self) -> dict[str, float]:
        return {name: process.memory_info().rss / 1e6 for name, process in self.processes.items()}

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for name, size in self.now().items():
                self.highest[name] = max(self.highest[name], size)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def grown(self) -> dict[str, float]:
        return {name: round(self.highest[name] - self.before[name], 1) for name in self.before}
