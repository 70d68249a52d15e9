"""Structured logs: one event a line, JSON for machines, colours for people."""

from __future__ import annotations

import logging
import math
import sys
from typing import Literal

import structlog
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.settings import Settings

#: Libraries that say more at INFO than an operator wants to read.
_QUIET = ("aiokafka", "faust", "mode", "kafka")
#: For so long after the first, that no group's coordinator is there yet is no error.
_PATIENCE_SECONDS = 15.0


def configure(settings: Settings) -> None:
    """Send everything, also what libraries log, through structlog to standard error."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings.log_format),
            ],
        )
    )
    handler.addFilter(_is_no_service_chatter)
    handler.addFilter(_NewCoordinator())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _is_no_service_chatter(record: logging.LogRecord) -> bool:
    """mode reports each step of each service (`[^--Name]: Starting...`) under our own names."""
    return record.levelno > logging.INFO or not str(record.msg).startswith("[^")


class _NewCoordinator(logging.Filter):
    """At the first start of all, a broker makes the topic of groups' offsets when it is asked who
    coordinates a group; until it is there, aiokafka asks again, and tells each time of an error
    where nothing is wrong. It is one where that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._patient_until = math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        if not (isinstance(record.args, tuple) and any(map(_is_away, record.args))):
            return True
        self._patient_until = min(self._patient_until, record.created + _PATIENCE_SECONDS)
        return record.created > self._patient_until


def _is_away(what: object) -> bool:
    return isinstance(what, GroupCoordinatorNotAvailableError)


def _renderers(form: Literal["auto", "console", "json"]) -> list[structlog.typing.Processor]:
    if form == "console" or (form == "auto" and sys.stderr.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
