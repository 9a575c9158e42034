"""The bounded queue between an application and the thread that sends.

Every record that is put in gets exactly one fate, so that at every moment
``logged = delivered + rejected + dropped + abandoned + pending``.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

MAX_BATCH_RECORDS = 1000
MAX_BATCH_BYTES = 1 << 20  # what a request may have, unless the agent is configured otherwise


@dataclass(frozen=True)
class Stats:
    """What became of the activities that were logged. The fates add up to ``logged``."""

    logged: int = 0  # calls that made an activity
    delivered: int = 0  # the agent has it on disk; or, of a file, the line is written
    rejected: int = 0  # refused by the agent, or too large
    dropped: int = 0  # no room in the queue, or the client was closed
    abandoned: int = 0  # not delivered when close() ran out of time
    pending: int = 0  # in the queue or under way


class Queue:
    """Lines in order, at most so many bytes; those that are under way count until their fate is known."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        # Reentrant: a signal handler that logs may interrupt the thread that holds it.
        self._lock = threading.RLock()
        self._filled = threading.Condition(self._lock)
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._ending = False  # nothing more comes in
        self._closed = False  # and what was in is abandoned
        self._logged = self._delivered = self._rejected = self._dropped = self._abandoned = 0
        self._taken = 0  # by the sender, ever
        self._settled = 0  # of those taken; lines are taken and settled in order
        self._wait_room: list[Future[None]] = []
        self._wait_settled: list[tuple[int, Future[None]]] = []

    def put(self, line: bytes, *, last_try: bool = True) -> bool:
        """Add a line. Without room it is counted as dropped if this was the last try; else the caller tries again."""
        size = len(line)
        with self._lock:
            fits = not self._ending and self._bytes + size <= self.max_bytes
            if fits:
                self._lines.append(line)
                self._bytes += size
                self._filled.notify()
            elif last_try:
                self._dropped += 1
            if fits or last_try:
                self._logged += 1
            return fits

    def reject(self) -> None:
        """Count a record that never got a line."""
        with self._lock:
            self._logged += 1
            self._rejected += 1

    def room(self, size: int) -> Future[None]:
        """Return a future that is done when trying again makes sense."""
        future: Future[None] = Future()
        with self._lock:
            if self._ending or self._bytes + size <= self.max_bytes:
                future.set_result(None)
            else:
                self._wait_room.append(future)
        return future

    def settled(self) -> Future[None]:
        """Return a future that is done when every line put in so far has its fate."""
        future: Future[None] = Future()
        with self._lock:
            end = self._taken + len(self._lines)
            if self._settled >= end or self._closed:
                future.set_result(None)
            else:
                self._wait_settled.append((end, future))
        return future

    def take(self) -> list[bytes]:
        """Wait for lines and return a batch of them; none when the queue has ended and is empty."""
        with self._lock:
            self._filled.wait_for(lambda: self._lines or self._ending)
            batch: list[bytes] = []
            size = 0
            while self._lines and len(batch) < MAX_BATCH_RECORDS:
                size += len(self._lines[0])
                if batch and size > MAX_BATCH_BYTES:
                    break
                batch.append(self._lines.popleft())
                size += 1  # the newline before the next
            self._taken += len(batch)
            return batch

    def settle(self, lines: list[bytes], *, delivered: bool) -> None:
        """Give lines that were taken their fate: delivered or rejected."""
        count, size = len(lines), sum(map(len, lines))
        with self._lock:
            if self._closed:
                return  # they have been abandoned
            if delivered:
                self._delivered += count
            else:
                self._rejected += count
            self._settled += count
            self._bytes -= size
            done, self._wait_room = self._wait_room, []
            done += [future for end, future in self._wait_settled if end <= self._settled]
            self._wait_settled = [(end, future) for end, future in self._wait_settled if end > self._settled]
        _finish(done)

    def end(self) -> None:
        """Take no more lines. Those that are in can still be delivered."""
        with self._lock:
            self._ending = True
            self._filled.notify_all()
            done, self._wait_room = self._wait_room, []
        _finish(done)

    def close(self) -> int:
        """Abandon what is left, and return how many records that were in all."""
        with self._lock:
            self._abandoned += self._pending()
            self._ending = self._closed = True
            self._lines.clear()
            self._bytes = 0
            self._filled.notify_all()
            done = self._wait_room + [future for _, future in self._wait_settled]
            self._wait_room, self._wait_settled = [], []
        _finish(done)
        return self._abandoned

    def stats(self) -> Stats:
        """Return a consistent snapshot."""
        with self._lock:
            return Stats(self._logged, self._delivered, self._rejected, self._dropped, self._abandoned, self._pending())

    def _pending(self) -> int:
        return 0 if self._closed else self._taken - self._settled + len(self._lines)


def _finish(futures: list[Future[None]]) -> None:
    for future in futures:
        with contextlib.suppress(InvalidStateError):  # its waiter has given up
            future.set_result(None)
