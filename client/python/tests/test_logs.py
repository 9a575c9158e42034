from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import PATIENCE, Agent, Request, Scripted, eventually
from truledgr_activities import ActivityHandler, Client, Stats
from truledgr_activities.sync import ActivityService


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    one = logging.getLogger("shop.orders")
    one.setLevel(logging.DEBUG)
    one.propagate = False
    yield one
    for handler in list(one.handlers):
        one.removeHandler(handler)


def logged(logger: logging.Logger, tmp_path: Path, log: Any) -> list[dict[str, Any]]:
    client = Client(f"file://{tmp_path}/app.log")
    logger.addHandler(ActivityHandler("DEBUG", ActivityService(client)))
    log()
    client.close(PATIENCE)
    return [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines()]


def test_a_record_is_a_system_event(logger: logging.Logger, tmp_path: Path) -> None:
    [event] = logged(
        logger,
        tmp_path,
        lambda: logger.warning("order %d is late", 7, extra={"user_id": "u1", "request_id": "r1", "order": {"id": 7}}),
    )
    assert event["kind"] == "system_event"
    assert event["severity"] == "warning"
    assert event["description"] == "order 7 is late"
    assert event["component"] == event["log"]["logger"] == "shop.orders"
    assert (event["user_id"], event["request_id"]) == ("u1", "r1")
    assert event["details"]["order"] == {"id": 7}
    assert event["details"]["source"].startswith(__file__)


def test_levels(logger: logging.Logger, tmp_path: Path) -> None:
    def log() -> None:
        for level in (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, logging.CRITICAL, 60):
            logger.log(level, "x")

    events = logged(logger, tmp_path, log)
    assert [event["severity"] for event in events] == ["debug", "info", "info", "warning", "error", "critical", "critical"]


def test_an_exception_has_its_trace(logger: logging.Logger, tmp_path: Path) -> None:
    def log() -> None:
        try:
            raise KeyError("k")
        except KeyError:
            logger.exception("it failed")

    [event] = logged(logger, tmp_path, log)
    assert event["error_code"] == "KeyError"
    assert "Traceback" in event["stack_trace"]
    assert "KeyError: 'k'" in event["stack_trace"]


def test_a_broken_call_of_the_logger_is_handled_as_logging_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(f"file://{tmp_path}/app.log")
    ActivityHandler("DEBUG", ActivityService(client)).handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    client.close(PATIENCE)
    assert client.stats == Stats()
    assert "Logging error" in capsys.readouterr().err


def test_what_the_sender_says_makes_no_activity(scripted: Scripted) -> None:
    """With the handler at the root and everything at DEBUG, one activity stays one."""
    scripted.respond = lambda _: (503, {"Retry-After": "0"}) if len(scripted.requests) < 3 else (202, {})
    client = Client(scripted.address)
    root = logging.getLogger()
    before = root.level
    handler = ActivityHandler("DEBUG", ActivityService(client))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("app").info("one")
        assert client.flush(PATIENCE)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert client.stats == Stats(logged=1, delivered=1)
    client.close()


def test_a_record_that_waits_for_room_does_not_stop_the_sender(scripted: Scripted) -> None:
    """The sender complains, and that too goes through the root's handlers, while a record waits in one of them."""
    gate = threading.Event()

    def respond(_: Request) -> tuple[int, dict[str, str]]:
        assert gate.wait(PATIENCE)
        return (503, {"Retry-After": "0"}) if len(scripted.requests) < 2 else (202, {})

    scripted.respond = respond
    client = Client(scripted.address, queue_bytes=1000, wait_for_room=math.inf)
    handler = ActivityHandler(service=ActivityService(client))
    root = logging.getLogger()
    root.addHandler(handler)

    def log_many() -> None:
        for _ in range(20):
            root.warning("x" * 100)

    waiting = threading.Thread(target=log_many, daemon=True)
    try:
        waiting.start()
        eventually(lambda: bool(client._queue._wait_room))
        gate.set()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()
    finally:
        root.removeHandler(handler)
    assert client.flush(PATIENCE)
    assert client.stats == Stats(logged=20, delivered=20)
    client.close()


def test_records_are_stored_by_the_agent(logger: logging.Logger, agent: Agent) -> None:
    client = Client(agent.address)
    logger.addHandler(ActivityHandler(service=ActivityService(client)))
    logger.debug("too fine")
    logger.error("payment failed", extra={"error_code": "E42", "password": "hunter2-secret"})
    client.close(PATIENCE)
    [event] = agent.stored("--kind", "system_event")
    assert (event["severity"], event["error_code"], event["description"]) == ("error", "E42", "payment failed")
    assert "hunter2" not in json.dumps(event)
