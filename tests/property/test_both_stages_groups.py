"""Random streams of groups through both stages, in two partitions each: what must always hold.

After every command: the stages' own invariants, conservation, that both stages agree on every open
order and group, and that groups and reservations are what their events alone say (`GroupsTwin`).
"""

import random
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, SELL
from nexustrade.kernel.stage import Stage
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    DefineInstrument,
    GroupGrown,
    InstrumentSplit,
    OpenSession,
    SplitInstrument,
    StopElected,
    Tick,
    Traded,
)
from nexustrade.orders.messages import (
    INSUFFICIENT_BUYING_POWER,
    MARGIN_CALL,
    SETTLED_CASH_ONLY,
    AdjustCash,
    AdjustPosition,
    AmendGroup,
    BustTrade,
    CancelAllOrders,
    CancelGroup,
    CancelOrder,
    CheckMargin,
    FreezeAccount,
    GroupAccepted,
    GroupRejected,
    GroupResized,
    LegsActivated,
    LiquidationStarted,
    OrderDecremented,
    OrderFilled,
    OrderReplaced,
    OrderRestated,
    PositionAdjusted,
    ReplaceOrder,
    ReservationReleased,
    RestrictInstrument,
    SettleDay,
    SubmitGroup,
    SubmitOrder,
    TradeBusted,
)
from nexustrade.orders.risk import excess
from nexustrade.orders.state import Account, Position
from tests.groups_twin import GroupsTwin
from tests.two_stages import Lagging, TwoStages, make_stage

SHARE = 100_000_000
SYMBOLS = ("AAPL", "MSFT")
CLIENTS = ("ann", "bob", "cat", "dan", "eve", "fay")
MAKERS = ("mm-1", "mm-2")
STEP = 5_000
"""Prices are half a dollar apart, so that many orders meet."""
FUNDS = {INSUFFICIENT_BUYING_POWER, SETTLED_CASH_ONLY, MARGIN_CALL}
AAPL = DefineInstrument(
    "AAPL", 100, SHARE, shortable=True, marginable=True, reference_px=1_000_000,
    maintenance_addon_ppm=100_000,
)  # fmt: skip


def venue() -> TwoStages:
    v = TwoStages(2, 2, step_us=8_000_000)
    v.run(AAPL)
    v.list("MSFT", shortable=True, marginable=True, static_band_ppm=200_000, call_s=30)
    v.open("ann", cash=20_000_00, maker_fee_ppm=300, taker_fee_ppm=700)
    v.open("bob", cash=50_000_00, stp="CANCEL_OLDEST", unsettled_usable=False)
    v.open("cat", "MARGIN", cash=3_000_00, shorting=True, stp="DECREMENT", taker_fee_ppm=500)
    v.open("dan", "MARGIN", cash=2_000_00, shorting=True, stp="CANCEL_BOTH")
    v.open("eve", "MARGIN", cash=1_500_00, shorting=True, maker_fee_ppm=-100, taker_fee_ppm=900)
    v.open("fay", "MARGIN", cash=90_000_00, shorting=True, stp="DECREMENT")
    for maker in MAKERS:
        v.open(maker, "MARGIN", cash=10_000_000_00, shorting=True, stp="CANCEL_OLDEST")
        for symbol in SYMBOLS:
            v.run(AdjustPosition(maker, symbol, 10_000 * SHARE, 1_000_000))
    for client in ("ann", "bob"):
        for symbol in SYMBOLS:
            v.run(AdjustPosition(client, symbol, 60 * SHARE, 900_000))
    return v


class Driver:
    """Makes commands from a seed: mostly valid, near the market, of few accounts."""

    def __init__(self, v: TwoStages, seed: int, splits: int = 1) -> None:
        self.v = v
        self.rng = random.Random(seed)
        self.splits = splits
        self.doubled: set[str] = set()
        self.count = 0
        self.day = date(2026, 1, 5)
        self.phase = "CLOSED"
        self.fair = dict.fromkeys(SYMBOLS, 1_000_000)
        self.addon = False
        self.halted: set[str] = set()
        self.frozen: set[str] = set()
        self.trades: dict[tuple[str, int], Traded] = {}
        self.fills: dict[tuple[str, int, str], OrderFilled] = {}

    def hear(self, event: Message) -> None:
        """Remember trades, so that they can be undone."""
        if isinstance(event, Traded):
            self.trades[event.symbol, event.trade_id] = event
            while len(self.trades) > 40:
                del self.trades[next(iter(self.trades))]
        elif isinstance(event, OrderFilled):
            self.fills[event.symbol, event.trade_id, event.side] = event
            while len(self.fills) > 100:
                del self.fills[next(iter(self.fills))]

    def next(self) -> list[Message]:
        if self.rng.random() < (0.012 if self.phase == "OPEN" else 0.25):
            return self._clock()
        if self.halted and self.rng.random() < 0.3:
            return self._halt()
        if self.frozen and self.rng.random() < 0.3:
            return self._freeze()
        kind = self.rng.choices(
            ["quote", "limit", "market", "stop", "oco", "bracket", "cancel", "cancel_group",
             "cancel_all", "replace", "amend", "jump", "halt", "freeze", "bust", "cash", "margin",
             "tick", "against", "house", "split"],
            [18, 10, 6, 6, 24, 20, 5, 3, 1, 9, 5, 7, 2, 2, 2, 2, 2, 2, 4, 1, self.splits],
        )[0]  # fmt: skip
        made: list[Message] = getattr(self, f"_{kind}")()
        return made

    # ------------------------------------------------------------ what there is

    def _name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def _account(self) -> Account:
        return self._of(self.rng.choice(CLIENTS))

    def _of(self, account_id: str) -> Account:
        stage = self.v.stages[self.v.routing.orders_of(account_id)]
        account: Account = stage.accounts[account_id]  # type: ignore[attr-defined]
        return account

    def _position(self, account: Account, symbol: str) -> Position:
        return account.positions.get(symbol) or Position(symbol)

    def _px(self, symbol: str, steps: int, account: Account | None = None) -> int:
        """A price near the market, or near the last price that an account's partition knows."""
        around = self.fair[symbol]
        if account is not None:
            stage = self.v.stages[self.v.routing.orders_of(account.account_id)]
            around = stage.instruments[symbol].last_px  # type: ignore[attr-defined]
        return max(STEP, around // STEP * STEP + steps * STEP)

    def _qty(self, most: int = 12) -> int:
        return self.rng.randint(1, max(1, most)) * SHARE

    def _size(self, account: Account, symbol: str) -> int:
        """How much to open: now and then all that a margin account can."""
        stage = self.v.stages[self.v.routing.orders_of(account.account_id)]
        power = excess(account, stage.instruments)  # type: ignore[attr-defined]
        if account.account_type == "CASH" or power <= 0 or self.rng.random() < 0.6:
            return self._qty()
        return max(1, min(120, power * 196 // self.fair[symbol])) * SHARE

    def _tif(self) -> tuple[str, int]:
        tif = self.rng.choice(["DAY", "DAY", "GTC", "GTC", "GTD"])
        return tif, self.v.now_us + self.rng.randint(1, 400) * 1_000_000 if tif == "GTD" else 0

    # ------------------------------------------------------------ orders

    def _order(
        self, account_id: str, symbol: str, side: str, ord_type: str, tif: str, qty: int,
        **more: object,
    ) -> SubmitOrder:  # fmt: skip
        name = self._name()
        return SubmitOrder(
            account_id, name, name, symbol, side, ord_type, tif, qty, **more  # type: ignore[arg-type]
        )  # fmt: skip

    def _quote(self) -> list[Message]:
        symbol, maker = self.rng.choice(SYMBOLS), self.rng.choice(MAKERS)
        side = self.rng.choice([BUY, SELL])
        away = self.rng.randint(1, 5) * (-1 if side == BUY else 1)
        qty = self._qty(20)
        return [
            self._order(maker, symbol, side, "LIMIT", "DAY", qty, limit_px=self._px(symbol, away))
        ]

    def _jump(self) -> list[Message]:
        """The market moves: a maker trades through the book, and the fair price follows."""
        symbol, maker = self.rng.choice(SYMBOLS), self.rng.choice(MAKERS)
        middle = 500_000 if symbol in self.doubled else 1_000_000
        home = 1 if self.fair[symbol] < middle else -1
        far = not middle * 7 < self.fair[symbol] * 10 < middle * 14
        back_home = far or self.rng.random() < 0.45
        steps = self.rng.randint(3, 18) * (home if back_home else -home)
        px = self._px(symbol, steps)
        self.fair[symbol] = px
        side = BUY if steps > 0 else SELL
        other = MAKERS[1 - MAKERS.index(maker)]
        back = SELL if side == BUY else BUY
        return [
            self._order(other, symbol, back, "LIMIT", "DAY", 3 * SHARE, limit_px=px),
            self._order(maker, symbol, side, "LIMIT", "IOC", self._qty(60), limit_px=px),
        ]

    def _limit(self) -> list[Message]:
        account, symbol = self._account(), self.rng.choice(SYMBOLS)
        tif, expire_us = self._tif()
        if self.rng.random() < 0.2:
            tif, expire_us = self.rng.choice(["IOC", "FOK", "OPG", "CLS"]), 0
        px = self._px(symbol, self.rng.randint(-6, 6))
        return [
            self._order(
                account.account_id, symbol, self.rng.choice([BUY, SELL]), "LIMIT", tif,
                self._qty(), limit_px=px, expire_us=expire_us,
            )
        ]  # fmt: skip

    def _market(self) -> list[Message]:
        account, symbol = self._account(), self.rng.choice(SYMBOLS)
        side = self.rng.choice([BUY, SELL])
        if self.rng.random() < 0.15:
            return [self._order(account.account_id, symbol, side, "MARKET", "DAY", 0, notional=777)]
        size = self._size(account, symbol)
        return [self._order(account.account_id, symbol, side, "MARKET", "DAY", size)]

    def _against(self) -> list[Message]:
        """Another sale of what a group holds: `auto_shrink` lets it through."""
        groups = [one for name in CLIENTS for one in self._of(name).groups.values()]
        groups = [one for one in groups if one.auto_shrink and one.closes] or groups
        if not groups:
            return []
        group = self.rng.choice(groups)
        away = self.rng.randint(-3, 3)
        return [
            self._order(
                group.account_id, group.symbol, group.side, "LIMIT", "DAY", self._qty(15),
                limit_px=self._px(group.symbol, away),
            )
        ]  # fmt: skip

    def _stop(self) -> list[Message]:
        account, symbol = self._account(), self.rng.choice(SYMBOLS)
        side = self.rng.choice([BUY, SELL])
        tif, expire_us = self._tif()
        kind = self.rng.choice(["STOP", "STOP_LIMIT", "TRAILING_STOP"])
        away = self.rng.randint(1, 8) * (1 if side == BUY else -1)
        terms: dict[str, object] = {"expire_us": expire_us}
        if kind == "TRAILING_STOP":
            tif, expire_us = self.rng.choice(["DAY", "GTC"]), 0
            terms = self.rng.choice([{"trail_px": 20_000}, {"trail_ppm": 25_000}])
        else:
            terms["stop_px"] = self._px(symbol, away)
        if kind == "STOP_LIMIT":
            terms["limit_px"] = self._px(symbol, away + self.rng.randint(-2, 2))
        return [self._order(account.account_id, symbol, side, kind, tif, self._qty(), **terms)]

    # ------------------------------------------------------------ groups

    def _oco(self) -> list[Message]:
        account, symbol = self._account(), self.rng.choice(SYMBOLS)
        position = self._position(account, symbol)
        side = SELL if position.qty > 0 else BUY
        most = position.available() // SHARE
        if self.rng.random() < 0.15:
            side, most = self.rng.choice([BUY, SELL]), 10
        return [self._group(account, symbol, "OCO", side, self._qty(min(12, most)))]

    def _bracket(self) -> list[Message]:
        account, symbol = self._account(), self.rng.choice(SYMBOLS)
        qty = self._position(account, symbol).qty
        side = BUY if qty > 0 or account.account_type == "CASH" else SELL
        if qty == 0 and account.account_type == "MARGIN":
            side = self.rng.choice([BUY, SELL])
        entry = self.rng.choice(["LIMIT", "LIMIT", "LIMIT", "MARKET", "STOP", "STOP_LIMIT"])
        up = 1 if side == BUY else -1
        terms: dict[str, object] = {"ord_type": entry}
        if entry == "LIMIT":
            terms["limit_px"] = self._px(symbol, self.rng.randint(-1, 1))
        elif entry != "MARKET":
            terms["stop_px"] = self._px(symbol, up)
            if entry == "STOP_LIMIT":
                terms["limit_px"] = self._px(symbol, up)
        order_class = self.rng.choice(["BRACKET", "BRACKET", "OTO"])
        size = self._size(account, symbol)
        return [self._group(account, symbol, order_class, side, size, **terms)]

    def _group(
        self, account: Account, symbol: str, order_class: str, side: str, qty: int, **terms: object
    ) -> SubmitGroup:
        name = self._name()
        buys = (side == BUY) == (order_class == "OCO")
        up = -1 if buys else 1
        near = account if order_class == "OCO" else None
        tp_px = self._px(symbol, up * self.rng.randint(2, 9), near)
        stop_px = self._px(symbol, -up * self.rng.randint(2, 9), near)
        lone = self.rng.choice(["tp", "sl"]) if order_class == "OTO" else ""
        tif, expire_us = self._tif()
        limits = self.rng.random() < 0.3
        cancels = self.rng.random() < 0.25
        full = cancels or self.rng.random() < 0.2
        return SubmitGroup(
            account.account_id, name, name, order_class, symbol, side, tif, qty,
            tp_order_id="" if lone == "sl" else name if order_class == "OCO" else self._name(),
            tp_limit_px=0 if lone == "sl" else tp_px,
            sl_order_id="" if lone == "tp" else self._name(),
            sl_stop_px=0 if lone == "tp" else stop_px,
            sl_limit_px=stop_px - up * self.rng.randint(0, 2) * STEP if limits else 0,
            policy="CANCEL" if cancels else "REDUCE", activation="FULL" if full else "PARTIAL",
            auto_shrink=self.rng.random() < 0.3, expire_us=expire_us, **terms,  # type: ignore[arg-type]
        )  # fmt: skip

    # ------------------------------------------------------------ changes

    def _cancel(self) -> list[Message]:
        account = self._account()
        ids = list(account.open)
        return [CancelOrder(account.account_id, self.rng.choice(ids))] if ids else []

    def _cancel_group(self) -> list[Message]:
        account = self._account()
        ids = list(account.groups)
        return [CancelGroup(account.account_id, self.rng.choice(ids))] if ids else []

    def _cancel_all(self) -> list[Message]:
        names = CLIENTS + MAKERS
        return [CancelAllOrders(self.rng.choice(names), self.rng.choice(["", "AAPL"]))]

    def _replace(self) -> list[Message]:
        account = self._account()
        orders = list(account.open.values())
        if not orders:
            return []
        order, name = self.rng.choice(orders), self._name()
        near = self._px(order.symbol, self.rng.randint(-8, 8))
        limit_px = near if order.limit_px and self.rng.random() < 0.7 else 0
        stop_px = near if order.stop_px and not order.trail_px and not order.trail_ppm else 0
        qty = self._qty() if order.group is None and self.rng.random() < 0.5 else 0
        return [
            ReplaceOrder(
                account.account_id, name, order.order_id, name, qty, limit_px, stop_px=stop_px
            )
        ]

    def _amend(self) -> list[Message]:
        account = self._account()
        ids = list(account.groups)
        if not ids:
            return []
        return [AmendGroup(account.account_id, self.rng.choice(ids), self._qty(15))]

    # ------------------------------------------------------------ clock and operators

    def _clock(self) -> list[Message]:
        """The next step of the day."""
        day = self.day.isoformat()
        if self.phase == "CLOSED":
            self.phase = self.rng.choice(["CALL", "OPEN"])
            settle = (self.day + timedelta(days=2)).isoformat()
            opens = BeginOpeningCall if self.phase == "CALL" else OpenSession
            return [opens(day, settle)]
        if self.phase == "CALL":
            self.phase = "OPEN"
            return [OpenSession(day, (self.day + timedelta(days=2)).isoformat())]
        if self.phase == "OPEN" and self.rng.random() < 0.6:
            self.phase = "CLOSING"
            return [BeginClosingCall(day)]
        self.phase = "CLOSED"
        self.day += timedelta(days=1)
        self.halted.clear()
        return [
            CloseSession(day),
            *[RestrictInstrument(symbol, "ACTIVE", "") for symbol in SYMBOLS],
            SettleDay(day),
        ]

    def _tick(self) -> list[Message]:
        return [Tick()]

    def _halt(self) -> list[Message]:
        symbol = self.rng.choice(SYMBOLS)
        if self.halted:
            symbol = self.halted.pop()
            return [RestrictInstrument(symbol, "ACTIVE", "")]
        self.halted.add(symbol)
        return [RestrictInstrument(symbol, "HALTED", "news"), self._tick()[0]]

    def _split(self) -> list[Message]:
        """Two shares for one, the next time one for two. Older trades are not undone after it."""
        if self.phase != "OPEN" or self.halted:
            return []
        symbol = self.rng.choice(SYMBOLS)
        new, old = (1, 2) if symbol in self.doubled else (2, 1)
        self.doubled ^= {symbol}
        self.fair[symbol] = self.fair[symbol] * old // new
        self.trades.clear()
        return [
            RestrictInstrument(symbol, "HALTED", "split"),
            SplitInstrument(symbol, new, old),
            RestrictInstrument(symbol, "ACTIVE", ""),
        ]

    def _freeze(self) -> list[Message]:
        if self.frozen:
            return [FreezeAccount(self.frozen.pop(), False, "")]
        name = self.rng.choice(CLIENTS)
        self.frozen.add(name)
        return [FreezeAccount(name, True, "audit")]

    def _bust(self) -> list[Message]:
        if not self.trades:
            return []
        t = self.rng.choice(list(self.trades.values()))
        buy = self.fills.get((t.symbol, t.trade_id, BUY))
        sold = self.fills.get((t.symbol, t.trade_id, SELL))
        if buy is None or sold is None:
            return []
        return [
            BustTrade(
                t.symbol, t.trade_id, t.last_px, t.last_qty, buy.account_id, buy.order_id, buy.fee,
                sold.account_id, sold.order_id, sold.fee, buy.settle_date, "an error",
            )
        ]  # fmt: skip

    def _cash(self) -> list[Message]:
        amount = self.rng.choice([-500_00, 500_00, 1_000_00])
        return [AdjustCash(self.rng.choice(CLIENTS), amount)]

    def _house(self) -> list[Message]:
        """The house asks for more margin, or no longer."""
        self.addon = not self.addon
        ppm = 550_000 if self.addon else 100_000
        return [msgspec.structs.replace(AAPL, maintenance_addon_ppm=ppm), CheckMargin(1)]

    def _margin(self) -> list[Message]:
        return [Tick(), CheckMargin(self.rng.choice([1, 60_000_000]))]


class Checker:
    """What is checked after each command."""

    def __init__(self, v: TwoStages) -> None:
        self.v = v
        self.twins = {stage.shard: GroupsTwin() for stage in v.orders}
        self.heard = 0
        self.shares = dict.fromkeys(SYMBOLS, 0)
        self.kinds: dict[str, int] = {}
        self.hear()

    def hear(self) -> list[Message]:
        new = self.v.log[self.heard :]
        self.heard = len(self.v.log)
        for shard, r in new:
            self.kinds[type(r.event).__name__] = self.kinds.get(type(r.event).__name__, 0) + 1
            if shard in self.twins:
                self.twins[shard].hear(r.event)
            if isinstance(r.event, PositionAdjusted):
                self.shares[r.event.symbol] += r.event.qty
            elif isinstance(r.event, InstrumentSplit):
                before = self.shares[r.event.symbol]
                self.shares[r.event.symbol] = before * r.event.shares_new // r.event.shares_old
            elif isinstance(r.event, GroupRejected) and not isinstance(self.v, Lagging):
                self._check_rejected(r.event)
        return [r.event for _, r in new]

    def _check_rejected(self, e: GroupRejected) -> None:
        """What makes a position smaller is not refused for want of funds."""
        stage = self.v.stages[self.v.routing.orders_of(e.account_id)]
        account = stage.accounts[e.account_id]  # type: ignore[attr-defined]
        position = account.positions.get(e.symbol)
        qty = position.qty if position is not None and account.account_type == "MARGIN" else 0
        if e.order_class == "OCO" and (qty > 0 if e.side == SELL else qty < 0):
            assert e.reason not in FUNDS

    def check(self) -> None:
        self.v.verify()
        self.v.agree()
        shares = dict.fromkeys(SYMBOLS, 0)
        for stage in self.v.orders:
            twin = self.twins[stage.shard]
            twin.check_groups()
            held: dict[tuple[str, str], int] = {}
            for name, account in stage.accounts.items():
                for symbol, position in account.positions.items():
                    shares[symbol] += position.qty
                    promised = position.held_qty + position.covered_qty
                    if promised:
                        held[name, symbol] = promised
                for symbol, sale in account.liquidations.items():
                    # Where the stages run apart, an order may have come before: it goes next time.
                    waits = any(order.symbol == symbol for order in account.open.values())
                    late = isinstance(self.v, Lagging)
                    assert sale[0] in account.open or (late and waits), "the sale has been sent"
            reserved = {name: account.reserved for name, account in stage.accounts.items()}
            assert reserved == twin.reserved()
            assert held == twin.held()
            assert set(twin.groups) == {
                name for account in stage.accounts.values() for name in account.groups
            }
        assert shares == self.shares


def run(seed: int, count: int) -> tuple[TwoStages, Checker]:
    """A stream of commands, checked after each."""
    v = venue()
    driver, checker = Driver(v, seed), Checker(v)
    for _ in range(count):
        for command in driver.next():
            v.run(command)
            for event in checker.hear():
                driver.hear(event)
            checker.check()
    return v, checker


def run_lagging(seed: int, count: int) -> TwoStages:
    """A stream of commands whose effects come late; checked whenever nothing is on its way."""
    v = Lagging(venue(), seed)
    driver, checker = Driver(v, seed, splits=0), Checker(v)
    for number in range(1, count + 1):
        for command in driver.next():
            v.run(command)
        if number % 25 == 0:
            v.drain()
        for event in checker.hear():
            driver.hear(event)
        if number % 25 == 0:
            checker.check()
    return v


def check_replay(v: TwoStages, points: list[int]) -> None:
    """The events rebuild the state, and so do snapshots taken at some of them and what follows."""
    replicas: list[dict[str, Stage]] = [{shard: make_stage(shard) for shard in v.stages}]
    for at, (shard, r) in enumerate(v.log, 1):
        name = type(r.event).__name__
        event = codec.decode(name, codec.encode(r.event))
        for replica in replicas:
            replica[shard].replay(r.seq, r.ts_us, event)
        if at in points:
            loaded = {one: make_stage(one) for one in v.stages}
            for one, stage in loaded.items():
                source = replicas[0][one]
                stage.load(source.dump(), source.seq, source.ts_us)
                assert stage.dump() == source.dump()
            replicas.append(loaded)
    for replica in replicas:
        for shard, stage in replica.items():
            stage.verify()
            assert stage.dump() == v.stages[shard].dump()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 600), max_size=5))
def test_groups_hold_what_they_must_and_both_stages_agree(seed: int, points: list[int]) -> None:
    v, _ = run(seed, 150)
    check_replay(v, points)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 600), max_size=5))
def test_the_same_where_the_stages_run_apart(seed: int, points: list[int]) -> None:
    v = run_lagging(seed, 150)
    check_replay(v, points)


def test_the_same_in_a_long_stream_of_thousands_of_groups() -> None:
    """Elections, cascades, partial fills, amends, busts, splits and liquidations."""
    v, checker = run(1, 10_000)
    assert sum(twin.seen for twin in checker.twins.values()) > 2_000
    for event in (
        StopElected, GroupAccepted, GroupGrown, LegsActivated, GroupResized, LiquidationStarted,
        OrderDecremented, OrderReplaced, ReservationReleased, TradeBusted, OrderRestated,
    ):  # fmt: skip
        assert checker.kinds[event.__name__] >= 5, event
    closings = {reason for twin in checker.twins.values() for reason in twin.closed.values()}
    assert {"TP_FILLED", "SL_FILLED", "CANCELLED", "EXPIRED"} <= closings
    check_replay(v, random.Random(1).sample(range(1, len(v.log)), 3))


@pytest.mark.parametrize("seed", range(2))
def test_the_same_in_a_long_stream_where_the_stages_run_apart(seed: int) -> None:
    v = run_lagging(seed, 5_000)
    check_replay(v, [len(v.log) // 2])
