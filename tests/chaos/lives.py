"""Lives of groups as scripts: what clients, the operator and the clock ask of a venue, in order.

Orders are named by their client order ids; which ids the venue knows them by is found out when a
script is played (`sittings`), for a client that asks again asks with a new one.
"""

from typing import Any, Final, NamedTuple

from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, CASH, MARGIN, SELL
from nexustrade.core.time import US_PER_S
from nexustrade.matching import messages as mm
from nexustrade.orders import messages as m

SHARE: Final = 100_000_000
USD: Final = 10_000
START_US: Final = 1_795_446_000_000_000
"""2026-11-23 15:00 UTC, a Monday."""
DAY_S: Final = 86_400
DAYS: Final = ("2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27", "2026-11-30")


class Step(NamedTuple):
    """Commands that are sent together, so many seconds after the start."""

    at_s: int
    commands: tuple[Message, ...]


class Life(NamedTuple):
    """A script, and the events without which it is not the life that it says."""

    name: str
    steps: tuple[Step, ...]
    seen: frozenset[str]


class Script:
    """Writes the steps of a life, one second after the other."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.now_s = 0

    def does(self, *commands: Message) -> None:
        """The next step."""
        self.now_s += 1
        self.steps.append(Step(self.now_s, commands))

    def waits(self, seconds: int) -> None:
        """Time passes before the next step."""
        self.now_s += seconds

    def ends_day(self, number: int, *, call: bool = False) -> None:
        """The session of a day closes, with an auction after a `call`, and the day settles."""
        if call:
            self.does(mm.BeginClosingCall(DAYS[number]))
        self.does(mm.CloseSession(DAYS[number]))
        self.does(m.SettleDay(DAYS[number]))

    def begins_day(self, number: int, *, call: bool = False) -> None:
        """The session of a later day opens, after an opening `call` or without."""
        self.waits(DAY_S)
        if call:
            self.does(mm.BeginOpeningCall(DAYS[number], DAYS[number + 2]))
        self.does(mm.OpenSession(DAYS[number], DAYS[number + 2]))

    def life(self, name: str, *seen: type[Message]) -> Life:
        """The script as it stands."""
        return Life(name, tuple(self.steps), frozenset(one.__name__ for one in seen))


def setup() -> list[Message]:
    """What a venue has before a life begins: nobody is killed yet."""
    fees: dict[str, Any] = {"maker_fee_ppm": 300, "taker_fee_ppm": 700}
    commands: list[Message] = [
        _instrument("AAPL", 100 * USD),
        _instrument("MSFT", 50 * USD),
        mm.OpenSession(DAYS[0], DAYS[2]),
        m.OpenAccount("alice", CASH, cash=100_000_000, **fees),
        m.OpenAccount("bob", CASH, cash=1_000_000_000),
        m.OpenAccount("carol", MARGIN, cash=2_000_000, shorting=True, **fees),
        m.OpenAccount("dave", CASH, cash=100_000_000, stp="CANCEL_OLDEST", **fees),
        m.OpenAccount("erin", CASH),
    ]
    for account, qty in (("alice", 100), ("bob", 1_000), ("dave", 1_000), ("erin", 100)):
        commands.append(m.AdjustPosition(account, "AAPL", qty * SHARE, 90 * USD))
    commands.append(m.AdjustPosition("dave", "MSFT", 1_000 * SHARE, 40 * USD))
    return commands


def _instrument(symbol: str, reference_px: int) -> mm.DefineInstrument:
    return mm.DefineInstrument(
        symbol,
        100,
        SHARE,
        shortable=True,
        marginable=True,
        reference_px=reference_px,
        call_s=60,
    )


# ---------------------------------------------------------------- what clients ask for


def buy(account: str, name: str, qty: int, px: int, tif: str = "GTC", **more: Any) -> Message:
    return _limit(account, name, BUY, qty, px, tif, **more)


def sell(account: str, name: str, qty: int, px: int, tif: str = "GTC", **more: Any) -> Message:
    return _limit(account, name, SELL, qty, px, tif, **more)


def _limit(
    account: str, name: str, side: str, qty: int, px: int, tif: str, symbol: str = "AAPL"
) -> m.SubmitOrder:
    return m.SubmitOrder(
        account, name, name, symbol, side, "LIMIT", tif, qty * SHARE, limit_px=px * USD
    )


def stop(account: str, name: str, side: str, qty: int, px: int, tif: str = "GTC") -> Message:
    """A stop order that trades at the market."""
    return m.SubmitOrder(
        account, name, name, "AAPL", side, "STOP", tif, qty * SHARE, stop_px=px * USD
    )


def trailing(account: str, name: str, qty: int, by: int) -> Message:
    return m.SubmitOrder(
        account, name, name, "AAPL", SELL, "TRAILING_STOP", "GTC", qty * SHARE, trail_px=by * USD
    )


def oco(
    account: str,
    name: str,
    side: str,
    qty: int,
    tp: int,
    sl: int,
    tif: str = "GTC",
    symbol: str = "AAPL",
    **more: Any,
) -> Message:
    """An OCO; its take-profit goes by its own name, its stop-loss by `<name>.sl`."""
    return m.SubmitGroup(
        account,
        name,
        name,
        "OCO",
        symbol,
        side,
        tif,
        qty * SHARE,
        tp_order_id=name,
        tp_limit_px=tp * USD,
        sl_order_id=f"{name}.sl",
        sl_cl_ord_id=f"{name}.sl",
        sl_stop_px=sl * USD,
        **more,
    )


def bracket(
    account: str,
    name: str,
    side: str,
    qty: int,
    px: int,
    tp: int,
    sl: int,
    tif: str = "GTC",
    **more: Any,
) -> Message:
    """A bracket with a limit entry (a market one for `px` 0); its legs are `.tp` and `.sl`."""
    return m.SubmitGroup(
        account,
        name,
        name,
        "BRACKET",
        "AAPL",
        side,
        tif,
        qty * SHARE,
        "LIMIT" if px else "MARKET",
        px * USD,
        tp_order_id=f"{name}.tp",
        tp_cl_ord_id=f"{name}.tp",
        tp_limit_px=tp * USD,
        sl_order_id=f"{name}.sl",
        sl_cl_ord_id=f"{name}.sl",
        sl_stop_px=sl * USD,
        **more,
    )


def amend(account: str, name: str, qty: int) -> Message:
    return m.AmendGroup(account, name, qty * SHARE)


def replace(account: str, name: str, by: str, **more: Any) -> Message:
    """Other prices for an order, which is `by` from then on."""
    return m.ReplaceOrder(account, by, name, by, **more)


# ---------------------------------------------------------------- the lives


def take_profit_in_parts() -> Life:
    """Partial fills of the take-profit between amends, replaces and cancels."""
    s = Script()
    s.does(oco("alice", "g1", SELL, 10, 110, 90))
    s.does(buy("bob", "b1", 4, 110))
    s.does(amend("alice", "g1", 12))
    s.does(amend("alice", "g1", 9))
    s.does(buy("bob", "t1", 1, 102), sell("dave", "t2", 1, 102))
    s.does(replace("alice", "g1", "g1.tp2", limit_px=108 * USD))
    s.does(replace("alice", "g1.sl", "g1.sl2", stop_px=92 * USD))
    s.does(buy("bob", "b2", 2, 108))
    s.does(buy("bob", "b3", 3, 108))
    s.does(buy("bob", "t3", 1, 102), sell("dave", "t4", 1, 102))
    s.does(oco("alice", "g2", SELL, 10, 110, 90, policy="CANCEL"))
    s.does(buy("bob", "b4", 1, 110))
    s.does(m.CancelGroup("alice", "g2"))
    s.does(oco("alice", "g3", SELL, 5, 112, 95, sl_limit_px=94 * USD))
    s.does(buy("bob", "b5", 3, 112))
    s.does(amend("alice", "g3", 3))
    s.does(oco("alice", "g4", SELL, 5, 115, 95))
    s.does(m.CancelOrder("alice", "g4.sl"))
    return s.life(
        "take-profit in parts", mm.LegReduced, mm.GroupAmended, mm.GroupGrown, mm.LegCancelled
    )


def election_by_a_gap() -> Life:
    """A partial fill on one day, and the next opens far below the stops."""
    s = Script()
    s.does(oco("alice", "g1", SELL, 10, 110, 90))
    s.does(buy("bob", "b1", 3, 110))
    s.does(oco("alice", "g2", SELL, 10, 115, 90, sl_limit_px=88 * USD))
    s.ends_day(0)
    s.does(oco("alice", "g3", SELL, 10, 118, 80))
    s.does(buy("bob", "b2", 8, 85))
    s.does(sell("dave", "s1", 5, 85))
    s.does(amend("alice", "g3", 6))
    s.begins_day(1, call=True)
    s.does(buy("bob", "b3", 4, 84))
    s.does(replace("alice", "g2.sl", "g2.sl2", limit_px=84 * USD))
    s.does(buy("bob", "b4", 20, 86))
    return s.life("election by a gap", mm.Uncrossed, mm.StopElected, mm.StopActivated, mm.GroupHeld)


def cascade() -> Life:
    """One print elects a group whose own sale elects the next, and that a single stop."""
    s = Script()
    s.does(buy("bob", "b1", 5, 95), buy("bob", "b2", 5, 94), buy("bob", "b3", 4, 93))
    s.does(oco("alice", "g1", SELL, 6, 110, 95))
    s.does(oco("dave", "g2", SELL, 5, 111, 94))
    s.does(stop("erin", "x1", SELL, 3, 93))
    s.does(trailing("erin", "x2", 2, 6))
    s.does(oco("alice", "g3", SELL, 4, 112, 60))
    s.does(buy("bob", "b4", 1, 110))
    s.does(sell("dave", "s1", 5, 95))
    s.does(buy("bob", "b5", 30, 94))
    return s.life("cascade", mm.StopElected, mm.StopActivated, mm.TrailRaised, mm.GroupClosed)


def bracket_in_parts() -> Life:
    """The exit grows with its entry, sells in between, and is left when the entry is cancelled."""
    s = Script()
    s.does(bracket("carol", "g1", BUY, 10, 100, 110, 95))
    s.does(sell("dave", "s1", 3, 100))
    s.does(buy("bob", "b1", 2, 110))
    s.does(sell("dave", "s2", 4, 100))
    s.does(m.CancelOrder("carol", "g1"))
    s.does(replace("carol", "g1.sl", "g1.sl2", stop_px=96 * USD))
    s.does(buy("bob", "b2", 4, 96))
    s.does(sell("dave", "s3", 1, 96))
    s.does(buy("bob", "b3", 4, 95))
    s.does(bracket("carol", "g2", BUY, 6, 97, 104, 90))
    s.does(sell("dave", "s4", 2, 97))
    s.does(m.CancelGroup("carol", "g2"))
    return s.life("bracket in parts", mm.GroupOpened, mm.GroupGrown, mm.StopElected, mm.Removed)


def bracket_full() -> Life:
    """The exit waits until the entry is done: cancelled with fills, or filled at the market."""
    s = Script()
    s.does(bracket("alice", "g1", BUY, 10, 99, 110, 90, activation="FULL"))
    s.does(sell("dave", "s1", 6, 99))
    s.does(replace("alice", "g1", "g1b", limit_px=98 * USD))
    s.does(sell("dave", "s2", 1, 98))
    s.does(m.CancelOrder("alice", "g1b"))
    s.does(buy("bob", "b1", 5, 110))
    s.does(sell("dave", "s3", 8, 112))
    s.does(bracket("alice", "g2", BUY, 5, 0, 120, 105, activation="FULL", policy="CANCEL"))
    s.does(buy("bob", "b2", 4, 120))
    s.does(m.CancelGroup("alice", "g2"))
    return s.life("bracket full", mm.GroupOpened, mm.LegReduced, mm.LegCancelled, m.LegsActivated)


def day_end() -> Life:
    """Groups of the day trade in the closing auction and expire as a whole; others go on."""
    s = Script()
    s.does(oco("alice", "g1", SELL, 10, 105, 90, "DAY"))
    s.does(bracket("carol", "g2", BUY, 10, 99, 104, 95, "DAY"))
    s.does(sell("dave", "s1", 4, 99))
    s.does(oco("dave", "g3", SELL, 10, 120, 80))
    expire_us = START_US + (DAY_S + 15) * US_PER_S
    s.does(oco("dave", "g4", SELL, 10, 121, 81, "GTD", expire_us=expire_us))
    s.does(stop("erin", "x1", SELL, 3, 92, "DAY"))
    s.does(buy("bob", "b1", 5, 106, "CLS"))
    s.ends_day(0, call=True)
    s.begins_day(1)
    s.does(buy("bob", "b2", 2, 121))
    s.waits(10)
    s.does(mm.Tick())
    s.does(m.CancelGroup("dave", "g3"))
    return s.life("day end", mm.Uncrossed, m.OrderExpired, mm.LegCancelled, m.DayClosed)


def freeze_and_halt() -> Life:
    """A stop that opens a position is elected, waits for a freeze and a halt, and runs first."""
    s = Script()
    s.does(oco("carol", "g1", BUY, 5, 95, 105))
    s.does(m.FreezeAccount("carol", True, "asked for"))
    s.does(sell("dave", "s1", 3, 105))
    s.does(oco("alice", "g3", SELL, 5, 116, 98))
    s.does(buy("bob", "b1", 1, 105))
    s.does(oco("alice", "g2", SELL, 5, 115, 104))
    s.does(m.RestrictInstrument("AAPL", "HALTED", "news"))
    s.does(m.FreezeAccount("carol", False))
    s.does(m.CancelOrder("alice", "g3"))
    s.does(m.RestrictInstrument("AAPL", "ACTIVE", "news are out"))
    s.does(sell("dave", "s2", 4, 103), buy("bob", "b2", 6, 104))
    s.waits(60)
    s.does(mm.Tick())
    s.does(sell("dave", "s3", 5, 106))
    s.does(buy("bob", "b3", 9, 103))
    return s.life("freeze and halt", mm.StopElected, mm.PhaseChanged, mm.FreezeNoted, mm.Uncrossed)


def liquidation() -> Life:
    """A margin call that is not met: groups in the symbol go first, then shares are sold."""
    s = Script()
    s.does(sell("dave", "s1", 300, 100), sell("dave", "s2", 100, 50, symbol="MSFT"))
    s.does(buy("carol", "c1", 300, 100), buy("carol", "c2", 100, 50, symbol="MSFT"))
    s.does(oco("carol", "g1", SELL, 100, 120, 30))
    s.does(oco("carol", "g2", SELL, 50, 60, 20, symbol="MSFT"))
    s.does(sell("carol", "c3", 150, 130))
    s.does(buy("bob", "b1", 1, 36), sell("dave", "s3", 1, 36))
    s.does(mm.Tick())
    s.does(m.CheckMargin(3_600 * US_PER_S))
    s.does(buy("bob", "b2", 200, 36), buy("dave", "s4", 100, 36))
    s.does(buy("bob", "b3", 60, 50, symbol="MSFT"))
    s.waits(3_600)
    s.does(m.CheckMargin(3_600 * US_PER_S))
    s.does(m.CheckMargin(3_600 * US_PER_S))
    s.does(oco("carol", "g3", SELL, 60, 60, 20, symbol="MSFT"))
    return s.life(
        "liquidation", m.MarginCallIssued, m.LiquidationStarted, m.MarginCallMet, mm.GroupClosed
    )


def settlement() -> Life:
    """Shares bought with proceeds are sold by their stop before these have settled."""
    s = Script()
    s.does(oco("erin", "g1", SELL, 100, 102, 90))
    s.does(buy("bob", "b1", 100, 102))
    s.does(bracket("erin", "g2", BUY, 40, 101, 110, 98))
    s.does(sell("dave", "s1", 40, 101))
    s.does(buy("bob", "b2", 31, 98))
    s.ends_day(0)
    s.begins_day(1)
    s.does(sell("dave", "s2", 1, 98))
    s.does(m.CancelGroup("erin", "g2"))
    s.does(oco("erin", "g3", SELL, 10, 120, 80))
    s.ends_day(1)
    s.begins_day(2)
    s.ends_day(2)
    return s.life("settlement", m.ViolationFound, m.DaySettled, mm.StopElected)


def auto_shrink() -> Life:
    """A group gives up shares to other sales, until none are left; another has sold them."""
    s = Script()
    s.does(oco("alice", "g1", SELL, 95, 110, 90, auto_shrink=True))
    s.does(sell("alice", "a1", 10, 105))
    s.does(buy("bob", "b1", 4, 105))
    s.does(buy("bob", "b2", 10, 110))
    s.does(sell("alice", "a2", 40, 106))
    s.does(buy("bob", "b3", 46, 106))
    s.does(sell("alice", "a3", 46, 120))
    s.does(m.CancelOrder("alice", "a3"))
    s.does(oco("dave", "g2", SELL, 1_000, 130, 90, auto_shrink=True))
    s.does(sell("dave", "d1", 10, 128), buy("bob", "b4", 4, 90), sell("dave", "d2", 3, 90))
    s.does(buy("bob", "b5", 1_000, 89))
    return s.life("auto_shrink", mm.LegReduced, mm.GroupClosed, m.ReservationChanged)


def short_bracket() -> Life:
    """An entry that sells short, half filled when its stop is elected: it goes, the stop covers."""
    s = Script()
    s.does(bracket("carol", "g1", SELL, 6, 101, 95, 108))
    s.does(buy("bob", "b1", 4, 101))
    s.does(sell("dave", "s1", 1, 95))
    s.does(buy("bob", "b2", 1, 95))
    s.does(sell("dave", "s2", 2, 108))
    s.does(m.CancelOrder("carol", "g1"), buy("bob", "b3", 1, 108))
    s.does(sell("dave", "s3", 1, 109))
    s.does(sell("dave", "s4", 5, 107))
    s.does(oco("carol", "g2", SELL, 3, 115, 100))
    s.does(m.CancelAllOrders("carol"))
    return s.life("short bracket", mm.GroupOpened, mm.StopElected, m.OrderTriggered)


def crowd() -> Life:
    """Everybody at once: groups, what fills them and what cancels them in the same commits."""
    s = Script()
    s.does(
        oco("alice", "g1", SELL, 10, 104, 96),
        oco("dave", "g2", SELL, 10, 105, 97),
        bracket("carol", "g3", BUY, 8, 99, 106, 95),
        buy("bob", "b1", 20, 98),
    )
    s.does(buy("bob", "b2", 4, 104), amend("dave", "g2", 12), sell("dave", "s1", 5, 99))
    s.does(
        buy("bob", "b3", 10, 97),
        sell("erin", "e1", 25, 97),
        m.CancelOrder("carol", "g3"),
        replace("alice", "g1.sl", "g1.sl2", stop_px=90 * USD),
    )
    s.does(m.CancelGroup("dave", "g2"), buy("bob", "b4", 9, 96), oco("erin", "g4", SELL, 9, 99, 95))
    s.does(m.CancelAllOrders("bob"), buy("bob", "b5", 3, 99), m.CancelGroup("alice", "g1"))
    return s.life("crowd", mm.GroupOpened, mm.StopElected, mm.LegCancelled, mm.GroupClosed)


def undone_trade() -> Life:
    """A trade that closed a group is undone: the group is not revived."""
    s = Script()
    s.does(oco("alice", "g1", SELL, 10, 110, 90))
    s.does(buy("bob", "b1", 10, 110))
    s.does(oco("bob", "g2", SELL, 1_010, 130, 60))
    s.does(
        m.BustTrade(
            "AAPL", 1, 110 * USD, 10 * SHARE, "bob", "b1", 0, "alice", "g1", 33, DAYS[2], "error"
        )
    )
    s.does(oco("alice", "g3", SELL, 100, 115, 90))
    s.does(m.CancelGroup("alice", "g3"))
    return s.life("undone trade", m.TradeBusted, mm.GroupClosed)


LIVES: Final = {
    life.name: life
    for life in (
        take_profit_in_parts(),
        election_by_a_gap(),
        cascade(),
        bracket_in_parts(),
        bracket_full(),
        day_end(),
        freeze_and_halt(),
        liquidation(),
        settlement(),
        auto_shrink(),
        short_bracket(),
        crowd(),
        undone_trade(),
    )
}
