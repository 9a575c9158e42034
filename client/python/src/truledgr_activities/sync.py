"""The same service without asyncio: ``from truledgr_activities.sync import activity_service``."""

from __future__ import annotations

from ._record import encode
from ._service import Activity, Service

__all__ = ["ActivityService", "activity_service"]


class ActivityService(Service[Activity]):
    """The seven calls as functions, with the guarantees of :class:`truledgr_activities.ActivityService`.

    Args:
        client: What delivers; by default the client that ``configure()`` made.
    """

    def _log(self, kind: str, fields: dict[str, object]) -> Activity:
        id, line = encode(kind, fields)
        self.client.offer_patiently(line)
        return Activity(id, kind)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far is delivered or rejected; False if the timeout, in seconds, was not enough."""
        return self.client.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, as :meth:`Client.close` does."""
        self.client.close(timeout)


activity_service = ActivityService()
