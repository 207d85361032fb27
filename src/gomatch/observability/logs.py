"""Structured logs: one JSON line each, with market, order and trace ids where there are any.

Whoever logs names the market and the order; the trace id of the request that is being served is
added here. docs/running.md lists the fields.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.types import EventDict, Processor

from gomatch.observability.tracing import Tracing


def configure(
    *, level: str, style: Literal["json", "console"], tracing: Tracing | None = None
) -> None:
    """Set up structlog, the standard library's loggers and warnings for this process, to stderr."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if tracing is not None and tracing.enabled:
        shared.append(_add_trace_id(tracing))
    renderer: Processor
    if style == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # What these say at lower levels is said by our own events, or is one line a connection.
    for name in ("aio_pika", "aiormq", "uvicorn", "httpx"):
        logging.getLogger(name).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _add_trace_id(tracing: Tracing) -> Processor:
    def add(_: object, __: str, event: EventDict) -> EventDict:
        trace_id = tracing.current_trace_id()
        if trace_id:
            event.setdefault("trace_id", trace_id)
        return event

    return add


def debugging(name: str) -> bool:
    """Whether debug lines of that logger go anywhere; ask before a line is made for each order."""
    return logging.getLogger(name).isEnabledFor(logging.DEBUG)
