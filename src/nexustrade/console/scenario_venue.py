"""A running venue for `nexustrade scenario run --running`: its API, and the events it stores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

import nexustrade.orders.messages  # noqa: F401 - the codec knows all events from here on
from nexustrade.console.databases import database
from nexustrade.console.output import REFUSED, UNREACHABLE, CommandError
from nexustrade.console.story import in_order
from nexustrade.console.venue import Client, Credentials, admin, segment
from nexustrade.core.codec import decode
from nexustrade.core.time import US_PER_S
from nexustrade.kernel.ports import LogEntry
from nexustrade.scenario import plan
from nexustrade.scenario.running import Refused, RunningVenue, key_expiry

KEY_S: Final = 3_600
"""How long the keys of a run live beyond the scenario's own waits."""
CONNECT_TIMEOUT_S: Final = 5

_HEADS: Final = b"SELECT shard, last_seq FROM es_shard"
_NEWER: Final = b"""
    SELECT shard, seq, (extract(epoch FROM event_time) * 1000000)::bigint, cause, event_type,
        payload::text
    FROM order_events JOIN unnest(%(shards)s::text[], %(seqs)s::bigint[]) AS known (s, n)
        ON shard = s AND seq > n
"""


@contextmanager
def running_venue(directory: Path, scenario: plan.Scenario, speed: int) -> Iterator[RunningVenue]:
    """The venue that runs on a directory, with keys for a scenario's accounts."""
    operator = admin(directory)
    lasts_s = sum(step.wait_us * step.repeat for step in scenario.steps) // US_PER_S
    api = _Api(operator, key_expiry(lasts_s + KEY_S))
    with database(directory, "trading") as dsn:
        try:
            with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True) as opened:
                found = RunningVenue(operator.url, api, _events(opened), speed)
                try:
                    yield found
                finally:
                    found.put_away()
                    api.revoke()
        except psycopg.Error as error:
            text = f"the event store does not answer: {error}"
            raise CommandError(text, UNREACHABLE) from None


class _Api:
    """The venue's API, with a key that it lends to each account."""

    def __init__(self, operator: Client, key_ends: str) -> None:
        self._operator = operator
        self._key_ends = key_ends
        self._clients: dict[str, Client] = {"": operator}

    def __call__(
        self, account_id: str, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Any:
        try:
            return self._client(account_id).call(method, path, {}, body)
        except CommandError as error:
            if error.code == REFUSED:
                raise Refused(str(error)) from None
            raise

    def _client(self, account_id: str) -> Client:
        client = self._clients.get(account_id)
        if client is None:
            asked = {"account_id": account_id, "label": "scenario", "expires_at": self._key_ends}
            lent = self._operator.post("/v1/keys", asked)
            client = Client(self._operator.url, Credentials(lent["key_id"], lent["secret"]))
            self._clients[account_id] = client
        return client

    def revoke(self) -> None:
        """Take the keys back."""
        for account_id, client in self._clients.items():
            if account_id:
                self._operator.delete(f"/v1/keys/{segment(client.credentials.key)}")
        self._clients = {"": self._operator}


def _events(connection: "psycopg.Connection[Any]") -> Callable[[], Sequence[LogEntry]]:
    """Reads what is stored that was not when it was last asked, each effect after its cause."""
    seen = dict(connection.execute(_HEADS).fetchall())

    def read() -> Sequence[LogEntry]:
        known = {"shards": list(seen), "seqs": list(seen.values())}
        new = [
            LogEntry(shard, seq, ts_us, cause, decode(event_type, payload))
            for shard, seq, ts_us, cause, event_type, payload in connection.execute(_NEWER, known)
        ]
        for entry in new:
            seen[entry.shard] = max(seen[entry.shard], entry.seq)
        return in_order(new)

    return read
