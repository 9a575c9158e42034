"""The same service without asyncio: ``from truledgr_activities.sync import activity_service``."""

from __future__ import annotations

from ._calls import Calls
from ._client import Client
from ._default import default_client
from ._queue import Stats
from ._record import encode
from ._service import Activity

__all__ = ["ActivityService", "activity_service"]


class ActivityService(Calls[Activity]):
    """The seven calls as functions, with the guarantees of :class:`truledgr_activities.ActivityService`.

    Args:
        client: What delivers; by default the client that ``configure()`` made.
    """

    def __init__(self, client: Client | None = None) -> None:
        self._given = client

    @property
    def client(self) -> Client:
        """What delivers the activities."""
        return self._given or default_client()

    @property
    def stats(self) -> Stats:
        """What became of the activities of the client so far."""
        return self.client.stats

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
