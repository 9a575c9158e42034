"""The client of those who name none."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from ._client import Client

_lock = threading.RLock()
_client: Client | None = None


def configure(address: str | None = None, **options: Any) -> Client:
    """Make the client that ``activity_service`` and everything else uses that is given no client of its own.

    It takes what :class:`Client` takes. Without a call of it, the environment decides. A client that was the default
    before is closed.
    """
    global _client
    fresh = Client(address, **options)
    with _lock:
        old, _client = _client, fresh
    if old is not None:
        old.close()
    return fresh


def default_client() -> Client:
    """Return the default client, which is made from the environment when it is first asked for."""
    global _client
    with _lock:
        if _client is None:
            try:
                _client = Client()
            except ValueError as error:  # in the middle of a request of the application: no reason to fail it
                _client = Client("http://127.0.0.1:8480")
                logging.getLogger("truledgr_activities").error("%s; using %s", error, _client.address)
        return _client


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
