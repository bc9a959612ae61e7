"""Structured logs: one JSON object a line (or readable text), with the request's id and never a secret."""

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

_SECRET_KEY = re.compile(r"(?i)(password|secret|token|authorization|api_?key|cookie|session)$")
_SECRET_VALUE = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWT
    r"|\bfx[a-z]_[A-Za-z0-9]{16,}"  # our own bearer secrets
    r"|(?<=://)[^/\s:@]*:[^@\s/]+(?=@)"  # a password in a URL
    r"|(?i:(?<=[?&]token=)[^&\s]+)"
)
_REDACTED = "[redacted]"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: hide what looks like a secret, by name and by shape."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = _REDACTED
        elif isinstance(value, str):
            event[key] = _SECRET_VALUE.sub(_REDACTED, value)
    return event


def configure(*, service: str, level: str = "INFO", json: bool = True) -> None:
    """Send structlog and the standard library's loggers through one pipeline to standard output."""
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _named(service),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(noisy)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True  # the access log is ours: it knows the route and the request id
    logging.getLogger("httpx").setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _named(service: str) -> structlog.typing.Processor:
    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add_service


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `log = get_logger(__name__)`; the first argument of a call is the event's name."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
