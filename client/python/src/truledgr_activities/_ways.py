"""The ways out of the process: to the agent's ingest endpoint, or to a file that the agent tails."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

DEFAULT_ADDRESS: Final = "http://127.0.0.1:8480"

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")

_MAX_RETRY_AFTER: Final = 60.0


class Fate(Enum):
    """What is known of lines that were sent."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for what they are: sending them again as they are changes nothing
    UNKNOWN = "unknown"  # send them again


@dataclass(frozen=True)
class Answer:
    """What came of one try."""

    fate: Fate
    why: str = ""
    retry_after: float | None = None  # seconds


class Way(Protocol):
    """One way out. It is used by one thread at a time, and raises nothing that is expected."""

    def send(self, lines: list[bytes], key: str, timeout: float) -> Answer:
        """Try once. The same lines have the same key at every try."""

    def close(self) -> None:
        """Let go of connections and files."""


def way_to(address: str, token: Callable[[], str]) -> Way:
    """Open the way to an address: http://HOST:PORT, unix:///PATH/OF/SOCKET or file:///PATH/OF/LOG."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment:
        return HTTPWay(httpx.HTTPTransport(verify=parts.scheme == "https"), address.rstrip("/"), token)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return HTTPWay(httpx.HTTPTransport(uds=parts.path, verify=False), "http://localhost", token)
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return FileWay(parts.path)
    raise ValueError(
        f"the address of the agent is {address!r}; write http://127.0.0.1:8480, unix:///run/agent.sock or file:///var/log/app.log"
    )


class HTTPWay:
    """Posts to /v1/activities, over TCP or a Unix socket.

    It uses the transport and not httpx.Client: no proxy, no redirect, and no line in the log of httpx for each request.
    """

    def __init__(self, transport: httpx.BaseTransport, base: str, token: Callable[[], str]) -> None:
        self._transport = transport
        self._url = base + "/v1/activities"
        self._token = token

    def send(self, lines: list[bytes], key: str, timeout: float) -> Answer:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        try:
            if token := self._token():
                if not _TOKEN.fullmatch(token):  # httpx would show it in its error
                    return Answer(Fate.UNKNOWN, "the token has characters that no token has")
                headers["Authorization"] = f"Bearer {token}"
            request = httpx.Request(
                "POST",
                self._url,
                content=b"\n".join(lines),
                headers=headers,
                extensions={"timeout": httpx.Timeout(timeout).as_dict()},
            )
            response = self._transport.handle_request(request)
            try:
                body = response.read()
            finally:
                response.close()
        except (httpx.HTTPError, OSError) as error:
            return Answer(Fate.UNKNOWN, f"{type(error).__name__}: {error}")
        return _answer(response, body)

    def close(self) -> None:
        self._transport.close()


def _answer(response: httpx.Response, body: bytes) -> Answer:
    status = response.status_code
    if status == 202:
        return Answer(Fate.DELIVERED)
    why = f"HTTP {status}"
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        why += ": " + body[:1000].decode(errors="replace")
    # Only these are about the records. Everything else is about the agent or the way to it, and passes.
    if status in (400, 413, 422):
        return Answer(Fate.REFUSED, why)
    return Answer(Fate.UNKNOWN, why, _retry_after(response.headers.get("retry-after")))


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


class FileWay:
    """Appends lines to a file that the agent tails.

    Several processes may write to one file: each batch is one write at its end. A file that was renamed or removed is
    left, and a new one begun, so that it can be rotated by any tool.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._torn = False  # the last write ended within a line

    def send(self, lines: list[bytes], key: str, timeout: float) -> Answer:
        del key, timeout
        try:
            self._write(self._current(), b"\n".join(lines) + b"\n")
        except OSError as error:
            return Answer(Fate.UNKNOWN, f"{self._path}: {error.strerror}")
        return Answer(Fate.DELIVERED)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self) -> io.FileIO:
        if self._file is not None and not self._is_current(self._file):
            self.close()
        if self._file is None:
            # The agent, which may run as another user, reads it by its group.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = io.FileIO(os.open(self._path, flags, 0o640), "ab")
            self._torn = False
        return self._file

    def _is_current(self, file: io.FileIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _write(self, file: io.FileIO, data: bytes) -> None:
        """Write all of it. What a full disk cut off is ended, and written again as a whole at the next try."""
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = file.write(rest) or 0
            if written:
                self._torn = rest[written - 1] != ord("\n")
            rest = rest[written:]
