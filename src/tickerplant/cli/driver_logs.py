"""What the PostgreSQL driver logs by itself, as structured lines."""

from __future__ import annotations

import logging

import structlog


class _AsDebug(logging.Handler):
    """The pool warns at each of its tries; our own lines tell each change of state once, so these are for debugging."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().debug(
            "driver", logger=record.name, level_there=record.levelname.lower(), said=_line(record)
        )


def _line(record: logging.LogRecord) -> str:
    return (record.getMessage().splitlines() or [""])[0]


def route_driver_logs() -> None:
    """Send what `psycopg` and its pool log to structlog at level debug, and nowhere else."""
    logger = logging.getLogger("psycopg")
    logger.handlers = [_AsDebug(logging.WARNING)]
    logger.propagate = False
