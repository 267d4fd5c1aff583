"""A real venue as a process of its own: started, asked, stopped, killed with all it started."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
SECRET = "a-secret-of-the-tests-0123456789abcdef"

VENUE = f"""
[venue]
name = "test venue"

[demo]
enabled = false

[[instruments]]
symbol = "AAPL"
exchange = "NASDAQ"
reference_price = "200"
fractionable = true
shortable = true
marginable = true
tier = 1

[[instruments]]
symbol = "MSFT"
exchange = "NASDAQ"
reference_price = "400"
fractionable = true
shortable = true
marginable = true
tier = 1

[[accounts]]
id = "alice"
type = "margin"
cash = 10_000_000
shorting = true
key = "alice-key"
secret = "{SECRET}"

[[accounts]]
id = "bob"
type = "cash"
cash = 10_000_000
fees = {{ maker = "0.0001", taker = "0.0005" }}
key = "bob-key"
secret = "{SECRET}"
positions = [ {{ symbol = "AAPL", qty = 100_000 }}, {{ symbol = "MSFT", qty = 100_000 }} ]
"""


class Answer(NamedTuple):
    """What an HTTP request brought."""

    status: int
    headers: dict[str, str]
    body: Any


class RunningVenue:
    """`nexustrade up` on a directory. `key` and `secret` are the first account's."""

    def __init__(self, folder: Path, config: str = VENUE, *, demo: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.demo = demo
        self.key = "alice-key"
        self.secret = SECRET
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "venue.toml"
        self.config.write_text(config)

    # -- lifecycle

    def start(self, *, wait: bool = True) -> "RunningVenue":
        """Start it and, unless told otherwise, return once it serves."""
        (self.data / "venue.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "nexustrade", "up", "--config", str(self.config)]
        command += ["--data", str(self.data), "--http", "127.0.0.1:0"]
        command.append("--demo" if self.demo else "--no-demo")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=cleaned_environment()
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Return once the venue has said where it is; fail with its log when it does not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.data / "venue.json").exists():
            assert self.process is not None
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(self.log_path.read_text())
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def kill(self, *, stall_s: float = 0.0) -> None:
        """SIGKILL to the venue, its PostgreSQL server and everything that they started.

        With `stall_s` the server stands still for that long before, as with a disk that fails:
        what the venue says in that time cannot rest on a commit.
        """
        assert self.process is not None
        if stall_s:
            for process in self.server_tree():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
            time.sleep(stall_s)
        # Twice: a process may have started another one after we looked.
        for _ in range(2):
            victims = _tree(self.process.pid) + self.server_tree()
            for victim in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
            self.process.wait()
            psutil.wait_procs(victims, timeout=10)

    def server_tree(self) -> list[psutil.Process]:
        """The PostgreSQL server's processes, its postmaster first."""
        try:
            pid = (self.data / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
        except (FileNotFoundError, IndexError):
            return []
        return _tree(int(pid))

    @property
    def log_path(self) -> Path:
        return self.folder / "venue.log"

    # -- what it tells

    @property
    def described(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data / "venue.json").read_text())
        return content

    @property
    def url(self) -> str:
        return str(self.described["url"])

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://")

    @property
    def admin_key(self) -> str:
        return str(self.described["admin_key"])

    @property
    def admin_secret(self) -> str:
        return str(self.described["admin_secret"])

    @property
    def trading_dsn(self) -> str:
        return str(self.described["trading_dsn"])

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        secret: str | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """One request with an API key (the first account's unless another is named)."""
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=timeout_s)
        headers = {
            "APCA-API-KEY-ID": self.key if key is None else key,
            "APCA-API-SECRET-KEY": self.secret if secret is None else secret,
        }
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, json.loads(raw) if raw else None)

    def admin(self, method: str, path: str, body: object = None) -> Answer:
        """One request with the operator's key."""
        return self.request(method, path, body, key=self.admin_key, secret=self.admin_secret)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cleaned_environment() -> dict[str, str]:
    """The environment without the settings of a venue that somebody may run beside the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NEXUSTRADE")}
