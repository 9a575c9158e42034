"""What the tests stand on: the real agent, and an HTTP server that answers as it is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 120.0  # seconds; on a busy machine everything takes longer


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent, built from this repository, unless ACTIVITY_AGENT names one."""
    if given := os.environ.get("ACTIVITY_AGENT"):
        return Path(given)
    path = tmp_path_factory.mktemp("bin") / "activity-agent"
    subprocess.run(
        ["go", "build", "-o", str(path), "./cmd/activity-agent"],
        cwd=ROOT,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    return path


class Agent:
    """An agent with a directory of its own, an SQLite store, and one way in."""

    def __init__(self, binary: Path, directory: Path, way: str, token: str = "") -> None:
        self._binary = binary
        self.directory = directory
        self.log = directory / "logs" / "app.log"
        self.log.parent.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = (directory / "stderr").open("ab")
        if way == "tcp":
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                listen = f"127.0.0.1:{s.getsockname()[1]}"
            self.address = "http://" + listen
        elif way == "unix":
            listen = f"unix:{directory}/s"
            self.address = f"unix://{directory}/s"
        else:
            listen = ""
            self.address = f"file://{self.log}"
        self._config = directory / "agent.yaml"
        self._config.write_text(
            f"""
agent: {{id: test, state_dir: {directory}/state}}
files: [{{include: ["{directory}/logs/*.log*"], trust_ids: true}}]
ingest: {{listen: "{listen}", token: "{token}"}}
store: {{sqlite: {{path: {directory}/store.db}}}}
admin: {{listen: ""}}
"""
        )

    def start(self) -> None:
        said = self._said().count('"started"')
        self._process = process = subprocess.Popen([self._binary, "run", "-c", self._config], stderr=self._stderr)
        eventually(lambda: self._said().count('"started"') > said or process.poll() is not None)
        assert process.poll() is None, self._said()

    def _said(self) -> str:
        return (self.directory / "stderr").read_text()

    def stop(self) -> None:
        """Let the agent store what it has, and end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0, self._said()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stored(self, *args: str) -> list[dict[str, Any]]:
        """Stop the agent if it runs, and return what is in the store, oldest first."""
        if self._process is not None:
            self.stop()
        out = subprocess.run(
            [self._binary, "query", "-c", self._config, "--json", "--limit", "0", "--sort", "@timestamp", *args],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        return [json.loads(line) for line in out.splitlines()]

    def close(self) -> None:
        self.kill()
        self._stderr.close()


@pytest.fixture
def new_agent(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Makes agents, not yet started, by their way in: tcp, unix or file."""
    agents: list[Agent] = []

    def make(way: str, token: str = "") -> Agent:
        directory = tmp_path / f"agent{len(agents)}"
        directory.mkdir()
        agents.append(Agent(binary, directory, way, token))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(new_agent: Callable[..., Agent]) -> Agent:
    """A running agent behind a socket."""
    one = new_agent("unix")
    one.start()
    return one


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Scripted:
    """A server that answers each request as `respond` says: a status and headers, or None to hang up."""

    address: str
    requests: list[Request] = field(default_factory=list)
    respond: Callable[[Request], tuple[int, dict[str, str]] | None] = lambda _: (202, {})
    seen: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.requests) >= count, PATIENCE)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one segment

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            answer = script.respond(request)
            with script.seen:
                script.requests.append(request)
                script.seen.notify_all()
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            for name, value in answer[1].items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def eventually(what: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's settings; and a proxy, were it used, would fail them all."""
    for name in ("TRULEDGR_ACTIVITIES_ADDRESS", "TRULEDGR_ACTIVITIES_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert shutil.which("go"), "the tests build the agent: they need Go"
