from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from truledgr_activities._calls import TYPES
from truledgr_activities._record import encode
from truledgr_activities._ulid import is_ulid, new_ulid


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


def encoded(**fields: object) -> dict[str, Any]:
    id, line = encode("activity", fields)
    document: dict[str, Any] = json.loads(line)
    assert document.pop("id") == id
    document.pop("@timestamp", None) if "@timestamp" not in fields else None
    assert document.pop("kind") == "activity"
    assert b"\n" not in line
    return document


def test_none_is_left_out() -> None:
    assert encoded(user_id=None, details=None, tags=None) == {}


@pytest.mark.parametrize(
    ("field", "value", "want"),
    [
        ("user_id", 42, "42"),
        ("user_id", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("user_id", Color.RED, "red"),
        ("description", "Töpferei 🫖\n\x00", "Töpferei 🫖\n\x00"),
        ("description", "lone \ud800 surrogate", "lone ? surrogate"),
        ("tags", ["a", 1], ["a", "1"]),
        ("tags", {"a"}, ["a"]),
        ("tags", "alone", ["alone"]),
        ("status_code", 201, 201),
        ("status_code", "201", 201),
        ("status_code", 201.0, 201),
        ("status_code", HTTPStatus.CREATED, 201),
        ("record_count", 0, 0),
        ("execution_time_ms", 12.5, 12.5),
        ("execution_time_ms", Decimal("12.5"), 12.5),
        ("success", False, False),
        ("ip_address", "2001:DB8::1", "2001:db8::1"),
        ("ip_address", ipaddress.IPv4Address("10.0.0.1"), "10.0.0.1"),
        ("ip_address", "fe80::1%eth0", "fe80::1"),
        ("@timestamp", datetime(2026, 11, 17, 9, 0, tzinfo=timezone(timedelta(hours=1))), "2026-11-17T08:00:00+00:00"),
        ("@timestamp", "2026-11-17T08:00:12.123456789Z", "2026-11-17T08:00:12.123456789Z"),
        ("@timestamp", "2026-11-17", "2026-11-17T00:00:00Z"),
        ("@timestamp", date(2026, 11, 17), "2026-11-17T00:00:00Z"),
        ("@timestamp", 1763366400.5, "2025-11-17T08:00:00.500000+00:00"),
        ("rate_limit", {"limit": 10, "remaining": 0, "reset_at": None}, {"limit": 10, "remaining": 0}),
        ("service", {"name": "shop"}, {"name": "shop"}),
        ("details", [1, 2], [1, 2]),
        ("new_values", {"price": Decimal("1.50"), "day": date(2026, 1, 2)}, {"price": "1.50", "day": "2026-01-02"}),
        ("new_values", {"p": Point(1), "path": Path("/x"), "b": b"\xffa"}, {"p": {"x": 1}, "path": "/x", "b": "\ufffda"}),
        ("context", {1: "a", (2, 3): "b"}, {"1": "a", "(2, 3)": "b"}),
        ("context", {"nan": float("nan"), "inf": [float("inf")]}, {"nan": "nan", "inf": ["inf"]}),
        ("context", {"o": object()}, {"o": "<object>"}),
        ("context", {"n": 10**5000}, {"n": "<int>"}),
    ],
)
def test_a_value_that_fits(field: str, value: object, want: object) -> None:
    assert encoded(**{field: value}) == {field: want}


@pytest.mark.parametrize(
    ("field", "value", "want"),
    [
        ("user_id", {"id": 1}, {"id": 1}),
        ("status_code", "teapot", "teapot"),
        ("status_code", True, True),
        ("status_code", 2**70, 2**70),
        ("status_code", 1.5, 1.5),
        ("execution_time_ms", float("nan"), "nan"),
        ("success", "yes", "yes"),
        ("ip_address", "testclient", "testclient"),
        ("tags", 7, 7),
        ("@timestamp", "yesterday", "yesterday"),
        ("@timestamp", "2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("@timestamp", "1066-10-14T00:00:00Z", "1066-10-14T00:00:00Z"),
        ("@timestamp", True, True),
        ("@timestamp", 10**30, 10**30),
        ("id", "42", "42"),
        ("rate_limit", 7, 7),
        ("rate_limit", {"limit": "many"}, {"limit": "many"}),
    ],
)
def test_a_value_that_does_not_fit_is_kept_in_details(field: str, value: object, want: object) -> None:
    document = encoded(**{field: value, "details": {"mine": 1}})
    document.pop("@timestamp", None)
    assert document == {"details": {field: want, "mine": 1}}


def test_every_field_survives_every_sort_of_value() -> None:
    cycle: list[object] = []
    cycle.append(cycle)

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

        @property
        def model_dump(self) -> object:
            raise RuntimeError

    deep: object = "bottom"
    for _ in range(2000):
        deep = [deep]
    values: list[object] = [
        cycle,
        Hostile(),
        {Hostile(): 1},
        deep,
        {"a": cycle},
        b"\xff",
        1e400,
        -(10**400),
        Color,
        "\udcff",
        "",
        0,
    ]
    for name in {path.partition(".")[0] for path in TYPES}:
        for value in values:
            id, line = encode("activity", {name: value})
            document = json.loads(line, parse_constant=pytest.fail)
            assert is_ulid(id) or (name == "id" and value == id)
            assert document["kind"] == "activity"


def test_what_was_logged_does_not_change_with_the_values() -> None:
    details = {"a": 1}
    _, line = encode("activity", {"details": details})
    details["a"] = 2
    assert json.loads(line)["details"] == {"a": 1}


def test_a_given_id_is_kept() -> None:
    given = new_ulid()
    id, line = encode("activity", {"id": given})
    assert id == given == json.loads(line)["id"]


def test_ulids_sort_by_time_and_differ() -> None:
    ids = [new_ulid() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(map(is_ulid, ids))
    assert [id[:10] for id in ids] == sorted(id[:10] for id in ids)
