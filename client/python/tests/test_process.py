"""What happens when a process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PATIENCE, Agent


def run(program: str, address: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TRULEDGR_ACTIVITIES_ADDRESS": address}
    return subprocess.run([sys.executable, "-c", program], env=env, timeout=PATIENCE, text=True, capture_output=True)


COUNT = "from truledgr_activities.sync import activity_service as s\nfor i in range(1000): s.create_activity()\n"


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)", "import asyncio; asyncio.run(asyncio.sleep(0))"])
def test_a_process_that_ends_has_delivered(agent: Agent, end: str) -> None:
    assert run(COUNT + end, agent.address).returncode == 0
    assert len(agent.stored("--fields", "id")) == 1000


def test_a_process_that_fails_has_delivered(agent: Agent) -> None:
    assert run(COUNT + "raise SystemError", agent.address).returncode == 1
    assert len(agent.stored("--fields", "id")) == 1000


def test_an_activity_of_the_very_end_is_delivered(agent: Agent) -> None:
    """No thread can be started any more when the first activity comes at exit."""
    program = "import atexit, truledgr_activities.sync as t\natexit.register(lambda: t.activity_service.create_activity())"
    assert run(program, agent.address).returncode == 0
    assert len(agent.stored("--fields", "id")) == 1


def test_an_agent_that_is_away_delays_the_end_for_seconds_only_and_is_named(tmp_path: Path) -> None:
    program = "import truledgr_activities as t\nt.configure(close_timeout=0.2)\n" + COUNT
    ended = run(program, f"unix://{tmp_path}/none")
    assert ended.returncode == 0
    assert "1000 activities could not be delivered" in ended.stderr


def test_a_wrong_address_in_the_environment_does_not_fail_the_application() -> None:
    program = "from truledgr_activities.sync import activity_service as s\ns.create_activity()\ns.close(0)\nprint('on')"
    ended = run(program, "nonsense")
    assert ended.stdout == "on\n"
    assert "nonsense" in ended.stderr


def test_multiprocessing_workers_deliver(agent: Agent) -> None:
    program = """
import multiprocessing as m
from truledgr_activities.sync import activity_service as s
def work(n):
    s.create_activity(details={"n": n})
    assert s.flush(60)
if __name__ == "__main__":
    s.create_activity(details={"n": -1})
    with m.get_context("fork").Pool(2) as pool:
        pool.map(work, range(20))
"""
    ended = run(program, agent.address)
    assert ended.returncode == 0, ended.stderr
    assert sorted(doc["details"]["n"] for doc in agent.stored()) == list(range(-1, 20))
