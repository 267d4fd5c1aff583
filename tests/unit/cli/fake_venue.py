"""A venue's HTTP API as far as the command line knows it: records requests, gives set answers."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    key: str
    secret: str
    body: Any


class FakeVenue:
    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("POST", "/v1/keys"): (200, {"key_id": "NXLENT", "secret": "lent secret"}),
            ("DELETE", "/v1/keys/NXLENT"): (204, None),
        }

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, path] = (status, body)

    def of(self, asked: Asked) -> tuple[int, Any]:
        path = asked.path.split("?")[0]
        missing = 404, {"code": 40410000, "message": f"nothing at {path}"}
        return self.answers.get((asked.method, path), missing)

    @property
    def lines(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.asked]


@contextmanager
def fake_venue(directory: Path) -> Iterator[FakeVenue]:
    """Serve one, and describe it in the directory as a running venue does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            key, secret = self.headers["APCA-API-KEY-ID"], self.headers["APCA-API-SECRET-KEY"]
            asked = Asked(self.command, self.path, key, secret, body)
            venue.asked.append(asked)
            status, answer = venue.of(asked)
            raw = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    venue = FakeVenue(f"http://127.0.0.1:{server.server_port}")
    poll_s = 0.01
    thread = threading.Thread(target=server.serve_forever, args=(poll_s,))
    thread.start()
    describe(directory, venue.url)
    try:
        yield venue
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def describe(directory: Path, url: str, pid: int | None = None, **dsns: str) -> None:
    told = {
        "url": url,
        "pid": os.getpid() if pid is None else pid,
        "admin_key": "NXADMIN",
        "admin_secret": "admin secret",
    }
    directory.mkdir(exist_ok=True)
    (directory / "venue.json").write_text(json.dumps(told | dsns))
