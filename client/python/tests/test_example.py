"""examples/fastapi under uvicorn, beside a real agent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from typing import Any

import httpx

from conftest import PATIENCE, ROOT, Agent, eventually


def told(doc: dict[str, Any]) -> str:
    """Say in a line what an activity says."""
    names = {
        "api_transaction": ("method", "endpoint", "status_code", "user_id"),
        "auth_event": ("event_type", "success"),
        "data_change": ("operation", "record_id", "new_values"),
        "data_access": ("operation", "table_name", "record_count"),
        "system_event": ("event_type", "severity"),
    }[doc["kind"]]
    return " ".join(str(doc[name]) for name in names)


def test_what_users_do_is_in_the_store(agent: Agent) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT / "examples" / "fastapi",
        env={**os.environ, "TRULEDGR_ACTIVITIES_ADDRESS": agent.address, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-User": "ann"}, trust_env=False) as client:

            def listens() -> bool:
                assert server.poll() is None
                try:
                    return client.get("/healthz").status_code == 200
                except httpx.ConnectError:
                    return False

            eventually(listens)
            answers = [
                client.post("/login", headers={"X-Password": "open sesame"}),
                client.post("/login", headers={"X-Password": "hunter2"}),
                client.post("/orders", json={"item": "teapot", "pence": 1200}),
                client.get("/orders/1"),
                client.get("/orders/2"),
                client.post("/orders", content=b"{"),
            ]
        assert [answer.status_code for answer in answers] == [204, 401, 201, 200, 404, 422]
        # uvicorn ends the process by the signal itself: nothing that runs at exit runs.
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.wait()
    assert Counter(map(told, agent.stored())) == Counter(
        [
            "startup info",
            "shutdown info",
            "login True",
            "login False",
            "POST /login 204 ann",
            "POST /login 401 ann",
            "insert 1 {'item': 'teapot', 'pence': 1200}",
            "POST /orders 201 ann",
            "read orders 1",
            "GET /orders/{id} 200 ann",
            "GET /orders/{id} 404 ann",
            "POST /orders 422 ann",
        ]
    )
