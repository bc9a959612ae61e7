"""Structured logs: one JSON object a line (or readable text), with the request's id and never a secret."""

import logging
import re
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import EventDict, WrappedLogger

_NAMES = r"(?:pass(?:word|wd|phrase)|secret|token|authorization|api[_-]?key|private[_-]?key|cookie|credentials?)s?"
_SECRET_KEY = re.compile(rf"(?i)(?:{_NAMES}|session)$")
# These run over whatever strangers send, so each is linear: no start that another start has already scanned.
_SECRET_SHAPE = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*"  # a JWT
    r"|\bfx[a-z]_[A-Za-z0-9_-]{16,}"  # our own bearer secrets
    r"|(?<=://)[^\s/:@\"']{0,100}:[^\s\"']{0,200}(?=@)"  # a password in a URL
)
# `password=...`, `"x-api-key": "..."`, `Authorization: Bearer ...` in the text of a message or of an error.
_SECRET_SETTING = re.compile(
    rf"""(?ix) ({_NAMES}\b ["']?\]? \s*[:=]\s*)
    (?: b?"[^"]*" | b?'[^']*' | (?:(?:bearer|basic)\s+)? [^\s"',;&)}}]+ )"""
)
_REDACTED = "[redacted]"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: hide what looks like a secret, by name and by shape, however deep."""
    for key, value in event.items():
        event[key] = _REDACTED if _SECRET_KEY.search(key) else _redacted(value)
    return event


def _redacted(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _SECRET_SETTING.sub(rf"\1{_REDACTED}", _SECRET_SHAPE.sub(_REDACTED, value))
        case Mapping():
            return {str(k): _REDACTED if _SECRET_KEY.search(str(k)) else _redacted(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return _redacted(str(value))


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
