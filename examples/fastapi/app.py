"""A small FastAPI service that tells an agent what its users do.

pip install truledgr-activities fastapi uvicorn
uvicorn app:app --port 8000
curl -H 'X-User: ann' -H 'Content-Type: application/json' -d '{"item": "teapot", "pence": 1200}' 127.0.0.1:8000/orders
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from truledgr_activities import ActivityHandler, ActivityMiddleware, activity_service
from truledgr_activities.asgi import Scope

log = logging.getLogger("orders")
log.setLevel(logging.INFO)
log.addHandler(ActivityHandler())


class Order(BaseModel):
    """What somebody orders."""

    item: str
    pence: int


orders: dict[int, Order] = {}

User = Annotated[str, Header(alias="X-User")]


def user_of(scope: Scope) -> str | None:
    """Name the user of a request, for the middleware."""
    return dict(scope["headers"]).get(b"x-user", b"").decode() or None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Log start and stop."""
    log.info("the service starts", extra={"event_type": "startup"})
    yield
    log.info("the service stops", extra={"event_type": "shutdown"})


app = FastAPI(lifespan=lifespan)
app.add_middleware(ActivityMiddleware, user=user_of, exclude=["/healthz"])


@app.get("/healthz")
async def healthz() -> None:
    """Say that the service lives."""


@app.post("/login", status_code=204)
async def login(user: User, password: Annotated[str, Header(alias="X-Password")]) -> None:
    """Check who it is."""
    success = password == "open sesame"  # noqa: S105
    await activity_service.log_auth_event(
        user_id=user,
        event_type="login",
        login_method="password",
        success=success,
        failure_reason=None if success else "wrong password",
    )
    if not success:
        raise HTTPException(401)


@app.post("/orders", status_code=201)
async def create(order: Order, user: User) -> dict[str, int]:
    """Take an order."""
    id = len(orders) + 1
    orders[id] = order
    await activity_service.log_data_changes(
        user_id=user, table_name="orders", operation="insert", record_id=str(id), new_values=order
    )
    return {"id": id}


@app.get("/orders/{id}")
async def get(id: int, user: User) -> Order:
    """Show an order."""
    if id not in orders:
        raise HTTPException(404)
    await activity_service.log_data_access(
        user_id=user, table_name="orders", operation="read", fields_accessed=["item", "pence"], record_count=1
    )
    return orders[id]
