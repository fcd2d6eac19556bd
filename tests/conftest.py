"""What every test needs before it starts."""

# Python 3.11's ast refuses to compile a large module deep inside a call stack, and pytest rewrites this one, which
# anyio loads only when the first file is served: load it here, where the stack is flat.
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from anyio import open_file as _open_file  # noqa: F401
from hypothesis import settings

# Machines are shared and noisy: a slow example is no failure, and speed is the benchmarks' business.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# A command under test configures the log: no module may keep a logger that writes where that test's output went.
_configure = structlog.configure


def _configure_uncached(**options: Any) -> None:
    _configure(**options | {"cache_logger_on_first_use": False})


structlog.configure = _configure_uncached


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """What a test's command configured is gone with the test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
