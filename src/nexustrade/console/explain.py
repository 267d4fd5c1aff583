"""`nexustrade explain`: all that became of an order or its group, each effect after its cause."""

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Annotated, Any, Final

import psycopg
from cyclopts import Parameter
from psycopg import Connection, IsolationLevel

import nexustrade.orders.messages  # noqa: F401 - the codec knows all events from here on
from nexustrade.console.databases import database
from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import OK, UNREACHABLE, CommandError, print_rows
from nexustrade.console.story import Told, cause_of, lines, place, tell
from nexustrade.core.codec import decode, encode
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import Traded

EVENTS_MAX: Final = 100_000
"""Most events of one story; an order with more is exported, not explained."""
CONNECT_TIMEOUT_S: Final = 5

_COLUMNS: Final = ("number", "time", "at", "by", "event", "words")

# Each of these has an index of its own (migrations of the trading database).
_EVENTS: Final = """
    SELECT shard, seq, (extract(epoch FROM event_time) * 1000000)::bigint, cause, event_type,
        payload::text
    FROM order_events
"""
_OF_ORDERS: Final = _EVENTS + " WHERE order_id = ANY(%(ids)s) AND order_id IS NOT NULL LIMIT %(n)s"
_OF_GROUPS: Final = _EVENTS + " WHERE group_id = ANY(%(ids)s) AND group_id IS NOT NULL LIMIT %(n)s"
_OF_TAKE_PROFIT: Final = _EVENTS + (
    " WHERE payload->>'tp_order_id' = ANY(%(ids)s) AND event_type = 'GroupAccepted' LIMIT %(n)s"
)
_OF_STOP_LOSS: Final = _EVENTS + (
    " WHERE payload->>'sl_order_id' = ANY(%(ids)s) AND event_type = 'GroupAccepted' LIMIT %(n)s"
)
_OF_REPLACED: Final = _EVENTS + (
    " WHERE payload->>'orig_order_id' = ANY(%(ids)s)"
    " AND event_type IN ('ReplaceRequested', 'ReplaceRejected') LIMIT %(n)s"
)
_AT: Final = _EVENTS + (
    " JOIN unnest(%(shards)s::text[], %(seqs)s::bigint[]) AS wanted (s, n)"
    " ON shard = s AND seq = n LIMIT %(n)s"
)
_FILLS: Final = _EVENTS + (
    " WHERE order_id = ANY(%(ids)s) AND order_id IS NOT NULL AND event_type = 'OrderFilled'"
    " AND cause = ANY(%(causes)s) LIMIT %(n)s"
)
_OF_CLIENT: Final = (
    """
    SELECT account_id, order_id, event_time FROM order_events
    WHERE cl_ord_id = %(id)s AND cl_ord_id IS NOT NULL
        AND event_type IN ('OrderAccepted', 'ReplaceRequested')
    """,
    """
    SELECT account_id, group_id, event_time FROM order_events
    WHERE cl_ord_id = %(id)s AND cl_ord_id IS NOT NULL AND event_type = 'GroupAccepted'
    """,
    """
    SELECT account_id, payload->>'tp_order_id', event_time FROM order_events
    WHERE payload->>'tp_cl_ord_id' = %(id)s AND event_type = 'GroupAccepted'
    """,
    """
    SELECT account_id, payload->>'sl_order_id', event_time FROM order_events
    WHERE payload->>'sl_cl_ord_id' = %(id)s AND event_type = 'GroupAccepted'
    """,
)
"""The orders of a client order id. Each has an index that begins with the account."""


def explain(
    order: Annotated[str, Parameter(help="An order's id or client order id, or a group's.")],
    /,
    *,
    account: Annotated[str, Parameter(help="Whose client order id it is; finds it faster.")] = "",
    answer: Answer = PLAIN,
) -> int:
    """Tell all that became of an order and its group, each effect after what caused it.

    Reads the event store, whether the venue runs or not: the events of the group's orders in all
    streams, those that caused them, and the other side of their trades. --json gives JSON lines.
    """
    with database(answer.directory, "trading") as dsn:
        told = tell(_read(dsn, order, account))
    if answer.json:
        _print_lines(told)
    else:
        rows = [_shown(row) for row in lines(told)]
        print_rows(rows, _COLUMNS, as_json=False)
    return OK


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the table has it: effects further in than their causes."""
    by = row["cause"] if row["by"] is None else f"#{row['by']}"
    return row | {"by": by, "words": "  " * row["depth"] + row["words"]}


def _print_lines(told: Sequence[Told]) -> None:
    for row, one in zip(lines(told), told, strict=True):
        message = json.loads(encode(one.entry.event))
        print(json.dumps(row | {"message": message}, ensure_ascii=False))  # noqa: T201


def _read(dsn: str, order: str, account: str) -> list[LogEntry]:
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            # All look-ups see the same moment.
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            reader = _Reader(connection)
            reader.find(order)
            if not reader.found:
                reader.find(_named(connection, order, account))
            reader.add_causes()
            reader.add_other_sides()
            return list(reader.found.values())
    except psycopg.Error as error:
        raise CommandError(f"the event store does not answer: {error}", UNREACHABLE) from None


def _named(connection: Connection, cl_ord_id: str, account: str) -> str:
    """The latest order that has a client order id."""
    of_account = " AND account_id = %(account)s" if account else ""
    rows: list[tuple[Any, ...]] = []
    for query in _OF_CLIENT:
        wanted = {"id": cl_ord_id, "account": account}
        rows += connection.execute((query + of_account).encode(), wanted).fetchall()
    if not rows:
        raise CommandError(f"there is no order {cl_ord_id}")
    accounts = sorted({row[0] for row in rows})
    if len(accounts) > 1:
        told = ", ".join(accounts)
        raise CommandError(f"several accounts have used {cl_ord_id}, give --account: {told}")
    return str(max(rows, key=itemgetter(2))[1])


class _Reader:
    """Finds the events of an order and its group, and of all orders that belong to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.found: dict[str, LogEntry] = {}
        self._orders: set[str] = set()
        self._groups: set[str] = set()

    def find(self, name: str) -> None:
        """Add all events of an order or a group, and of what turns out to be theirs."""
        orders, groups = {name}, {name}
        while orders or groups:
            self._orders |= orders
            self._groups |= groups
            new = self._select(_OF_GROUPS, ids=list(groups)) if groups else []
            if orders:
                for query in (_OF_ORDERS, _OF_TAKE_PROFIT, _OF_STOP_LOSS, _OF_REPLACED):
                    new += self._select(query, ids=list(orders))
            orders = {name for one in new for name in _orders_of(one.event)} - self._orders
            groups = {getattr(one.event, "group_id", "") for one in new} - self._groups - {""}

    def add_causes(self) -> None:
        """Add the events that caused those found, and what caused them, up to the commands."""
        wanted = self._causes(self.found.values())
        while wanted:
            shards, seqs = zip(*wanted, strict=True)
            wanted = self._causes(self._select(_AT, shards=list(shards), seqs=list(seqs)))

    def add_other_sides(self) -> None:
        """Add the fills of the others in the trades of these orders."""
        sides: set[str] = set()
        causes: list[str] = []
        for at, entry in self.found.items():
            e = entry.event
            if isinstance(e, Traded) and {e.maker_order_id, e.taker_order_id} & self._orders:
                sides |= {e.maker_order_id, e.taker_order_id}
                causes.append(at)
        if causes:
            self._select(_FILLS, ids=list(sides - self._orders), causes=causes)

    def _causes(self, entries: Iterable[LogEntry]) -> set[tuple[str, int]]:
        """The places of causes that are not found yet."""
        named = {name for one in entries for name in (one.cause, cause_of(one))}
        return {
            (shard, int(seq))
            for shard, _, seq in (name.partition(":") for name in named - set(self.found))
            if seq.isdecimal()
        }

    def _select(self, query: str, **values: object) -> list[LogEntry]:
        """The events of a query that are new."""
        bounded = {**values, "n": EVENTS_MAX + 1}
        new: list[LogEntry] = []
        for shard, seq, ts_us, cause, event_type, payload in self._connection.execute(
            query.encode(), bounded
        ):
            entry = LogEntry(shard, seq, ts_us, cause, decode(event_type, payload))
            if place(entry) not in self.found:
                self.found[place(entry)] = entry
                new.append(entry)
        if len(self.found) > EVENTS_MAX:
            raise CommandError(f"it has more than {EVENTS_MAX} events: see `nexustrade export`")
        return new


def _orders_of(event: object) -> set[str]:
    """The orders that an event makes part of the story; a group has the id of its parent."""
    names = ("order_id", "orig_order_id", "tp_order_id", "sl_order_id", "group_id")
    return {getattr(event, name, "") for name in names} - {""}
