"""A proxy between a store and its server that loses chosen parts of the conversation."""

import asyncio
import os
from enum import Enum
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

COPY_DONE = b"c\x00\x00\x00\x04"
"""The message after which the server commits, at the end of what a store sends."""
SOCKET_NAME = ".s.PGSQL.5432"


class Loss(Enum):
    """What is lost, once; the connection is cut there."""

    NOTHING = 0
    ROWS = 1
    """The rows do not arrive: the server never hears of the commit."""
    COPY_DONE = 2
    """The commit does not arrive."""
    ANSWER = 3
    """The commit arrives, its answer does not."""
    STALL = 4
    """Nothing passes any more, and nothing is cut."""


class Proxy:
    """Listens on a unix socket of its own and passes everything on to the server's."""

    def __init__(self, directory: Path, dsn: str) -> None:
        self.loss = Loss.NOTHING
        self.lost = asyncio.Event()
        self.refusing = False
        self.connections = 0
        self._directory = directory
        self._dsn = dsn
        host = conninfo_to_dict(dsn)["host"]
        self._server_path = f"{host}/{SOCKET_NAME}"
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; returns the DSN of the way through here."""
        # A path relative to this process is short enough for a socket, wherever the tests run.
        place = os.path.relpath(self._directory)
        place = min(place, str(self._directory), key=len)
        self._server = await asyncio.start_unix_server(self._serve, f"{place}/{SOCKET_NAME}")
        return make_conninfo(self._dsn, host=str(self._directory))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            # One that stalls does not see the cut: its answering half does, and ends both.
            await asyncio.gather(*self._tasks)
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self.connections += 1
        to_reader, to_writer = await asyncio.open_unix_connection(self._server_path)
        self._open |= {writer, to_writer}
        session = Session()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._requests(reader, to_writer, session))
                ways.create_task(self._answers(to_reader, writer, session))
        except* OSError:
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, to_writer):
                end.transport.abort()
                self._open.discard(end)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: "Session"
    ) -> None:
        while request := await reader.read(1 << 20):
            if self.loss is Loss.STALL:
                await self._stall()
            if session.copying and self.loss is Loss.ROWS:
                self._lose()
            if session.copying and request.endswith(COPY_DONE):
                session.copying = False
                if self.loss is Loss.COPY_DONE:
                    self._lose()
                session.ending = self.loss is Loss.ANSWER
            session.copying = session.copying or b"COPY order_events" in request
            writer.write(request)
            await writer.drain()
        raise ConnectionResetError

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: "Session"
    ) -> None:
        while answer := await reader.read(1 << 20):
            if session.ending and b"COMMIT\x00" in answer:
                self._lose()
            writer.write(answer)
            await writer.drain()
        raise ConnectionResetError

    def _lose(self) -> None:
        self.loss = Loss.NOTHING
        self.lost.set()
        raise ConnectionResetError

    async def _stall(self) -> None:
        self.lost.set()
        await asyncio.Event().wait()


class Session:
    """Where a conversation stands."""

    def __init__(self) -> None:
        self.copying = False
        self.ending = False
