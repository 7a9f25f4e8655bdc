"""Structured logs, metrics and the trace context that travels with events.

Logs, metrics and traces carry internal ids and reasons only, never patient data (law 5). Exceptions
are logged as their type and where they were raised: their text may quote what was read from a file.
"""

import logging
import secrets
import sys
import traceback
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.settings import Settings

INSTANCES = Counter(
    "sluse_instances_total",
    "Instances by the step they passed and how it ended.",
    ["step", "outcome"],
)
BYTES_RECEIVED = Counter("sluse_received_bytes_total", "Bytes of image data received.")
ASSOCIATIONS = Counter("sluse_associations_total", "DICOM associations, by outcome.", ["outcome"])
MESSAGES = Counter(
    "sluse_messages_total", "Messages handled, by queue and how it ended.", ["queue", "outcome"]
)
BATCH_SECONDS = Histogram(
    "sluse_batch_seconds",
    "Time to handle one batch of messages.",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
NUDGES = Counter(
    "sluse_reconciler_nudges_total", "Unfinished work that the reconciler nudged again.", ["kind"]
)
BUS_CONNECTED = Gauge("sluse_bus_connected", "1 while the connection to the broker stands.")


def _exception_without_text(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = f"{type(error).__module__}.{type(error).__qualname__}"
        event["raised_at"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-6:]
        ]
    return event


def configure_logging(settings: Settings) -> None:
    """Send structlog and the standard library's loggers to standard error, in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception_without_text,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # These print what peers send (PS3.7 command sets, data sets, SQL parameters).
    for chatty in ("pynetdicom", "pydicom", "sqlalchemy", "aiosqlite", "asyncio", "aiormq"):
        logging.getLogger(chatty).setLevel(max(level, logging.ERROR))
    for quiet in ("pynetdicom", "pydicom"):
        logging.getLogger(quiet).setLevel(logging.CRITICAL)
    for wordy in ("alembic", "uvicorn"):
        logging.getLogger(wordy).setLevel(max(level, logging.WARNING))


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one room; bind ids to it, never values from a file."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


def serve_metrics(settings: Settings) -> None:
    """Serve /metrics on `metrics_port`, if one is set (the API serves its own)."""
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.http_host)


def new_traceparent() -> str:
    """The start of a trace, as W3C Trace Context writes it."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_traceparent(parent: str | None) -> str:
    """A new span in the trace of `parent`."""
    if parent is None:
        return new_traceparent()
    return f"{parent[:36]}{secrets.token_hex(8)}-01"
