"""Random commands to a venue with stops, groups, settlement and busts, through both stages."""

from datetime import date, timedelta
from random import Random
from typing import Final

from nexustrade.core.codec import Message
from nexustrade.matching.messages import CloseSession, OpenSession, SplitInstrument, Tick
from nexustrade.orders.messages import (
    AdjustCash,
    AdjustPosition,
    AmendGroup,
    BustTrade,
    CancelAllOrders,
    CancelGroup,
    CancelOrder,
    CheckMargin,
    OrderFilled,
    ReplaceOrder,
    RestrictInstrument,
    SettleDay,
    SubmitGroup,
    SubmitOrder,
)
from tests.two_stages import TwoStages

ACCOUNTS: Final = ("cash-1", "cash-2", "margin-1", "margin-2", "margin-3")
SYMBOLS: Final = ("AAPL", "PENNY")
SHARE: Final = 100_000_000
FIRST_DAY: Final = date(2026, 11, 23)
KINDS: Final = {
    "limit": 30, "market": 8, "notional": 2, "stop": 10, "trail": 6, "oco": 12, "bracket": 14,
    "cancel": 6, "cancel_group": 3, "replace": 14, "amend": 8, "all": 1, "cash": 1, "tick": 2,
    "shares": 1, "halt": 1, "margin": 1, "day": 3, "bust": 3,
}  # fmt: skip


class Trader:
    """Makes commands from a source of random numbers and runs them, a step at a time."""

    def __init__(self, random: Random, orders_count: int = 2) -> None:
        self.random = random
        self.venue = TwoStages(orders_count, 1)
        self.days = 0
        self.count = 0
        self.middle = {"AAPL": 1_000_000, "PENNY": 9_000}
        self._open()

    def _open(self) -> None:
        v = self.venue
        v.list("AAPL", fractionable=True, shortable=True, marginable=True)
        v.list("PENNY", fractionable=True, shortable=True, reference_px=9_000, tick_size=100)
        v.open("cash-1", cash=50_000_00, maker_fee_ppm=300, taker_fee_ppm=700)
        v.open("cash-2", cash=100_000_00, stp="CANCEL_OLDEST", unsettled_usable=False)
        v.open("margin-1", "MARGIN", cash=100_000_00, shorting=True, stp="DECREMENT")
        v.open("margin-2", "MARGIN", cash=200_000_00, shorting=True, stp="CANCEL_BOTH")
        v.open("margin-3", "MARGIN", cash=30_000_00, shorting=True, taker_fee_ppm=500)
        for account in ACCOUNTS[:3]:
            for symbol in SYMBOLS:
                v.run(AdjustPosition(account, symbol, 40 * SHARE, 900_000))
        v.run(self._session())

    def step(self) -> list[Message]:
        """Run the commands of one step; their events."""
        self.count += 1
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        made: list[Message] = getattr(self, f"_{kind}")()
        return [event for command in made for event in self.venue.run(command)]

    # ------------------------------------------------------------ what commands are made of

    def _flag(self) -> bool:
        return self.random.random() < 0.5

    def _pick(self) -> tuple[str, str, str, str]:
        """An account, an order id, a symbol and a side."""
        pick = self.random.choice
        return pick(ACCOUNTS), f"order-{self.count}", pick(SYMBOLS), pick(("BUY", "SELL"))

    def _px(self, symbol: str, least: int, most: int) -> int:
        """A price so many cents from the middle."""
        return self.middle[symbol] + 100 * self.random.randint(least, most)

    def _qty(self) -> int:
        odd = 12_345_678 if self.random.random() < 0.2 else 0
        return self.random.choice((1, 2, 3, 7, 15)) * SHARE + odd

    def _tif(self) -> tuple[str, int]:
        tif = self.random.choice(("DAY", "GTC", "GTC", "GTD"))
        return tif, self.venue.now_us + 40_000 if tif == "GTD" else 0

    def _target(self) -> tuple[str, str]:
        """An account and one of its open orders."""
        account = self.random.choice(ACCOUNTS)
        stage = self.venue.stages[self.venue.routing.orders_of(account)]
        found = [*stage.accounts[account].open, "no-such-order"]  # type: ignore[attr-defined]
        return account, self.random.choice(found)

    def _group(self) -> tuple[str, str]:
        account = self.random.choice(ACCOUNTS)
        stage = self.venue.stages[self.venue.routing.orders_of(account)]
        found = [*stage.accounts[account].groups, "no-such-group"]  # type: ignore[attr-defined]
        return account, self.random.choice(found)

    # ------------------------------------------------------------ orders

    def _limit(self) -> list[Message]:
        account, name, symbol, side = self._pick()
        tif, expire_us = self._tif()
        if not expire_us and self.random.random() < 0.2:
            tif = self.random.choice(("IOC", "FOK"))
        price = self._px(symbol, -8, 8)
        post = self.random.random() < 0.1 and tif == "GTC"
        return [
            SubmitOrder(
                account, name, name, symbol, side, "LIMIT", tif, self._qty(), 0, price, expire_us,
                post,
            )
        ]  # fmt: skip

    def _market(self) -> list[Message]:
        account, name, symbol, side = self._pick()
        return [SubmitOrder(account, name, name, symbol, side, "MARKET", "DAY", self._qty())]

    def _notional(self) -> list[Message]:
        account, name, symbol, side = self._pick()
        cents = 1_234 * self.random.randint(1, 50)
        return [SubmitOrder(account, name, name, symbol, side, "MARKET", "IOC", 0, cents)]

    def _stop(self) -> list[Message]:
        account, name, symbol, side = self._pick()
        tif, expire_us = self._tif()
        up = side == "BUY"
        stop_px = self._px(symbol, 1, 7) if up else self._px(symbol, -7, -1)
        limited = self._flag()
        return [
            SubmitOrder(
                account, name, name, symbol, side, "STOP_LIMIT" if limited else "STOP", tif,
                self._qty(), limit_px=stop_px + (300 if up else -300) if limited else 0,
                expire_us=expire_us, stop_px=stop_px,
            )
        ]  # fmt: skip

    def _trail(self) -> list[Message]:
        account, name, symbol, side = self._pick()
        by_price = self._flag()
        return [
            SubmitOrder(
                account, name, name, symbol, side, "TRAILING_STOP",
                self.random.choice(("DAY", "GTC")), self._qty(),
                trail_px=100 * self.random.randint(1, 9) if by_price else 0,
                trail_ppm=0 if by_price else self.random.randint(100, 20_000),
            )
        ]  # fmt: skip

    def _cancel(self) -> list[Message]:
        return [CancelOrder(*self._target())]

    def _replace(self) -> list[Message]:
        account, target = self._target()
        name = f"order-{self.count}"
        stage = self.venue.stages[self.venue.routing.orders_of(account)]
        order = stage.orders.get(target)  # type: ignore[attr-defined]
        limit_px = stop_px = trail_px = 0
        if order is not None and order.trail_px + order.trail_ppm:
            trail_px = 100 * self.random.randint(1, 9)
        elif order is not None and order.stop_px and self._flag():
            stop_px = order.stop_px + 100 * self.random.randint(-3, 3)
        elif order is not None and order.limit_px:
            limit_px = order.limit_px + 100 * self.random.randint(-6, 6)
        alone = order is None or order.group is None
        qty = self._qty() if alone or self.random.random() < 0.1 else 0
        return [
            ReplaceOrder(
                account, name, target, name, qty, limit_px, stop_px=stop_px, trail_px=trail_px
            )
        ]

    # ------------------------------------------------------------ groups

    def _oco(self) -> list[Message]:
        return [self._group_of("OCO")]

    def _bracket(self) -> list[Message]:
        return [self._group_of("BRACKET" if self.random.random() < 0.7 else "OTO")]

    def _group_of(self, order_class: str) -> SubmitGroup:
        account, name, symbol, side = self._pick()
        tif, expire_us = self._tif()
        sells = (side == "SELL") == (order_class == "OCO")
        entry_px = 0 if order_class == "OCO" or self._flag() else self._px(symbol, -2, 2)
        high, low = self._px(symbol, 3, 7), self._px(symbol, -7, -3)
        tp, sl = (high, low) if sells else (low, high)
        tp_id = name if order_class == "OCO" else f"{name}-tp"
        wants_tp, wants_sl = True, True
        if order_class == "OTO":
            wants_tp = self._flag()
            wants_sl = not wants_tp
        policy = self.random.choice(("REDUCE", "REDUCE", "CANCEL"))
        full = policy == "CANCEL" or self._flag()
        limited = self._flag()
        return SubmitGroup(
            account, name, "" if self._flag() else f"mine-{name}", order_class, symbol, side, tif,
            self._qty(), "" if order_class == "OCO" else "LIMIT" if entry_px else "MARKET",
            entry_px, 0, tp_id if wants_tp else "", "", tp if wants_tp else 0,
            f"{name}-sl" if wants_sl else "", f"mine-{name}-sl" if self._flag() else "",
            sl if wants_sl else 0, (sl - 500 if sells else sl + 500) if limited and wants_sl else 0,
            policy, "FULL" if full else "PARTIAL", self._flag(), expire_us,
        )  # fmt: skip

    def _cancel_group(self) -> list[Message]:
        return [CancelGroup(*self._group())]

    def _amend(self) -> list[Message]:
        return [AmendGroup(*self._group(), self._qty())]

    # ------------------------------------------------------------ everything else

    def _all(self) -> list[Message]:
        account, _, symbol, _ = self._pick()
        return [CancelAllOrders(account, symbol if self._flag() else "")]

    def _cash(self) -> list[Message]:
        return [AdjustCash(self.random.choice(ACCOUNTS), 50_000 if self._flag() else -50_000)]

    def _tick(self) -> list[Message]:
        return [Tick()]

    def _shares(self) -> list[Message]:
        account, _, symbol, _ = self._pick()
        return [AdjustPosition(account, symbol, self._qty(), self._px(symbol, -3, 3))]

    def _halt(self) -> list[Message]:
        symbol = self.random.choice(SYMBOLS)
        return [
            RestrictInstrument(symbol, "HALTED"),
            CancelOrder(*self._target()),
            RestrictInstrument(symbol, "ACTIVE"),
        ]

    def _split(self) -> list[Message]:
        symbol = self.random.choice(SYMBOLS)
        new, old = self.random.choice(((2, 1), (1, 2), (3, 2)))
        self.middle[symbol] = self.middle[symbol] * old // new // 100 * 100
        return [
            RestrictInstrument(symbol, "HALTED"),
            SplitInstrument(symbol, new, old),
            RestrictInstrument(symbol, "ACTIVE"),
        ]

    def _margin(self) -> list[Message]:
        return [CheckMargin(30_000)]

    def _day(self) -> list[Message]:
        """The session ends, an order comes in the night, the day is settled, the next one opens."""
        day = self._date(self.days)
        night = [*self._bracket(), *self._stop()] if self._flag() else self._oco()
        self.days += 1
        return [CloseSession(day), night[0], SettleDay(day), self._session()]

    def _session(self) -> OpenSession:
        return OpenSession(self._date(self.days), self._date(self.days + 2))

    def _date(self, days: int) -> str:
        return (FIRST_DAY + timedelta(days=days)).isoformat()

    def _bust(self) -> list[Message]:
        """Undo one of the trades so far, perhaps for a second time."""
        fills = [r.event for _, r in self.venue.log if isinstance(r.event, OrderFilled)]
        if not fills:
            return []
        one = self.random.choice(fills)
        sides = {e.side: e for e in fills if (e.symbol, e.trade_id) == (one.symbol, one.trade_id)}
        bought, sold = sides["BUY"], sides["SELL"]
        return [
            BustTrade(
                one.symbol, one.trade_id, one.last_px, one.last_qty, bought.account_id,
                bought.order_id, bought.fee, sold.account_id, sold.order_id, sold.fee,
                one.settle_date, "a mistake",
            )
        ]  # fmt: skip
