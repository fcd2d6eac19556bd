"""Logging: one line a milestone, fields, never a secret."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog

MASK: Final = "***"


class Secret:
    """A text that prints as stars wherever it is formatted, logged or shown; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _stringify_secrets(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return {key: MASK if isinstance(value, Secret) else value for key, value in event.items()}


def configure(role: str, *, json: bool = True, level: str = "info") -> None:
    """Send all logging of this process to standard output, a line an event, marked with `role`.

    `json` writes JSON lines (what servers and the supervisor read); otherwise text for a person.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stringify_secrets,
    ]
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json
        # Plain tracebacks: where `rich` is installed, the default prints local variables, passwords among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, render] if json else [*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                render,
            ],
            foreign_pre_chain=[*shared, _mark(role)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # httpx writes every address it calls at info level; ours say what matters themselves.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _mark(role: str) -> structlog.types.Processor:
    def add(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.setdefault("role", role)
        return event

    return add


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `module=name`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
