"""No child outlives its parent, also when the parent is killed without a word."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent(parent: int | None = None) -> Callable[[], None]:
    """Return a `preexec_fn` after which the kernel sends SIGTERM to the child when its parent dies.

    Linux only; elsewhere it does nothing, and a killed supervisor leaves its children behind.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)  # loaded before the fork: the child must not load anything
    mine = parent or os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != mine:  # died in between: the signal will never come
            os._exit(1)

    return prepare
