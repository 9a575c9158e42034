"""A handler that makes system events of the records of Python's logging."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, Final

from . import sync

__all__ = ["ActivityHandler"]

# What a record may carry for the activity itself, given as ``extra``; everything else that is given goes to details.
_OWN: Final = frozenset(
    {
        "activity_type",
        "user_id",
        "entity_type",
        "entity_id",
        "status",
        "tags",
        "trace_id",
        "span_id",
        "request_id",
        "tenant_id",
        "event_type",
        "component",
        "error_code",
        "affected_entities",
        "health_status",
    }
)
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class ActivityHandler(logging.Handler):
    """Logs each record as a system event.

    The severity is the level's, the component the logger's name, the stack trace the exception's. What is given as
    ``extra`` becomes the activity's where it has a field of that name (user_id, request_id, …), else it goes to details.

    Args:
        level: The least severe level that is logged.
        service: What takes the activities; by default that of ``truledgr_activities.sync``.
    """

    def __init__(self, level: int | str = logging.INFO, service: sync.ActivityService = sync.activity_service) -> None:
        super().__init__(level)
        self._service = service

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and log a record, without the lock that handlers have.

        There is nothing to protect; and while one thread held it and waited for room in the queue, the sender, which logs
        its complaints through the same handler, would wait for the lock and never make room.
        """
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # since Python 3.12 a filter may replace it
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record. What the sender itself says is left out, or it would never end."""
        try:
            if not record.name.startswith("truledgr_activities") and not self._service.client.is_sender():
                self._service.log_system_event(**self._describe(record))
        except Exception:
            self.handleError(record)

    def _describe(self, record: logging.LogRecord) -> dict[str, Any]:
        extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        given = {name: value for name, value in extra.items() if name in _OWN}
        details = {name: value for name, value in extra.items() if name not in _OWN}
        error = record.exc_info[0] if record.exc_info else None
        return {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc),
            "severity": _severity(record.levelno),
            "description": record.getMessage(),
            "component": record.name,
            "log": {"logger": record.name},
            "error_code": error.__name__ if error else None,
            "stack_trace": self._trace(record),
            "details": {"source": f"{record.pathname}:{record.lineno}", **details},
            **given,
        }

    def _trace(self, record: logging.LogRecord) -> str | None:
        parts = []
        if record.exc_info and record.exc_info[0]:
            parts.append((self.formatter or logging.Formatter()).formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts) or None


def _severity(level: int) -> str:
    for least, name in ((50, "critical"), (40, "error"), (30, "warning"), (20, "info")):
        if level >= least:
            return name
    return "debug"
