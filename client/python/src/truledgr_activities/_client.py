"""The client: a bounded queue, and one thread that sends what is in it."""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
import weakref
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Final

from ._queue import Queue, Stats
from ._ulid import new_ulid
from ._ways import DEFAULT_ADDRESS, Fate, Way, way_to

_log: Final = logging.getLogger("truledgr_activities")

_FIRST_PAUSE: Final = 0.1  # seconds between tries; it doubles
_LONGEST_PAUSE: Final = 10.0
_COMPLAIN_EVERY: Final = 60.0


class Client:
    """Delivers activities to the agent from a thread of its own. Safe for threads, and over forks.

    Args:
        address: ``http://HOST:PORT``, ``unix:///PATH/OF/SOCKET``, or ``file:///PATH/OF/LOG`` to write JSON lines for the
            agent to tail. By default that of the environment variable TRULEDGR_ACTIVITIES_ADDRESS, or
            ``http://127.0.0.1:8480``.
        token: The token that the agent asks for; by default that of TRULEDGR_ACTIVITIES_TOKEN.
        token_file: A file that holds the token. It is read anew for each request.
        queue_bytes: How many bytes of JSON may wait for the agent.
        max_record_bytes: The largest activity, in bytes of JSON. A larger one is rejected.
        wait_for_room: How many seconds a call waits for room in a full queue before its activity is dropped and counted.
            0 never waits; ``math.inf`` never drops.
        request_timeout: How many seconds one request may take.
        close_timeout: How many seconds close() tries to deliver what is left, also at the end of the process.

    Raises:
        ValueError: if the address is none.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        queue_bytes: int = 8 << 20,
        max_record_bytes: int = 1 << 20,
        wait_for_room: float = 0.0,
        request_timeout: float = 10.0,
        close_timeout: float = 5.0,
    ) -> None:
        self.address = address or os.environ.get("TRULEDGR_ACTIVITIES_ADDRESS") or DEFAULT_ADDRESS
        self.wait_for_room = wait_for_room
        self._given_token = token if token is not None else os.environ.get("TRULEDGR_ACTIVITIES_TOKEN", "")
        self._token_file = token_file
        self._queue_bytes = queue_bytes
        self._max_record_bytes = min(max_record_bytes, queue_bytes)
        self._request_timeout = request_timeout
        self.close_timeout = close_timeout
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        """Start afresh: at first, and in the child of a fork, whose parent delivers what was in the queue."""
        self._way: Way = way_to(self.address, self._token)
        self._queue = Queue(self._queue_bytes)
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._closing = threading.Event()
        self._deadline = float("inf")  # of delivery, by time.monotonic()
        self._complained = float("-inf")

    # --- what the services use

    def offer(self, line: bytes, *, last_try: bool = True) -> bool:
        """Queue a line if there is room, without waiting. Without room it is counted as dropped if this was the last try."""
        if len(line) > self._max_record_bytes:
            self.refuse(f"an activity of {len(line)} bytes is more than the {self._max_record_bytes} that are allowed")
            return True
        taken = self._queue.put(line, last_try=last_try)
        if taken and self._thread is None:
            self._start()
        if not taken and last_try:
            self._complain("no room in the queue: activities are dropped")
        return taken

    def offer_patiently(self, line: bytes) -> bool:
        """Queue a line, waiting for room as long as the client is to."""
        end = time.monotonic() + self.wait_for_room
        while (left := end - time.monotonic()) > 0 and not self.closed and not self.is_sender():
            if self.offer(line, last_try=False):
                return True
            try:
                self.room(line).result(min(left, threading.TIMEOUT_MAX))
            except FutureTimeoutError:
                break
        return self.offer(line)

    def room(self, line: bytes) -> Future[None]:
        """Return a future that is done when offering the line again makes sense."""
        return self._queue.room(len(line))

    def settled(self) -> Future[None]:
        """Return a future that is done when everything logged so far has its fate."""
        return self._queue.settled()

    def refuse(self, why: str) -> None:
        """Count an activity that cannot be sent."""
        self._queue.reject()
        self._complain(why)

    def is_sender(self) -> bool:
        """Tell whether the calling thread is the one that sends: it must neither log activities nor wait for itself."""
        return threading.current_thread() is self._thread

    # --- for everybody

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closing.is_set()

    @property
    def stats(self) -> Stats:
        """What became of the activities so far."""
        return self._queue.stats()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far is delivered or rejected; False if the time was not enough."""
        try:
            self.settled().result(timeout)
        except FutureTimeoutError:
            return False
        return self._queue.stats().abandoned == 0

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, as long as the timeout (close_timeout by default) allows. What comes later is dropped."""
        timeout = self.close_timeout if timeout is None else timeout
        with self._starting:
            if self._closing.is_set():
                return
            self._deadline = time.monotonic() + timeout
            self._queue.end()
            self._closing.set()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        else:
            self._send_all()  # no thread can be started while the interpreter shuts down
        if abandoned := self._queue.close():
            _log.error("%d activities could not be delivered to %s before the end", abandoned, self.address)

    # --- the thread

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                # Known before it runs: what it says must never be taken for the application's.
                self._thread = threading.Thread(target=self._send_all, name="truledgr-activities", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter shuts down: close() sends
                    self._thread = None

    def _send_all(self) -> None:
        try:
            while batch := self._queue.take():
                if not self._deliver(batch):
                    return
        finally:
            self._way.close()

    def _deliver(self, lines: list[bytes]) -> bool:
        """Send lines until their fate is known; False if the deadline came first.

        An agent that refuses a request has stored nothing of it, so the lines are sent in halves until the ones to blame
        are alone.
        """
        answer = self._send(lines)
        if answer is None:
            return False
        fate, why = answer
        if fate is Fate.REFUSED and len(lines) > 1:
            middle = len(lines) // 2
            return self._deliver(lines[:middle]) and self._deliver(lines[middle:])
        self._queue.settle(lines, delivered=fate is Fate.DELIVERED)
        if fate is Fate.REFUSED:
            self._complain(f"the agent refused an activity: {why}")
        return True

    def _send(self, lines: list[bytes]) -> tuple[Fate, str] | None:
        """Try until there is an answer about the lines, under one key, so that no try makes a second activity."""
        key, pause = new_ulid(), _FIRST_PAUSE
        while (left := self._deadline - time.monotonic()) > 0:
            try:
                answer = self._way.send(lines, key, min(self._request_timeout, left))
            except Exception as error:  # a way that fails as nobody expected must not end the thread
                fate, why, wait = Fate.UNKNOWN, type(error).__name__, None
            else:
                fate, why, wait = answer.fate, answer.why, answer.retry_after
            if fate is not Fate.UNKNOWN:
                return fate, why
            self._complain(f"{self.address} does not take activities ({why}); trying again")
            # The agent may say when, but not at once: whatever answers "0" must not keep a processor busy.
            self._rest(max(wait, _FIRST_PAUSE) if wait is not None else pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    def _rest(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            time.sleep(max(0.0, min(seconds, _FIRST_PAUSE, self._deadline - time.monotonic())))

    def _complain(self, what: str) -> None:
        """Say in the log what is wrong, at most once a minute: the counts are in stats. Values are never in there."""
        now = time.monotonic()
        if now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            _log.warning("%s %s", what, self.stats)

    def _token(self) -> str:
        if self._token_file is None:
            return self._given_token
        return Path(self._token_file).read_text(encoding="utf-8").strip()


# Those that have not been collected: a fork and the end of the process concern them all.
_clients: Final[weakref.WeakSet[Client]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._begin()


def _at_exit() -> None:
    for client in list(_clients):
        client.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
