"""Structured logs, metrics and the trace context that travels with events.

Logs, metrics and traces carry internal ids and reasons only, never patient data (law 5). Exceptions
are logged as their type and where they were raised: their text may quote what was read from a file.
"""

import logging
import secrets
import sys
import threading
import traceback
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.errors import StartError
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
VERIFICATIONS = Counter(
    "sluse_verifications_total", "Looks at what destinations hold, by outcome.", ["outcome"]
)
NUDGES = Counter(
    "sluse_reconciler_nudges_total", "Unfinished work that the reconciler nudged again.", ["kind"]
)
EVICTED_FILES = Counter(
    "sluse_evicted_files_total", "Files removed from the spool in their time, by kind.", ["kind"]
)
EVICTED_BYTES = Counter("sluse_evicted_bytes_total", "Bytes of these files.", ["kind"])
RETENTION_SECONDS = Gauge("sluse_retention_seconds", "Time that the last look for them took.")
RETENTION_ROUND = Gauge(
    "sluse_retention_timestamp_seconds", "When files to remove were last looked for, epoch."
)
DISK_FREE = Gauge("sluse_disk_free_bytes", "Room on the spool's disk.")
DISK_TOTAL = Gauge("sluse_disk_bytes", "Size of the spool's disk.")
BACKLOG = Gauge("sluse_backlog", "Images received and not yet worked off, counted up to the limit.")
INTAKE_STOPPED = Gauge(
    "sluse_intake_stopped", "1 while no images are taken, by what stands against it.", ["because"]
)
BUS_CONNECTED = Gauge("sluse_bus_connected", "1 while the connection to the broker stands.")


# Their messages quote what peers sent or files contain, or tell of connections that are given up
# on purpose; nothing of it is news to an operator.
_TALKATIVE = ("pydicom", "pynetdicom", "python_multipart", "py.warnings", "sqlalchemy.pool")
# Their messages hold addresses and states only. What others say is withheld.
_TRUSTED = ("uvicorn", "alembic")


def _without_foreign_text(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    if not record.name.startswith(_TRUSTED):
        event["event"] = "a library reported something; its words may quote data and are withheld"
    return event


def _without_exception_text(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = f"{type(error).__module__}.{type(error).__qualname__}"
        event["raised_at"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-6:]
        ]
    return event


def configure_logging(settings: Settings) -> None:
    """Send all that is logged to standard error, in one form and without texts that quote data."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exception_text,
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
    # On the handler: libraries set their own loggers' levels when they are imported.
    handler.addFilter(lambda record: not record.name.startswith(_TALKATIVE))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_without_foreign_text, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda thread: _log_uncaught(thread.exc_type, thread.exc_value, None)


def _log_uncaught(_kind: type[BaseException], error: BaseException | None, _traceback: Any) -> None:
    logger("process").critical("stopped by an unexpected error", exc_info=error)


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one room; bind ids to it, never values from a file."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


def serve_metrics(settings: Settings) -> None:
    """Serve /metrics on `metrics_port`, if one is set (the API serves its own).

    Raises
    ------
    StartError
        The port can't be used.
    """
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, addr=settings.http_host)
    except OSError as error:
        raise StartError(
            f"port {settings.metrics_port} for metrics can't be used: {error.strerror}. "
            "Choose another with SLUSE_METRICS_PORT"
        ) from None


def new_traceparent() -> str:
    """The start of a trace, as W3C Trace Context writes it."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_traceparent(parent: str | None) -> str:
    """A new span in the trace of `parent`."""
    if parent is None:
        return new_traceparent()
    return f"{parent[:36]}{secrets.token_hex(8)}-01"
