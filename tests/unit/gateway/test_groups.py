"""Groups over HTTP and on the stream: what is asked for, shown with its legs, refused and told."""

import json
from typing import Any

import httpx
import pytest

from nexustrade.core import terms
from nexustrade.core.codec import Message
from nexustrade.gateway.stream import trade_updates
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import SIBLING_ELECTED
from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import ALICE, Setup

SHARE = 100_000_000

OCO: dict[str, Any] = {
    "symbol": "AAPL",
    "qty": "10",
    "side": "sell",
    "type": "limit",
    "time_in_force": "gtc",
    "order_class": "oco",
    "take_profit": {"limit_price": "110"},
    "stop_loss": {"stop_price": "90"},
}
BRACKET = OCO | {"order_class": "bracket", "side": "buy", "limit_price": "95"}


async def posted(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v2/orders", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    order: dict[str, Any] = answer.json()
    return order


def told(venue: Setup, event: Message, order_id: str, ts_us: int = 0) -> list[tuple[str, str]]:
    """What the stream tells of an event: its name and the role of the order."""
    entry = LogEntry("orders-0", 1, ts_us, "test", event)
    updates = trade_updates(entry, venue.venue.order(order_id), venue.venue)
    return [(update.event, str(update.order.role)) for update in updates]


async def test_an_oco_is_its_take_profit_with_the_stop_loss_as_its_leg(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice, OCO)
    assert (order["type"], order["limit_price"], order["role"]) == ("limit", "110", "take_profit")
    assert [(leg["type"], leg["stop_price"], leg["status"]) for leg in order["legs"]] == [
        ("stop", "90", "held")
    ]
    command = venue.venue.commands[-1]
    assert isinstance(command, m.SubmitGroup)
    assert command.group_id == command.tp_order_id == order["id"] < command.sl_order_id


async def test_a_bracket_is_its_entry_with_two_legs(alice: httpx.AsyncClient) -> None:
    order = await posted(alice, BRACKET)
    assert (order["limit_price"], order["role"]) == ("95", "entry")
    assert [(leg["role"], leg["side"]) for leg in order["legs"]] == [
        ("take_profit", "sell"),
        ("stop_loss", "sell"),
    ]
    nested = (await alice.get("/v2/orders?nested=True")).json()
    assert [(row["id"], len(row["legs"])) for row in nested] == [(order["id"], 2)]
    flat = (await alice.get("/v2/orders")).json()
    assert [row["legs"] for row in flat] == [None] * 3


@pytest.mark.parametrize("reason", [m.OCO_PRICES_DO_NOT_STRADDLE, m.STOP_WOULD_TRIGGER])
async def test_what_the_book_refuses_in_its_own_command_is_not_answered_as_taken(
    venue: Setup, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    submit = venue.venue._submit_group

    def submit_and_end(command: m.SubmitGroup) -> Any:
        entries = submit(command)
        for order_id in (command.tp_order_id, command.sl_order_id):
            venue.venue.end(order_id, reason)
        return entries

    monkeypatch.setattr(venue.venue, "_submit_group", submit_and_end)
    answer = await alice.post("/v2/orders", content=json.dumps(OCO))
    assert (answer.status_code, answer.json()["code"]) == (422, 42210000)
    assert reason.lower() not in answer.json()["message"]


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        (m.ORDER_CLOSED, 422, 'order is already in "closed" state'),
        (m.NOT_TRADABLE, 422, 'asset "AAPL" is not tradable'),
        (m.UNKNOWN_GROUP, 404, "group not found for {group_id}"),
    ],
)
async def test_a_change_of_a_group_that_is_refused(
    venue: Setup, alice: httpx.AsyncClient, reason: str, code: int, text: str
) -> None:
    group_id = (await posted(alice, OCO))["id"]
    venue.venue.refuse_with = m.GroupAmendRejected(ALICE, group_id, reason)
    answer = await alice.patch(f"/v1/groups/{group_id}", content='{"qty":"5"}')
    assert (answer.status_code, answer.json()["message"]) == (code, text.format(group_id=group_id))


async def test_a_groups_quantity_and_its_end(alice: httpx.AsyncClient) -> None:
    path = f"/v1/groups/{(await posted(alice, OCO))['id']}"
    changed = (await alice.patch(path, content='{"qty":"5"}')).json()
    assert [order["qty"] for order in changed["orders"]] == ["5", "5"]
    assert (await alice.delete(path)).status_code == 204
    assert {order["status"] for order in (await alice.get(path)).json()["orders"]} == {"canceled"}


async def test_nobody_sees_the_group_of_another(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    path = f"/v1/groups/{(await posted(alice, OCO))['id']}"
    assert (await bob.get("/v1/groups")).json() == []
    for answer in (
        await bob.get(path),
        await bob.patch(path, content='{"qty":"5"}'),
        await bob.delete(path),
    ):
        assert answer.status_code == 404


async def test_an_elected_stop_is_new_once_its_take_profit_is_canceled(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice, OCO)
    tp, sl = order["id"], order["legs"][0]["id"]
    venue.venue.change(sl, ord_status=terms.NEW)
    assert told(venue, m.OrderTriggered(ALICE, sl, 900_000, 1), sl) == []
    venue.venue.change(tp, ord_status=terms.CANCELED, leaves_qty=0)
    canceled = m.OrderCanceled(ALICE, tp, 10 * SHARE, SIBLING_ELECTED)
    assert told(venue, canceled, tp) == [("canceled", "take_profit"), ("new", "stop_loss")]
    # Where the take-profit has gone before, there is nothing to wait for.
    assert told(venue, m.OrderTriggered(ALICE, sl, 900_000, 1), sl) == [("new", "stop_loss")]


async def test_a_stop_that_is_alone_is_restated_when_it_is_elected(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice, BRACKET | {"order_class": "oto", "take_profit": None})
    sl = order["legs"][0]["id"]
    assert told(venue, m.OrderTriggered(ALICE, sl, 900_000, 1), sl) == [("restated", "stop_loss")]
    entry = order["id"]
    triggered = m.OrderTriggered(ALICE, entry, 900_000, 1)
    assert told(venue, triggered, entry) == [("restated", "entry")]


async def test_a_leg_comes_alive_once(venue: Setup, alice: httpx.AsyncClient) -> None:
    order = await posted(alice, BRACKET)
    tp = order["legs"][0]["id"]
    venue.venue.change(tp, ord_status=terms.NEW, updated_us=7)
    first = m.LegsActivated(ALICE, order["id"], 4 * SHARE, tp_order_id=tp)
    assert told(venue, first, order["id"], ts_us=7) == [("new", "take_profit")]
    later = m.LegsActivated(ALICE, order["id"], 10 * SHARE, tp_order_id=tp)
    assert told(venue, later, order["id"], ts_us=8) == []
