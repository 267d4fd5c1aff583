"""Golden states: snapshots that earlier versions wrote are read, and what follows is decided well.

`orders.v1.json` is of the version before stops, groups, settlement dates and margin calls, at event
31 of its stream. It is read for ever and never written anew.
"""

from pathlib import Path

from nexustrade.core.codec import Message
from nexustrade.matching.messages import Amended, Removed, SessionOpened, Traded
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.service import account_record, order_record

STATE = Path(__file__).parent / "states" / "orders.v1.json"
SEQ, TS_US = 31, 1_700_000_000_025_000
SHARE = 100_000_000
USD = 10_000


def loaded() -> OrdersStage:
    stage = OrdersStage("orders-0")
    stage.load(STATE.read_bytes(), SEQ, TS_US)
    stage.verify()
    return stage


def take(stage: OrdersStage, command: Message) -> list[Message]:
    events = [r.event for r in stage.take(command, stage.ts_us + 1, "test")]
    stage.verify()
    return events


def test_accounts_orders_and_fees_are_as_they_were() -> None:
    stage = loaded()
    accounts = stage.accounts
    assert {name: (a.cash, a.reserved) for name, a in accounts.items()} == {
        "cash": (8_499_37, 670_34),
        "margin": (20_300_00, 300_00),
        "maker": (1_001_200_00, 0),
    }
    assert (stage.house_fees, stage.paid_in, stage.imbalance()) == (63, 1_030_000_00, 0)
    assert {
        name: {
            symbol: (p.qty // SHARE, p.available() // SHARE) for symbol, p in a.positions.items()
        }
        for name, a in accounts.items()
    } == {
        "cash": {"XYZ": (7, 0), "ABC": (15, 9)},
        "margin": {"ABC": (-3, 1), "XYZ": (0, 0)},
        "maker": {"ABC": (88, 88)},
    }
    assert {o.order_id: o.ord_status for a in accounts.values() for o in a.open.values()} == {
        "bid": "PENDING_REPLACE",
        "gtd": "NEW",
        "out": "NEW",
        "xyz": "NEW",
        "cover": "PENDING_CANCEL",
        "long": "NEW",
    }
    assert [o.order_id for o in stage.closed] == ["filled", "ask", "part", "short", "gone"]
    assert stage.instruments["XYZ"].state == "RESTRICTED"


def test_what_did_not_exist_then_is_as_if_it_never_had_been_used() -> None:
    stage = loaded()
    assert (stage.trade_date, stage.settle_date, stage.settled_date) == ("", "", "")
    assert (stage.groups, stage.loans, stage.busted) == ({}, {}, {})
    record = account_record(stage, stage.accounts["cash"])
    assert (record.settled_cash, record.withdrawable) == (8_499_37, 7_829_03)
    assert (record.unsettled, record.unsettled_usable, record.frozen) == ({}, True, False)
    assert (record.margin_call, record.restricted_until) == (0, "")
    order = order_record(stage.orders["out"])
    assert (order.stop_px, order.order_class, order.role, order.held) == (0, "", "", False)


def test_it_goes_on_from_there() -> None:
    stage = loaded()
    assert take(stage, Amended("bid-2", "bid", "cash", "ABC", 96 * USD, 6 * SHARE)) == [
        m.OrderReplaced("cash", "bid-2", "bid")
    ]
    assert take(stage, Removed("cover", "margin", "ABC", 2 * SHARE, "BY_REQUEST")) == [
        m.OrderCanceled("margin", "cover", 2 * SHARE, "BY_REQUEST")
    ]
    assert take(stage, SessionOpened("2026-11-24", "2026-11-26")) == [
        m.SessionBegun("2026-11-24", "2026-11-26")
    ]
    # From here on what is traded settles later.
    sold = Traded(9, "ABC", "BUY", 120 * USD, 6 * SHARE, "out", "cash", 0, "x", "other", True)
    assert take(stage, sold) == [
        m.OrderFilled(
            "cash", "out", "ABC", "SELL", 120 * USD, 6 * SHARE, 720_00, 8, "MAKER", 9, True,
            "2026-11-24", "2026-11-26",
        )
    ]  # fmt: skip
    record = account_record(stage, stage.accounts["cash"])
    assert (record.settled_cash, record.unsettled) == (8_499_37, {"2026-11-26": 719_92})
    assert take(stage, m.CheckMargin(1_000)) == []
    assert take(stage, m.SettleDay("2026-11-26")) == [m.DaySettled("2026-11-26")]
    assert account_record(stage, stage.accounts["cash"]).settled_cash == 9_219_29


def test_written_anew_it_is_the_same_state() -> None:
    stage = loaded()
    again = OrdersStage("orders-0")
    again.load(stage.dump(), SEQ, TS_US)
    again.verify()
    assert again.dump() == stage.dump()
