"""The service: the seven calls, for asyncio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from ._calls import Calls, R
from ._client import Client
from ._default import default_client
from ._queue import Stats
from ._record import encode


@dataclass(frozen=True)
class Activity:
    """An activity that was logged."""

    id: str  # the ULID under which it is stored
    kind: str


class Service(Calls[R]):
    """What the service for asyncio and its twin without share: the client that they give activities to."""

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


class ActivityService(Service[Coroutine[Any, Any, Activity]]):
    """The seven calls as coroutines.

    A call returns as soon as the activity is queued; it waits only where the client has ``wait_for_room``. It raises
    nothing, whatever becomes of the activity: see ``stats``. After ``await flush()`` what was logged is on the agent's disk.

    Args:
        client: What delivers; by default the client that ``configure()`` made.
    """

    async def _log(self, kind: str, fields: dict[str, object]) -> Activity:
        client = self.client
        id, line = encode(kind, fields)
        if not client.offer(line, last_try=client.wait_for_room <= 0):
            await self._offer_patiently(client, line)
        return Activity(id, kind)

    async def _offer_patiently(self, client: Client, line: bytes) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + client.wait_for_room
        try:
            while (left := deadline - loop.time()) > 0 and not client.closed:
                await asyncio.wait_for(asyncio.wrap_future(client.room(line)), None if math.isinf(left) else left)
                if client.offer(line, last_try=False):
                    return
        except asyncio.TimeoutError:
            pass
        except asyncio.CancelledError:
            client.offer(line)
            raise
        client.offer(line)

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far is delivered or rejected; False if the timeout, in seconds, was not enough."""
        client = self.client
        try:
            await asyncio.wait_for(asyncio.wrap_future(client.settled()), timeout)
        except asyncio.TimeoutError:
            return False
        return client.stats.abandoned == 0

    async def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, as :meth:`Client.close` does."""
        await asyncio.to_thread(self.client.close, timeout)


activity_service = ActivityService()
