"""Undone trades, kill switches and snapshots of accounts with groups."""

import random

import pytest

from nexustrade.core.codec import Message
from nexustrade.matching.messages import CloseSession, OpenSession
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from tests.two_stages import TwoStages
from tests.unit.orders.test_admission import bracket, oco
from tests.unit.orders.test_orders_stage import (
    SHARE,
    USD,
    Given,
    cash,
    margin,
    order,
    shares,
    trade,
)


def bust(side: str, name: str, qty: int, trade_id: int = 7) -> m.BustTrade:
    """A trade of `ann` at 100 is undone; the other side is of another partition."""
    ann, other = ("ann", name), ("other", "x")
    (buyer, buy_order), (seller, sell_order) = (ann, other) if side == "BUY" else (other, ann)
    return m.BustTrade(
        "ABC", trade_id, 100 * USD, qty * SHARE, buyer, buy_order, 0, seller, sell_order, 0
    )


def names(events: list[Message]) -> list[str]:
    return [type(e).__name__ for e in events]


def traded(g: Given, name: str, side: str, qty: int) -> None:
    g.when(order(name, side, qty, 100))
    g.when(trade("else", name, 100, qty, taker_side=side))


# ---------------------------------------------------------------- deliveries


def test_no_shares_are_delivered_while_a_bracket_is_about_to_sell_short() -> None:
    g = Given(margin(), bracket("SELL"))
    before = g.stage.dump()
    assert g.when(shares(5)) == [
        m.CommandRejected(
            "ann",
            "AdjustPosition",
            m.INVALID_ORDER,
            "a bracket that sells ABC short is open: cancel it first",
        )
    ]
    assert g.stage.dump() == before


def test_shares_are_delivered_beside_a_bracket_that_buys() -> None:
    g = Given(margin(), bracket("BUY"))
    assert names(g.when(shares(5))) == ["PositionAdjusted"]


# ---------------------------------------------------------------- undone trades


def test_exits_of_shares_that_are_not_there_any_more_are_cancelled() -> None:
    g = Given(cash())
    traded(g, "b", "BUY", 10)
    g.all(oco(), order("bid", "BUY", 1, 50))
    assert g.when(bust("BUY", "b", 10)) == [
        m.TradeBusted("ann", "b", "ABC", "BUY", 100 * USD, 10 * SHARE, 1_000_00, 0, 7),
        m.CancelRequested("ann", "tp", "ABC", "tp"),
    ]
    account = g.stage.accounts["ann"]
    assert (account.cash, account.overdrawn) == (100_000_00, {"ABC": True})


def test_what_is_still_covered_stays() -> None:
    g = Given(cash(), shares(10))
    traded(g, "b", "BUY", 10)
    g.when(oco())
    assert names(g.when(bust("BUY", "b", 10))) == ["TradeBusted"]
    assert g.stage.accounts["ann"].overdrawn == {}


def test_a_bracket_whose_entry_would_close_what_an_undone_trade_brought_is_cancelled() -> None:
    # A long that was closed is there again: the short that the bracket opens would not be one.
    g = Given(margin(), shares(5))
    traded(g, "s", "SELL", 5)
    g.when(bracket("SELL"))
    assert g.when(bust("SELL", "s", 5))[1:] == [m.CancelRequested("ann", "g", "ABC", "g")]
    # Asked for once.
    assert g.when(bust("SELL", "s", 5)) == [
        m.CommandRejected("ann", "BustTrade", m.UNKNOWN_TRADE, "trade 7 of ABC is undone already")
    ]
    # A short that was bought back is there again.
    g = Given(margin())
    traded(g, "s", "SELL", 5)
    traded(g, "b", "BUY", 5)
    g.when(bracket("BUY"))
    assert names(g.when(bust("BUY", "b", 5))) == ["TradeBusted", "CancelRequested"]
    # One that adds to it stays.
    g = Given(margin(), shares(5))
    traded(g, "s", "SELL", 5)
    g.when(bracket("BUY"))
    assert names(g.when(bust("SELL", "s", 5))) == ["TradeBusted"]


# ---------------------------------------------------------------- switches


def test_the_kill_switch_ends_groups_as_a_whole_and_asks_once() -> None:
    g = Given(cash(), shares(20), oco(), order("bid", "BUY", 1, 50))
    blocked = m.AccountBlocked("ann", True, "")
    assert g.when(m.BlockAccount("ann", True)) == [
        blocked,
        m.CancelRequested("ann", "tp", "ABC", "tp"),
        m.CancelRequested("ann", "bid", "ABC"),
    ]
    assert g.when(m.BlockAccount("ann", True)) == [blocked]


def test_a_side_is_cancelled_with_the_groups_that_have_orders_of_it() -> None:
    g = Given(cash(), bracket(), order("bid", "BUY", 1, 50))
    assert g.when(m.CancelAllOrders("ann", "ABC", "SELL")) == [
        m.CancelRequested("ann", "g", "ABC", "g")
    ]


# ---------------------------------------------------------------- snapshots


def same(stage: OrdersStage) -> OrdersStage:
    """The stage made again from its snapshot, which is the same to the byte."""
    again = OrdersStage(stage.shard)
    again.load(stage.dump(), stage.seq, stage.ts_us)
    again.verify()
    assert again.dump() == stage.dump()
    return again


def test_a_snapshot_carries_groups_loans_amends_and_undone_trades() -> None:
    g = Given(margin(taker_fee_ppm=700), shares(35))
    traded(g, "s", "SELL", 5)
    g.all(
        oco(auto_shrink=True, qty=20),
        oco(qty=5, group_id="t2", cl_ord_id="t2", tp_order_id="t2", sl_order_id="s2"),
        order("loan", "SELL", 10, 120),
        m.AmendGroup("ann", "t2", 4 * SHARE),
        bracket(),
        bust("SELL", "s", 5),
        m.ReplaceOrder("ann", "t3", "tp", "t3", limit_px=115 * USD),
        m.CancelGroup("ann", "g"),
        m.FreezeAccount("ann", True),
    )
    again, stage = same(g.stage), g.stage
    assert again.loans == stage.loans == {"loan": {"tp": 5 * SHARE}}
    assert again.busted == stage.busted == {"ABC:7": True}
    assert again.groups["tp"].row() == stage.groups["tp"].row()
    assert (again.groups["t2"].amend_qty, again.groups["g"].canceling) == (4 * SHARE, True)
    one, other = again.accounts["ann"], stage.accounts["ann"]
    assert (one.shrinkable, one.frozen, list(one.groups)) == (1, True, ["tp", "t2", "g"])
    for name in ("qty", "cost_e12", "held_qty", "covered_qty", "open_sell_qty", "open_buy_qty"):
        assert getattr(one.positions["ABC"], name) == getattr(other.positions["ABC"], name), name
    assert again.orders["tp"].replacement is not None
    assert again.orders["tp"].group is again.groups["tp"]
    assert one.cl_ord_ids == other.cl_ord_ids


# ---------------------------------------------------------------- random days


class Days:
    """Accounts of both kinds that trade, group, change and cancel at random, day after day."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.venue = TwoStages(2, 1)
        self.venue.list("ABC", shortable=True, marginable=True, fractionable=True)
        self.venue.open("rich")
        self.venue.run(m.AdjustPosition("rich", "ABC", 10_000 * SHARE, 90 * USD))
        self.accounts = ["c1", "c2", "m1", "m2"]
        for name in self.accounts:
            kind, usd = ("CASH", 3_000) if name.startswith("c") else ("MARGIN", 600)
            self.venue.open(name, kind, cash=usd * 100, shorting=True, taker_fee_ppm=700)
            if kind == "CASH":
                self.venue.run(m.AdjustPosition(name, "ABC", 20 * SHARE, 90 * USD))
        self.count = 0
        self.day = 0
        self.opened = False

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def last(self) -> int:
        return self.venue.orders[0].instruments["ABC"].last_px // USD

    def next(self) -> Message:
        rng = self.rng
        kind = rng.choices(
            ["order", "group", "change", "cancel", "rich", "margin", "settle", "session"],
            [30, 20, 12, 5, 12, 6, 3, 4],
        )[0]
        account = rng.choice(self.accounts)
        if kind == "order":
            return self._order(account)
        if kind == "group":
            return self._group(account)
        if kind in ("change", "cancel"):
            found = [
                o for s in self.venue.orders for a in s.accounts.values() for o in a.open.values()
            ]
            if not found:
                return m.CheckMargin(1_000)
            one, new = rng.choice(found), self.name()
            if kind == "cancel":
                return m.CancelOrder(one.account_id, one.order_id)
            px = max(1, one.limit_px // USD + rng.randint(-3, 3)) * USD if one.limit_px else 0
            qty = rng.choice([0, rng.randint(1, 20) * SHARE])
            return m.ReplaceOrder(one.account_id, new, one.order_id, new, qty, px)
        if kind == "rich":
            px = max(20, self.last() * rng.choice([75, 92, 108, 135]) // 100)
            side = rng.choice(["BUY", "SELL"])
            return self._limit("rich", side, rng.randint(1, 30), px)
        if kind == "margin":
            return m.CheckMargin(rng.choice([1, 10_000]))
        if kind == "settle":
            return m.SettleDay(self._date(self.day - rng.randint(0, 3)))
        self.opened = not self.opened
        if not self.opened:
            return CloseSession(self._date(self.day))
        self.day += 1
        return OpenSession(self._date(self.day), self._date(self.day + 2))

    def _date(self, day: int) -> str:
        return f"2026-03-{min(max(day, 1), 31):02}"

    def _limit(self, account: str, side: str, qty: int, px: int) -> Message:
        name = self.name()
        return m.SubmitOrder(
            account, name, name, "ABC", side, "LIMIT", "GTC", qty * SHARE, limit_px=px * USD
        )

    def _order(self, account: str) -> Message:
        rng, name, side = self.rng, self.name(), self.rng.choice(["BUY", "SELL"])
        kind = rng.choice(["LIMIT", "LIMIT", "MARKET", "STOP", "NOTIONAL"])
        qty = rng.randint(1, 15)
        if kind == "LIMIT":
            return self._limit(account, side, qty, max(1, self.last() + rng.randint(-4, 4)))
        if kind == "STOP":
            px = max(1, self.last() + rng.randint(1, 5) * (1 if side == "BUY" else -1))
            return m.SubmitOrder(
                account, name, name, "ABC", side, "STOP", "GTC", qty * SHARE, stop_px=px * USD
            )
        notional = rng.randint(1, 1_500) * 100 if kind == "NOTIONAL" else 0
        return m.SubmitOrder(
            account,
            name,
            name,
            "ABC",
            side,
            "MARKET",
            "DAY",
            0 if notional else qty * SHARE,
            notional,
        )

    def _group(self, account: str) -> Message:
        rng, name = self.rng, self.name()
        order_class, side = rng.choice(["OCO", "BRACKET", "OTO"]), rng.choice(["BUY", "SELL"])
        up = 1 if (side == "SELL") == (order_class == "OCO") else -1
        base = self.last() if order_class == "OCO" else max(10, self.last() + rng.randint(-3, 3))
        one = rng.choice(["tp", "sl"]) if order_class == "OTO" else ""
        tp_id = name if order_class == "OCO" else f"{name}-tp"
        full = rng.random() < 0.3
        return m.SubmitGroup(
            account, name, name, order_class, "ABC", side, rng.choice(["DAY", "GTC"]),
            rng.randint(1, 12) * SHARE, "LIMIT", 0 if order_class == "OCO" else base * USD,
            tp_order_id="" if one == "sl" else tp_id,
            tp_limit_px=max(1, base + up * rng.randint(1, 5)) * USD,
            sl_order_id="" if one == "tp" else f"{name}-sl",
            sl_stop_px=max(1, base - up * rng.randint(1, 5)) * USD,
            policy="CANCEL" if full else "REDUCE",
            activation="FULL" if full else "PARTIAL",
            auto_shrink=rng.random() < 0.3,
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_shares_and_cash_are_promised_once_on_random_days(seed: int) -> None:
    days = Days(seed)
    venue = days.venue
    for _ in range(250):
        venue.run(days.next())
        venue.verify()
        for stage in venue.orders:
            for account in stage.accounts.values():
                assert account.dues.awaited >= 0
                if account.account_type == "CASH":
                    assert account.cash - account.reserved >= 0
                    assert all(p.qty >= 0 for p in account.positions.values())
    for stage in venue.orders:
        same(stage)
    twin = venue.replayed()
    for shard in venue.stages:
        assert twin.stages[shard].dump() == venue.stages[shard].dump()
