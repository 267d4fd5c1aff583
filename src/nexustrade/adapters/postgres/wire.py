"""One PostgreSQL connection for appending: a whole transaction in two round trips.

`psycopg` makes the connection; the transaction itself is driven on its libpq handle, because a
simple query may hold BEGIN, the fence, COPY and COMMIT at once. The server runs COMMIT as soon as
the copied rows end, so ending them is the point of no return.
"""

import asyncio
import select
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from nexustrade.core.errors import Fenced, StoreUnavailable
from nexustrade.kernel.ports import CommitUnknown

CHUNK_BYTES_MAX: Final = 256 * 1024
"""Most bytes given to libpq before they are sent."""


class Wire:
    """Runs append transactions on a connection; broken for good after a fault in the middle."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._pgconn: PGconn = connection.pgconn
        self._socket = connection.pgconn.socket
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False

    def broken(self) -> bool:
        """Whether the connection cannot be used any more, as far as that is known by now."""
        if not self.connection.closed and self._poll.poll(0):
            # Nothing is on its way while no statement runs, but a farewell.
            try:
                self._pgconn.consume_input()
            except psycopg.Error:
                self._give_up()
        return self.connection.closed

    async def transact(self, statement: str, fences: int, rows: bytes, timeout_s: float) -> None:
        """Run `BEGIN; <fences statements that each change a row>; ...; COPY; COMMIT`.

        Raises `StoreUnavailable` (nothing was kept), `Fenced` (one of the first `fences`
        statements found no row; nothing was kept) or `CommitUnknown`.
        """
        ending = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._begin(statement, fences)
                await self._send_rows(rows)
                ending = True
                self._pgconn.put_copy_end()
                await self._flush()
                await self._committed()
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._give_up()
            what = str(error).strip() or f"no answer within {timeout_s} s"
            if ending:
                raise CommitUnknown(f"the connection was lost in a commit: {what}") from error
            raise StoreUnavailable(f"the event store is away: {what}") from error
        except (asyncio.CancelledError, CommitUnknown):
            self._give_up()
            raise
        finally:
            self._stop_reading()

    async def _begin(self, statement: str, fences: int) -> None:
        """Send the statement and check every answer up to the one that asks for the rows."""
        self._pgconn.send_query(statement.encode())
        await self._flush()
        changed: list[int | None] = []
        while True:
            result = await self._result()
            if result is None:
                raise psycopg.OperationalError("the transaction ended before its rows")
            if result.status == ExecStatus.COPY_IN:
                break
            await self._ok(result)
            changed.append(result.command_tuples)
        # The first answer is BEGIN's.
        if any(count != 1 for count in changed[1 : 1 + fences]):
            self._pgconn.put_copy_end(b"fenced")
            await self._flush()
            await self._roll_back()
            raise Fenced("another owner has taken over the stream")

    async def _send_rows(self, rows: bytes) -> None:
        view = memoryview(rows)
        for start in range(0, len(rows), CHUNK_BYTES_MAX):
            while self._pgconn.put_copy_data(view[start : start + CHUNK_BYTES_MAX]) == 0:
                await self._ready(writable=True)
            if start + CHUNK_BYTES_MAX < len(rows):
                await self._flush()

    async def _committed(self) -> None:
        """Wait for COPY's and COMMIT's answers.

        An error of COPY aborts the transaction. One that comes later may have come too late for
        that (a cancelled statement): only reading the stream tells then.
        """
        copied = await self._result()
        if copied is None:
            raise CommitUnknown("the rows were not answered")
        await self._ok(copied)
        tags = []
        while (result := await self._result()) is not None:
            tags.append(result.command_status)
        if b"COMMIT" not in tags:
            raise CommitUnknown(f"a commit was answered with {tags!r}")

    async def _ok(self, result: PGresult) -> None:
        """Raise unless a statement succeeded; an error that ends the session says nothing."""
        if result.status in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
            return
        message = result.get_error_message()
        severity = result.error_field(psycopg.pq.DiagnosticField.SEVERITY_NONLOCALIZED)
        if severity != b"ERROR":
            raise psycopg.OperationalError(message)
        await self._roll_back()
        raise StoreUnavailable(f"the event store refused: {message}")

    async def _roll_back(self) -> None:
        """Leave an aborted transaction, so that the connection can be used again."""
        while await self._result() is not None:
            pass
        if self._pgconn.transaction_status == TransactionStatus.INERROR:
            self._pgconn.send_query(b"ROLLBACK")
            await self._flush()
            while await self._result() is not None:
                pass

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await self._ready(writable=True)

    async def _result(self) -> PGresult | None:
        while self._pgconn.is_busy():
            await self._ready(writable=False)
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    async def _ready(self, *, writable: bool) -> None:
        """Wait until the socket can be read, or written too."""
        waiter = self._waiter = self._loop.create_future()
        if not self._reading:
            self._loop.add_reader(self._socket, self._wake)
            self._reading = True
        if writable:
            self._loop.add_writer(self._socket, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if writable:
                self._loop.remove_writer(self._socket)
        if writable:
            # The server may have to be heard before it listens.
            self._pgconn.consume_input()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def _give_up(self) -> None:
        """Cut the connection: the server rolls back whatever it was not told to commit."""
        self._stop_reading()
        self._pgconn.finish()
