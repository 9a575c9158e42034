from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from conftest import PATIENCE, Agent
from truledgr_activities import ActivityMiddleware, ActivityService, Client
from truledgr_activities.asgi import ASGIApp, Receive, Scope, Send


class Site:
    """An application behind the middleware, and a file for what it logs."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "app.log"
        self.service = ActivityService(Client(f"file://{self.path}"))

    def call(self, app: ASGIApp, method: str, url: str, **more: Any) -> dict[str, Any]:
        """Make a request, and return what was logged of it."""

        async def main() -> None:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                self.response = await client.request(method, url, **more)
            assert await self.service.flush(PATIENCE)

        asyncio.run(main())
        return self.logged()[-1]

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Any:
    one = Site(tmp_path)
    yield one
    one.service.client.close(PATIENCE)


def fastapi_app() -> FastAPI:
    app = FastAPI()
    inner = APIRouter(prefix="/in")
    outer = APIRouter(prefix="/tenants/{tenant}")

    @inner.get("/{a}")
    def included(tenant: str, a: str) -> str:
        return a

    @app.post("/orders/{order_id}", status_code=201)
    async def order(order_id: int, request: Request) -> dict[str, int]:
        request.state.user = "user_123"
        return {"id": order_id, "size": len(await request.body())}

    @app.get("/files/{path:path}")
    def file(path: str) -> str:
        return path

    @app.get("/fails")
    def fails() -> None:
        raise ValueError("no such thing")

    sub = FastAPI()

    @sub.get("/{x}/y")
    def mounted(x: str) -> str:
        return x

    outer.include_router(inner, prefix="/mid")
    app.include_router(outer, prefix="/v1")
    app.mount("/sub", sub)
    return app


def starlette_app() -> Starlette:
    async def hello(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def stream(request: StarletteRequest) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"x" * 1000

        return StreamingResponse(parts())

    return Starlette(
        routes=[
            Route("/plain/{id:int}", hello, methods=["GET"]),
            Route("/stream", stream),
            Mount("/m/{tenant}", routes=[Route("/b/{id}", hello)]),
        ]
    )


@pytest.mark.parametrize(
    ("method", "url", "pattern", "status"),
    [
        ("POST", "/orders/7", "/orders/{order_id}", 201),
        ("GET", "/v1/tenants/t1/mid/in/3", "/v1/tenants/{tenant}/mid/in/{a}", 200),
        ("GET", "/sub/4/y", "/sub/{x}/y", 200),
        ("GET", "/files/a/b/c.txt", "/files/{path}", 200),
        ("GET", "/nope", "/nope", 404),
        ("GET", "/orders/7", "/orders/{order_id}", 405),
        ("POST", "/orders/seven", "/orders/{order_id}", 422),
        ("GET", "/fails", "/fails", 500),
    ],
)
def test_fastapi_requests_by_their_route(site: Site, method: str, url: str, pattern: str, status: int) -> None:
    app = fastapi_app()
    app.add_middleware(ActivityMiddleware, service=site.service)
    logged = site.call(app, method, url)
    assert (logged["kind"], logged["method"], logged["endpoint"]) == ("api_transaction", method, pattern)
    assert logged["status_code"] == site.response.status_code == status
    assert logged["execution_time_ms"] >= 0
    assert logged["ip_address"] == "198.51.100.7"
    assert logged.get("details", {}).get("path", url) == url


@pytest.mark.parametrize(
    ("url", "pattern", "size"),
    [("/plain/7", "/plain/{id}", 5), ("/m/t1/b/9", "/m/{tenant}/b/{id}", 5), ("/stream", "/stream", 10_000)],
)
def test_starlette_requests_by_their_route(site: Site, url: str, pattern: str, size: int) -> None:
    app = starlette_app()
    app.add_middleware(ActivityMiddleware, service=site.service)
    logged = site.call(app, "GET", url)
    assert logged["endpoint"] == pattern
    assert logged["performance_metrics"] == {"request_bytes": 0, "response_bytes": size}


def test_what_else_is_known_of_a_request(site: Site) -> None:
    app = ActivityMiddleware(
        fastapi_app(),
        user=lambda scope: scope["state"]["user"],
        headers=["X-Shop"],
        query=True,
        bodies=1000,
        service=site.service,
    )
    logged = site.call(
        app,
        "POST",
        "/orders/7?page=2&page=3&empty=",
        json={"a": [1]},
        headers={
            "x-shop": "north",
            "authorization": "Bearer s3cret",
            "user-agent": "test/1",
            "x-request-id": "r-1",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
    )
    assert logged["user_id"] == "user_123"
    assert logged["request_data"] == {"query": {"page": ["2", "3"], "empty": [""]}, "body": {"a": [1]}}
    assert logged["response_data"] == {"id": 7, "size": 9}
    assert logged["headers"] == {"x-shop": "north"}
    assert logged["user_agent"] == "test/1"
    assert logged["request_id"] == "r-1"
    assert logged["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert logged["span_id"] == "00f067aa0ba902b7"
    assert "s3cret" not in json.dumps(logged)


def test_bodies_are_logged_only_when_asked_for_and_small(site: Site) -> None:
    for bodies, body, want in [(0, b'{"a":1}', None), (6, b'{"a":1}', None), (7, b'{"a":1}', {"a": 1}), (99, b"{", "{")]:
        app = ActivityMiddleware(fastapi_app(), bodies=bodies, service=site.service)
        logged = site.call(app, "POST", "/orders/7", content=body, headers={"content-type": "application/json"})
        assert logged.get("request_data", {}).get("body") == want
        assert logged["performance_metrics"]["request_bytes"] == len(body)


def test_an_error_of_the_application_stays_its_own(site: Site) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no such thing")

    async def main() -> None:
        with pytest.raises(ValueError, match="no such thing"):
            await ActivityMiddleware(broken, service=site.service)(scope_of("/x"), never, ignore)
        await site.service.flush(PATIENCE)

    asyncio.run(main())
    assert site.logged()[-1]["status_code"] == 500
    assert site.logged()[-1]["error_details"] == "ValueError: no such thing"


def test_a_cancelled_request_is_logged(site: Site) -> None:
    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(ActivityMiddleware(hangs, service=site.service)(scope_of("/x"), never, ignore))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await site.service.flush(PATIENCE)

    asyncio.run(main())
    assert site.logged()[-1]["error_details"] == "the request was cancelled"
    assert "status_code" not in site.logged()[-1]


@pytest.mark.parametrize("user", [lambda scope: scope["nothing"], lambda scope: 1 / 0])
def test_a_user_that_cannot_be_found_fails_nothing(site: Site, user: Any) -> None:
    logged = site.call(ActivityMiddleware(starlette_app(), user=user, service=site.service), "GET", "/plain/7")
    assert site.response.text == "hello"
    assert "user_id" not in logged


def test_the_user_may_be_found_by_a_coroutine(site: Site) -> None:
    async def user(scope: Scope) -> str:
        await asyncio.sleep(0)
        return "user_9"

    assert (
        site.call(ActivityMiddleware(starlette_app(), user=user, service=site.service), "GET", "/plain/7")["user_id"]
        == "user_9"
    )


def test_excluded_paths_and_other_protocols_pass(site: Site) -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    wrapped = ActivityMiddleware(app, exclude=["/healthz"], service=site.service)
    asyncio.run(wrapped(scope_of("/healthz"), never, ignore))
    asyncio.run(wrapped({"type": "websocket", "path": "/ws"}, never, ignore))
    assert seen == ["http", "websocket"]
    assert site.logged() == []


def test_the_end_of_the_lifespan_delivers(site: Site) -> None:
    app = starlette_app()
    app.add_middleware(ActivityMiddleware, service=site.service)
    sent = []

    async def main() -> None:
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            event = next(events)
            if event["type"] == "lifespan.shutdown":
                await site.service.create_activity(user_id="last")
            return event

        async def send(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                sent.append(site.service.stats)

        await app({"type": "lifespan", "state": {}}, receive, send)

    asyncio.run(main())
    assert sent[0].delivered == 1
    assert sent[0].pending == 0


def test_middleware_inside_finds_its_user(site: Site) -> None:
    """The usual order: authentication runs inside, and sets scope["user"]."""
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            return AuthCredentials(), SimpleUser("ann")

    app = starlette_app()
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    app.add_middleware(ActivityMiddleware, user=lambda scope: scope["user"].display_name, service=site.service)
    assert site.call(app, "GET", "/plain/7")["user_id"] == "ann"


def test_requests_are_stored_by_the_agent(agent: Agent) -> None:
    service = ActivityService(Client(agent.address))
    app = fastapi_app()
    app.add_middleware(ActivityMiddleware, user=lambda scope: scope["state"].get("user"), bodies=1000, service=service)

    async def main() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for url in ("/orders/1", "/orders/2", "/orders/x"):
                await client.post(url, json={"password": "hunter2-secret"})
        await service.close(PATIENCE)

    asyncio.run(main())
    stored = agent.stored("--kind", "api_transaction", "--where", "endpoint=/orders/{order_id}")
    assert [doc["status_code"] for doc in stored] == [201, 201, 422]
    assert [doc.get("user_id") for doc in stored] == ["user_123", "user_123", None]
    assert "hunter2" not in json.dumps(stored)


def scope_of(path: str) -> Scope:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}


async def never() -> Any:
    await asyncio.Event().wait()


async def ignore(message: Any) -> None:
    pass
