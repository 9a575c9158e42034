"""Log activities: who did what to which thing, when, and did it work. Delivered by activity-agent.

from truledgr_activities import activity_service

await activity_service.log_data_access(user_id="user_123", table_name="users", operation="read")
"""

from ._calls import Host, Log, RateLimit, Service
from ._client import Client
from ._default import configure
from ._queue import Stats
from ._service import Activity, ActivityService, activity_service
from .asgi import ActivityMiddleware
from .logs import ActivityHandler

__all__ = [
    "Activity",
    "ActivityHandler",
    "ActivityMiddleware",
    "ActivityService",
    "Client",
    "Host",
    "Log",
    "RateLimit",
    "Service",
    "Stats",
    "activity_service",
    "configure",
]
