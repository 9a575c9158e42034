"""What the client guarantees, against a server that fails as it is told."""

from __future__ import annotations

import asyncio
import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import PATIENCE, Request, Scripted, eventually
from truledgr_activities import ActivityService, Client, Stats
from truledgr_activities.sync import ActivityService as SyncActivityService


def balanced(stats: Stats) -> bool:
    return stats.logged == stats.delivered + stats.rejected + stats.dropped + stats.abandoned + stats.pending


def delivered_ids(scripted: Scripted) -> list[str]:
    return [record["id"] for request in scripted.requests for record in request.records]


def test_one_activity_is_one_request_at_once(scripted: Scripted) -> None:
    client = Client(scripted.address, token="t0p")
    made = SyncActivityService(client).log_data_access(user_id="u1", table_name="users", operation="read")
    assert client.flush(PATIENCE)
    [request] = scripted.requests
    assert request.path == "/v1/activities"
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["authorization"] == "Bearer t0p"
    assert request.headers["idempotency-key"]
    [record] = request.records
    assert record["id"] == made.id
    assert record["kind"] == made.kind == "data_access"
    assert client.stats == Stats(logged=1, delivered=1)
    client.close()


def test_what_is_logged_while_a_request_is_under_way_goes_together(scripted: Scripted) -> None:
    gate = threading.Event()

    def respond(_: Request) -> tuple[int, dict[str, str]]:
        assert gate.wait(PATIENCE)
        return 202, {}

    scripted.respond = respond
    client = Client(scripted.address)
    service = SyncActivityService(client)
    service.create_activity()
    eventually(lambda: client._queue._taken == 1)
    for _ in range(2500):
        service.create_activity()
    gate.set()
    assert client.flush(PATIENCE)
    assert [len(request.records) for request in scripted.requests] == [1, 1000, 1000, 500]
    client.close()


@pytest.mark.parametrize("trouble", [None, 500, 503, 429, 408, 401, 403, 404, 301, 200])
def test_trouble_is_tried_again_with_the_same_bytes_and_key(scripted: Scripted, trouble: int | None) -> None:
    tries = iter([trouble, trouble, 202])

    def respond(_: Request) -> tuple[int, dict[str, str]] | None:
        status = next(tries)
        return None if status is None else (status, {"Retry-After": "0"})

    scripted.respond = respond
    client = Client(scripted.address)
    SyncActivityService(client).create_activity(user_id="u1")
    assert client.flush(PATIENCE)
    first, second, third = scripted.requests
    assert first.body == second.body == third.body
    assert len({request.headers["idempotency-key"] for request in scripted.requests}) == 1
    assert client.stats == Stats(logged=1, delivered=1)
    client.close()


def test_a_server_that_says_at_once_is_not_asked_at_once(scripted: Scripted) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "0"})
    client = Client(scripted.address)
    began = time.monotonic()
    SyncActivityService(client).create_activity()
    scripted.wait_for(4)
    assert time.monotonic() - began >= 0.25  # three pauses of 0.1 s
    client.close(0)


def test_an_agent_that_is_away_is_not_waited_for(tmp_path: Path) -> None:
    client = Client(f"unix://{tmp_path}/none")
    service = SyncActivityService(client)
    for _ in range(10):
        service.create_activity()
    assert not client.flush(0.3)
    assert client.stats == Stats(logged=10, pending=10)
    client.close(0)
    assert client.stats == Stats(logged=10, abandoned=10)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_record_takes_no_other_with_it(scripted: Scripted, status: int) -> None:
    scripted.respond = lambda request: (status, {}) if b"poison" in request.body else (202, {})
    client = Client(scripted.address)
    service = SyncActivityService(client)
    with client._queue._lock:  # so that they go together
        made = [service.create_activity(status="poison" if i in (3, 77) else "fine") for i in range(100)]
    assert client.flush(PATIENCE)
    assert client.stats == Stats(logged=100, delivered=98, rejected=2)
    taken = [record["id"] for request in scripted.requests if b"poison" not in request.body for record in request.records]
    assert taken == [activity.id for i, activity in enumerate(made) if i not in (3, 77)]
    keys = [request.headers["idempotency-key"] for request in scripted.requests]
    assert len(set(keys)) == len(keys)
    client.close()


def test_a_full_queue_drops_and_counts_and_does_not_wait(scripted: Scripted) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "60"})
    client = Client(scripted.address, queue_bytes=10_000)
    service = SyncActivityService(client)
    for _ in range(1000):
        service.create_activity(description="x" * 100)
    stats = client.stats
    assert balanced(stats)
    assert stats.logged == 1000
    assert stats.dropped > 900
    assert 0 < stats.pending < 100
    client.close(0)
    assert balanced(client.stats)
    assert client.stats.abandoned == stats.pending


def test_waiting_for_room_loses_nothing(scripted: Scripted) -> None:
    client = Client(scripted.address, queue_bytes=2000, wait_for_room=math.inf)
    service = SyncActivityService(client)
    threads = [threading.Thread(target=lambda: [service.create_activity() for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(PATIENCE)
    assert client.stats == Stats(logged=400, delivered=400)
    assert len(set(delivered_ids(scripted))) == 400
    client.close()


async def _log_many(service: ActivityService, count: int) -> None:
    await asyncio.gather(*(service.create_activity() for _ in range(count)))


def test_waiting_for_room_leaves_the_event_loop_free(scripted: Scripted) -> None:
    gate = threading.Event()

    def respond(_: Request) -> tuple[int, dict[str, str]]:
        assert gate.wait(PATIENCE)
        return 202, {}

    scripted.respond = respond
    client = Client(scripted.address, queue_bytes=1000, wait_for_room=math.inf)
    service = ActivityService(client)

    async def main() -> None:
        waiting = asyncio.create_task(_log_many(service, 100))
        for _ in range(100):  # the loop turns while the calls wait
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        await waiting
        assert await service.flush(PATIENCE)

    asyncio.run(main())
    assert client.stats == Stats(logged=100, delivered=100)
    client.close()


def test_waiting_for_room_ends(scripted: Scripted) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "60"})
    client = Client(scripted.address, queue_bytes=500, wait_for_room=0.05)

    async def main() -> None:
        await _log_many(ActivityService(client), 10)

    asyncio.run(main())
    for _ in range(3):
        SyncActivityService(client).create_activity()
    stats = client.stats
    assert balanced(stats)
    assert stats.logged == 13
    assert stats.dropped > 0
    client.close(0)


def test_a_call_that_is_cancelled_while_it_waits_is_counted(scripted: Scripted) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "60"})
    client = Client(scripted.address, queue_bytes=500, wait_for_room=math.inf)

    async def main() -> None:
        waiting = asyncio.create_task(_log_many(ActivityService(client), 10))
        while not client._queue._wait_room:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert client.stats.logged == 10
    assert balanced(client.stats)
    client.close(0)


@pytest.mark.parametrize("token", ["s3cret\nX: y", "s3crét", "s3 cret"])
def test_a_token_that_is_none_is_not_shown(scripted: Scripted, caplog: pytest.LogCaptureFixture, token: str) -> None:
    client = Client(scripted.address, token=token)
    SyncActivityService(client).create_activity()
    eventually(lambda: "token" in caplog.text)
    assert "s3" not in caplog.text
    assert not scripted.requests
    client.close(0)


def test_closing_lets_those_go_who_wait_for_room(scripted: Scripted) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "60"})
    client = Client(scripted.address, queue_bytes=500, wait_for_room=math.inf)
    service = SyncActivityService(client)
    threads = [threading.Thread(target=service.create_activity) for _ in range(10)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(client._queue._wait_room) > 0)
    client.close(0)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert client.stats.logged == 10
    assert balanced(client.stats)


def test_close_delivers_what_is_left(scripted: Scripted) -> None:
    failures = iter(range(3))
    scripted.respond = lambda _: (503, {"Retry-After": "0"}) if next(failures, None) is not None else (202, {})
    client = Client(scripted.address)
    service = SyncActivityService(client)
    for _ in range(100):
        service.create_activity()
    client.close(PATIENCE)
    assert client.stats == Stats(logged=100, delivered=100)
    service.create_activity()
    assert client.stats == Stats(logged=101, delivered=100, dropped=1)


def test_close_does_not_wait_for_an_agent_that_hangs(scripted: Scripted) -> None:
    gate = threading.Event()

    def respond(_: Request) -> None:
        gate.wait(PATIENCE)

    scripted.respond = respond
    client = Client(scripted.address)
    SyncActivityService(client).create_activity()
    began = time.monotonic()
    client.close(0.2)
    assert time.monotonic() - began < PATIENCE / 2
    assert client.stats == Stats(logged=1, abandoned=1)
    gate.set()


def test_a_record_that_is_too_large_is_rejected(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(scripted.address, max_record_bytes=1000)
    SyncActivityService(client).create_activity(description="secret" * 1000)
    assert client.stats == Stats(logged=1, rejected=1)
    assert "more than the 1000" in caplog.text
    assert "secret" not in caplog.text
    client.close()


def test_complaints_are_few(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    scripted.respond = lambda _: (503, {"Retry-After": "0"})
    client = Client(scripted.address, queue_bytes=300)
    for _ in range(1000):
        SyncActivityService(client).create_activity()
    scripted.wait_for(5)
    client.close(0)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1


def test_the_token_file_is_read_anew(scripted: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")

    def respond(request: Request) -> tuple[int, dict[str, str]]:
        if request.headers["authorization"] == "Bearer new":
            return 202, {}
        file.write_text("new\n")
        return 401, {}

    scripted.respond = respond
    client = Client(scripted.address, token_file=file)
    SyncActivityService(client).create_activity()
    assert client.flush(PATIENCE)
    client.close()


@pytest.mark.parametrize(
    "address", ["localhost:8480", "ftp://x", "file://host/x", "unix://", "http://", "http://x/?q=1", "x"]
)
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Client(address)


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRULEDGR_ACTIVITIES_ADDRESS", f"file://{tmp_path}/a.log")
    client = Client()
    SyncActivityService(client).create_activity(user_id="u1")
    client.close(PATIENCE)
    assert json.loads((tmp_path / "a.log").read_text())["user_id"] == "u1"


# --- files


def lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_rotated_file_is_left_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    client = Client(f"file://{path}")
    service = SyncActivityService(client)
    made = []
    for i in range(3):
        made.append(service.create_activity().id)
        assert client.flush(PATIENCE)
        path.rename(tmp_path / f"a.log.{i}")
    assert [lines(tmp_path / f"a.log.{i}") for i in range(3)] == [[id] for id in made]
    client.close()


def test_a_directory_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "later" / "a.log"
    client = Client(f"file://{path}")
    made = SyncActivityService(client).create_activity()
    assert not client.flush(0.1)
    path.parent.mkdir()
    assert client.flush(PATIENCE)
    assert lines(path) == [made.id]
    client.close()


def test_a_line_that_a_full_disk_cut_is_written_again_whole(tmp_path: Path) -> None:
    from truledgr_activities._ways import Fate, FileWay

    class Full:
        """A file on a disk that has room for ten bytes, and later for everything."""

        def __init__(self) -> None:
            self.data = b""
            self.full = True

        def write(self, data: bytes) -> int:
            if self.full and len(self.data) >= 10:
                raise OSError(28, "No space left on device")
            taken = bytes(data[:10]) if self.full else bytes(data)
            self.data += taken
            return len(taken)

    way = FileWay(str(tmp_path / "a.log"))
    disk = Full()
    way._current = lambda: disk  # type: ignore[method-assign, assignment, return-value]
    assert way.send([b'{"a":"0123456789"}'], "", 1).fate is Fate.UNKNOWN
    disk.full = False
    assert way.send([b'{"a":"0123456789"}'], "", 1).fate is Fate.DELIVERED
    assert disk.data == b'{"a":"0123\n{"a":"0123456789"}\n'


def test_many_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    client = Client(f"file://{path}", wait_for_room=math.inf)
    service = SyncActivityService(client)
    children = [forked(lambda: write_many(service, 500)) for _ in range(4)]
    write_many(service, 500)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(set(lines(path))) == 2500
    client.close()


def write_many(service: SyncActivityService, count: int) -> None:
    for _ in range(count):
        service.create_activity(description="x" * 300)
    assert service.flush(PATIENCE)


def forked(do: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return child


# --- forks


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_neither_repeats_nor_loses(scripted: Scripted) -> None:
    """The parent delivers what it logged, the child what it logged; also if the fork comes in the middle of it all."""
    client = Client(scripted.address)
    service = SyncActivityService(client)
    gate = threading.Event()

    def respond(_: Request) -> tuple[int, dict[str, str]]:
        assert gate.wait(PATIENCE)
        return 202, {}

    scripted.respond = respond
    before = [service.create_activity(user_id="parent") for _ in range(10)]

    def log_in_child() -> None:
        assert client.stats == Stats()
        service.create_activity(user_id="child")
        assert service.flush(PATIENCE)
        assert client.stats == Stats(logged=1, delivered=1)

    with client._queue._lock:  # held when the fork comes: the child must not inherit it
        child = forked(log_in_child)
    gate.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.flush(PATIENCE)
    records = [record for request in scripted.requests for record in request.records]
    assert sorted(r["id"] for r in records if r["user_id"] == "parent") == sorted(a.id for a in before)
    assert [r["user_id"] for r in records].count("child") == 1
    client.close()
