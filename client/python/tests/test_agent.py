"""The calls as they stand, against the real agent, and what it stores of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

import truledgr_activities
from conftest import PATIENCE, Agent
from truledgr_activities import Activity, ActivityService, Client, Stats, configure
from truledgr_activities._calls import TYPES, Calls
from truledgr_activities._ulid import new_ulid
from truledgr_activities.sync import ActivityService as SyncActivityService

WAYS = pytest.mark.parametrize("way", ["tcp", "unix", "file"])


async def the_calls_of_the_old_module(activity_service: ActivityService) -> list[Activity]:
    session = object()
    made = []
    activity = await activity_service.create_activity(
        activity_type="user_creation",
        user_id="user_123",
        entity_type="user",
        entity_id="user_456",
        description="Created new user",
        session=session,
    )
    made.append(activity)
    activity = await activity_service.log_api_transaction(
        user_id="user_123",
        method="POST",
        endpoint="/api/users",
        status_code=201,
        execution_time_ms=12.5,
        session=session,
    )
    made.append(activity)
    activity = await activity_service.log_data_access(
        user_id="user_123", table_name="users", operation="read", fields_accessed=["id", "email", "name"]
    )
    made.append(activity)
    activity = await activity_service.log_data_changes(
        user_id="user_123",
        table_name="users",
        operation="update",
        record_id="user_456",
        old_values={"name": "John"},
        new_values={"name": "John Doe"},
    )
    made.append(activity)
    made.append(
        await activity_service.log_auth_event(user_id="user_123", event_type="login", success=False, session=session)
    )
    made.append(await activity_service.log_external_api(service_name="mail", rate_limit={"remaining": 0}, session=session))
    made.append(await activity_service.log_system_event(event_type="startup", severity="info", session=session))
    return made


STORED: list[dict[str, Any]] = [
    {
        "kind": "activity",
        "activity_type": "user_creation",
        "user_id": "user_123",
        "entity_type": "user",
        "entity_id": "user_456",
        "description": "Created new user",
    },
    {
        "kind": "api_transaction",
        "user_id": "user_123",
        "method": "POST",
        "endpoint": "/api/users",
        "status_code": 201,
        "execution_time_ms": 12.5,
    },
    {
        "kind": "data_access",
        "user_id": "user_123",
        "table_name": "users",
        "operation": "read",
        "fields_accessed": ["id", "email", "name"],
    },
    {
        "kind": "data_change",
        "user_id": "user_123",
        "table_name": "users",
        "operation": "update",
        "record_id": "user_456",
        "old_values": {"name": "John"},
        "new_values": {"name": "John Doe"},
        "changed_fields": ["name"],
    },
    {"kind": "auth_event", "user_id": "user_123", "event_type": "login", "success": False},
    {"kind": "external_api", "service_name": "mail", "rate_limit": {"remaining": 0}},
    {"kind": "system_event", "event_type": "startup", "severity": "info"},
]


@WAYS
def test_the_calls_run_as_they_stand(new_agent: Callable[..., Agent], way: str) -> None:
    agent = new_agent(way)
    agent.start()
    client = configure(agent.address)
    made = asyncio.run(the_calls_of_the_old_module(truledgr_activities.activity_service))
    client.close(PATIENCE)
    assert client.stats == Stats(logged=7, delivered=7)
    stored = agent.stored()
    assert [doc["id"] for doc in stored] == [activity.id for activity in made]
    for doc, want in zip(stored, STORED, strict=True):
        assert want.items() <= doc.items()
        assert "details" not in doc


def sample(name: str, type: str) -> object:
    """A value for a field, as the store returns it."""
    by_type: dict[str, object] = {
        "keyword": f"a {name}",
        "text": f"words of {name}",
        "keywords": [f"one {name}", "two"],
        "ip": "198.51.100.23",
        "date": "2026-11-17T08:00:12.5Z",
        "bool": False,
        "long": 0,
        "double": 0.25,
        "free": {"a": {"b": [1, None, name]}},
    }
    if name == "@timestamp":
        return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    if name == "method":
        return "PUT"  # of a login, only a method of HTTP is taken for one
    return by_type[type]


CALLS = [name for name, _ in inspect.getmembers(Calls, inspect.isfunction) if not name.startswith("_")]


@WAYS
def test_every_parameter_of_every_call_is_stored_in_its_field(new_agent: Callable[..., Agent], way: str) -> None:
    """No field of the table is forgotten, and none lands in details."""
    agent = new_agent(way)
    agent.start()
    service = SyncActivityService(Client(agent.address))
    given: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        arguments: dict[str, Any] = {}
        for name in inspect.signature(getattr(service, call)).parameters:
            path = "@timestamp" if name == "timestamp" else name
            group = {rest: sample(p, t) for p, t in TYPES.items() for n, _, rest in [p.partition(".")] if n == name and rest}
            if group:
                arguments[name] = group
            elif name == "id":
                arguments[name] = new_ulid()
            elif path in TYPES:
                arguments[name] = sample(path, TYPES[path])
        given[getattr(service, call)(**arguments).kind] = arguments
    service.close(PATIENCE)
    stored = {doc["kind"]: doc for doc in agent.stored()}
    assert set(stored) == set(given)
    assert len(stored) == 7
    for kind, arguments in given.items():
        for name, value in arguments.items():
            field = "@timestamp" if name == "timestamp" else name
            if field == "log":
                assert value.items() <= stored[kind]["log"].items()
            elif field == "tags":
                assert set(value) <= set(stored[kind]["tags"])
            else:
                assert stored[kind][field] == value, (kind, field)


def test_what_does_not_fit_is_stored_all_the_same(agent: Agent) -> None:
    """The agent refuses wrong types; so nothing of a wrong type may leave the client."""
    service = SyncActivityService(Client(agent.address))
    wrong: list[Any] = [
        {},
        [],
        "x",
        -1,
        1.5,
        True,
        b"\xff",
        object(),
        float("nan"),
        10**30,
        "\ud800",
        [None],
        {"a": None},
        "",
    ]
    made = 0
    for call in CALLS:
        for name in inspect.signature(getattr(service, call)).parameters:
            for value in wrong:
                getattr(service, call)(**{name: value})
                made += 1
    assert service.flush(PATIENCE)
    assert service.stats == Stats(logged=made, delivered=made)
    service.close()
    assert len(agent.stored("--fields", "id")) == made


def test_a_token_is_asked_for(new_agent: Callable[..., Agent]) -> None:
    agent = new_agent("tcp", token="0123456789abcdef-s3cret")
    agent.start()
    stranger = SyncActivityService(Client(agent.address))
    stranger.create_activity()
    service = SyncActivityService(Client(agent.address, token="0123456789abcdef-s3cret"))
    made = service.create_activity()
    assert service.flush(PATIENCE)
    service.close()
    stranger.close(0.1)
    assert stranger.stats == Stats(logged=1, abandoned=1)
    assert [doc["id"] for doc in agent.stored()] == [made.id]


def test_an_agent_that_is_killed_again_and_again_gets_each_activity_once(new_agent: Callable[..., Agent]) -> None:
    agent = new_agent("unix")
    client = Client(agent.address, request_timeout=PATIENCE)
    service = SyncActivityService(client)
    made = [service.create_activity(details={"seq": 0}).id]  # before there is an agent
    for seq in range(1, 6):
        agent.start()
        assert service.flush(PATIENCE)
        made += [service.create_activity(details={"seq": seq}).id for _ in range(2000)]
        agent.kill()
    agent.start()
    assert service.flush(PATIENCE)
    service.close()
    assert client.stats == Stats(logged=len(made), delivered=len(made))
    assert sorted(doc["id"] for doc in agent.stored("--fields", "id")) == sorted(made)
