"""ASGI middleware that logs each request as an API transaction. It needs no framework."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs

from ._service import ActivityService, activity_service

__all__ = ["ActivityMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger("truledgr_activities")

_PARAM: Final = re.compile(r"{(\w+)(?::\w+)?}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")


class ActivityMiddleware:
    """Logs each HTTP request: route pattern, status, duration, sizes, and the user.

    With Starlette and FastAPI: ``app.add_middleware(ActivityMiddleware, user=…)``. When the application shuts down (its
    lifespan ends), what was logged is delivered.

    Args:
        app: The application.
        user: Finds the user of a request in its ASGI scope, after the application has seen it; may be a coroutine function.
        exclude: Paths that are not logged, such as those of probes.
        headers: Names of request headers that are logged.
        query: Whether the query string is logged, in request_data.
        bodies: How many bytes of request and response bodies are logged; of a larger one nothing but its size. 0 logs none.
        service: What takes the activities; by default ``activity_service``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        user: Callable[[Scope], str | Awaitable[str | None] | None] | None = None,
        exclude: Collection[str] = (),
        headers: Collection[str] = (),
        query: bool = False,
        bodies: int = 0,
        service: ActivityService = activity_service,
    ) -> None:
        self.app = app
        self._user = user
        self._exclude = frozenset(exclude)
        self._headers = frozenset(name.lower() for name in headers)
        self._query = query
        self._bodies = bodies
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it when it is over."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] != "http" or scope["path"] in self._exclude:
            await self.app(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def flush_first(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                # Servers end the process by a signal, past everything that runs at its end.
                await self._service.flush(self._service.client.close_timeout)
            await send(message)

        await self.app(scope, receive, flush_first)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = _Exchange(scope, self._bodies)
        began = time.perf_counter()
        try:
            await self.app(scope, seen.receiving(receive), seen.sending(send))
        except BaseException as error:
            seen.failed(error)
            raise
        finally:
            seconds = time.perf_counter() - began
            try:
                await self._service.log_api_transaction(
                    execution_time_ms=round(seconds * 1000, 3), **await self._describe(scope, seen)
                )
            except Exception as error:  # whatever is wrong here is no reason to fail the request
                _log.warning("a request could not be logged: %s", type(error).__name__)

    async def _describe(self, scope: Scope, seen: _Exchange) -> dict[str, Any]:
        headers = _decoded(scope.get("headers", ()))
        request_data: dict[str, object] = {}
        if self._query and scope.get("query_string"):
            request_data["query"] = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if body := seen.request.text(headers.get("content-type", "")):
            request_data["body"] = body
        trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
        endpoint = route_pattern(scope, seen.path)
        return {
            "user_id": await self._user_id(scope),
            "method": scope["method"],
            "endpoint": endpoint,
            "status_code": seen.status,
            "error_details": seen.error,
            "request_data": request_data or None,
            "response_data": seen.response.text(seen.content_type),
            "headers": {name: value for name, value in headers.items() if name in self._headers} or None,
            "performance_metrics": {"request_bytes": seen.request.size, "response_bytes": seen.response.size},
            "ip_address": _address(scope.get("client")),
            "user_agent": headers.get("user-agent"),
            "request_id": headers.get("x-request-id"),
            "trace_id": trace and trace[1],
            "span_id": trace and trace[2],
            "details": {"path": seen.path} if endpoint != seen.path else None,
        }

    async def _user_id(self, scope: Scope) -> str | None:
        if self._user is None:
            return None
        try:
            user = self._user(scope)
            return await user if inspect.isawaitable(user) else user
        except Exception as error:
            _log.warning("the user of a request could not be found: %s", type(error).__name__)
            return None


class _Body:
    """Counts the bytes of a body, and keeps them while they are few."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._kept = bytearray()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size <= self._limit:
            self._kept += chunk

    def text(self, content_type: str) -> object:
        """Return what was kept: of JSON its value, of other text the text."""
        if not self._kept or self.size > self._limit:
            return None
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            try:
                return json.loads(self._kept)
            except ValueError:
                return self._kept.decode(errors="replace")
        if kind.startswith("text/") or kind == "application/x-www-form-urlencoded":
            return self._kept.decode(errors="replace")
        return None


class _Exchange:
    """What is seen of a request and its response on their way."""

    def __init__(self, scope: Scope, bodies: int) -> None:
        self.path: str = scope["path"]  # routing may change the scope's
        self.request = _Body(bodies)
        self.response = _Body(bodies)
        self.content_type = ""  # of the response
        self.status: int | None = None
        self.error: str | None = None

    def receiving(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.request.add(message.get("body", b""))
            return message

        return counted

    def sending(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.content_type = _decoded(message.get("headers", ())).get("content-type", "")
            elif message["type"] == "http.response.body":
                self.response.add(message.get("body", b""))
            await send(message)

        return counted

    def failed(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.error = "the request was cancelled"
            return
        self.error = f"{type(error).__name__}: {error}"[:4096]
        if self.status is None:
            self.status = 500  # what every server makes of it


def _decoded(headers: Any) -> dict[str, str]:
    return {bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1") for name, value in headers}


def _address(client: Any) -> str | None:
    try:
        return str(ipaddress.ip_address(client[0]))
    except (ValueError, TypeError, IndexError):
        return None  # a Unix socket, or a test client


def route_pattern(scope: Scope, path: str) -> str:
    """Return the pattern of the route that took a path, such as /orders/{id}; the path where no route is known.

    A route knows its own pattern only, not that of the routers around it. So what its pattern leaves of the path is put
    before it, with the parameters found there by their values.
    """
    own = getattr(scope.get("route"), "path", None)
    if not isinstance(own, str):
        return path
    params = scope.get("path_params") or {}
    names = _PARAM.findall(own)
    slashes = own.count("/") + sum(str(params.get(name, "")).count("/") for name in names)
    before = path.split("/")[:-slashes] if slashes else []
    around = {str(value): "{" + name + "}" for name, value in params.items() if name not in names}
    prefix = [around.get(segment, segment) for segment in before]
    return "/".join(prefix) + _PARAM.sub(r"{\1}", own)
