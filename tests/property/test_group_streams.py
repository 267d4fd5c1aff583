"""Random streams of groups, stops, sessions and halts: no group ever tears, live or after replay.

What the stage believes of its groups (`verify`) is held against what its events alone say
(`Ledger`), after every command.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, SELL
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    SIBLING_ELECTED,
    SIBLING_FILLED,
    Amended,
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    DefineInstrument,
    GroupClosed,
    GroupGrown,
    GroupHeld,
    GroupOpened,
    LegCancelled,
    LegReduced,
    OpenSession,
    SessionClosed,
    StopElected,
    Tick,
    Traded,
    Uncrossed,
)
from nexustrade.orders.messages import (
    AccountFrozen,
    CancelRequested,
    GroupAccepted,
    GroupAmendRequested,
    OrderAccepted,
    ReplaceRequested,
    RestrictInstrument,
)

SHARE = 100_000_000
SYMBOL = "AAPL"
STPS = ("CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT", "ALLOW")


class Ledger:
    """Groups by what the events say: quantities, fills and which legs are alive."""

    def __init__(self) -> None:
        self.leg_of: dict[str, tuple[str, str]] = {}
        self.opened: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.filled: dict[str, dict[str, int]] = {}
        self.alive: dict[str, set[str]] = {}
        self.elected: set[str] = set()
        self.cancels: set[str] = set()
        self.closed: set[str] = set()
        self.touched: set[str] = set()

    def hear(self, event: Message) -> None:
        group_id = getattr(event, "group_id", "")
        if group_id in self.filled:
            self.touched.add(group_id)
        if isinstance(event, GroupHeld):
            self._known(event.group_id, event.tp_order_id, event.sl_order_id, event.policy)
        elif isinstance(event, GroupOpened):
            if event.group_id not in self.filled:
                self._known(event.group_id, event.tp_order_id, event.sl_order_id, event.policy)
            self.opened[event.group_id] = event.open_qty
        elif isinstance(event, GroupGrown):
            self.opened[event.group_id] += event.by_qty
        elif isinstance(event, Amended):
            leg = self.leg_of.pop(event.orig_order_id, None)
            if leg is not None:
                self.leg_of[event.order_id] = leg
        elif isinstance(event, Traded):
            self._fill(event.maker_order_id, event.last_qty)
            self._fill(event.taker_order_id, event.last_qty)
        elif isinstance(event, StopElected):
            group, role = self.leg_of.get(event.order_id, ("", ""))
            if role == "SL":
                self.elected.add(group)
        elif isinstance(event, LegCancelled):
            group, role = self.leg_of[event.order_id]
            self.alive[group].remove(role)
            if event.reason == SIBLING_ELECTED:
                assert role == "TP"
                assert group in self.elected
            if event.reason == SIBLING_FILLED:
                assert role == "SL"
        elif isinstance(event, GroupClosed):
            self.closed.add(event.group_id)

    def _known(self, group: str, tp: str, sl: str, policy: str) -> None:
        self.filled[group] = {"TP": 0, "SL": 0}
        self.opened[group] = 0
        self.alive[group] = set()
        if policy == "CANCEL":
            self.cancels.add(group)
        for order_id, role in ((tp, "TP"), (sl, "SL")):
            if order_id:
                self.leg_of[order_id] = (group, role)
                self.alive[group].add(role)

    def _fill(self, order_id: str, qty: int) -> None:
        if order_id in self.leg_of:
            group, role = self.leg_of[order_id]
            assert group not in self.closed
            assert role in self.alive[group]
            # I3: once the stop-loss was elected the take-profit trades no more.
            assert role == "SL" or group not in self.elected
            self.filled[group][role] += qty
            self.touched.add(group)

    def check(self, two_legs: set[str]) -> None:
        """What a command did to groups leaves them whole."""
        touched, self.touched = self.touched, set()
        for group in touched:
            filled = self.filled[group]
            # I1, from the trades alone.
            assert sum(filled.values()) <= self.opened[group]
            if group in self.closed or group not in two_legs:
                continue
            # I5: one leg is never alive alone, unless it is the elected stop-loss (or, under
            # CANCEL, the take-profit whose fill cancelled its sibling).
            if len(self.alive[group]) == 1:
                lone = next(iter(self.alive[group]))
                assert (lone == "SL" and group in self.elected) or (
                    lone == "TP" and group in self.cancels and filled["TP"] > 0
                )


class Driver:
    """Makes a stream of commands from a seed: mostly valid, near the market, of few accounts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = 0
        self.ids: list[tuple[str, str]] = []
        self.groups: list[tuple[str, str]] = []
        self.two_legs: set[str] = set()
        self.day = 1

    def name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def px(self, around: int, spread: int) -> int:
        return (around + self.rng.randint(-spread, spread)) * 100

    def next(self) -> Message:
        kind = self.rng.choices(
            ["limit", "market", "stop", "oco", "bracket", "cancel", "replace", "amend", "clock"],
            [30, 8, 12, 14, 14, 8, 9, 4, 6],
        )[0]
        made: Message = getattr(self, f"_{kind}")()
        return made

    def _account(self) -> str:
        return self.rng.choice(["ann", "bob", "cat", "dan"])

    def _tif(self) -> tuple[str, int]:
        tif = self.rng.choice(["DAY", "GTC", "GTC", "GTD"])
        return tif, self.rng.randint(1, 4_000_000) if tif == "GTD" else 0

    def _order(self, ord_type: str, tif: str, **fields: object) -> OrderAccepted:
        account, order_id = self._account(), self.name()
        self.ids.append((account, order_id))
        given: dict[str, object] = {"stp": self.rng.choice(STPS)}
        if self.groups and self.rng.random() < 0.1:
            _, group_id = self.rng.choice(self.groups[-20:])
            given["shrinks"] = {group_id: self.rng.randint(1, 8) * SHARE}
        return OrderAccepted(
            account,
            order_id,
            order_id,
            SYMBOL,
            self.rng.choice([BUY, SELL]),
            ord_type,
            tif,
            self.rng.randint(1, 12) * SHARE,
            **(given | fields),  # type: ignore[arg-type]
        )

    def _limit(self) -> OrderAccepted:
        tif, expire_us = self._tif()
        tif = self.rng.choice([tif, tif, tif, "IOC", "FOK", "OPG", "CLS"])
        return self._order(
            "LIMIT", tif, limit_px=self.px(100, 12), expire_us=expire_us if tif == "GTD" else 0,
            post_only=tif == "GTC" and self.rng.random() < 0.1,
        )  # fmt: skip

    def _market(self) -> OrderAccepted:
        return self._order("MARKET", "DAY", collar_px=self.px(100, 12))

    def _stop(self) -> OrderAccepted:
        tif, expire_us = self._tif()
        terms: dict[str, object] = {"expire_us": expire_us, "reserved_qty": SHARE}
        ord_type = self.rng.choice(["STOP", "STOP_LIMIT", "TRAILING_STOP"])
        if ord_type == "TRAILING_STOP":
            terms |= self.rng.choice([{"trail_px": 300}, {"trail_ppm": 25_000}])
        else:
            terms["stop_px"] = self.px(100, 12)
        if ord_type == "STOP_LIMIT":
            terms["limit_px"] = self.px(100, 12)
        return self._order(ord_type, tif, **terms)

    def _legs(self, is_buy: bool) -> tuple[int, int]:
        near, far = self.rng.randint(1, 8), self.rng.randint(1, 8)
        return ((100 - near) * 100, (100 + far) * 100) if is_buy else (
            (100 + near) * 100, (100 - far) * 100
        )  # fmt: skip

    def _group(self, order_class: str, side: str, **fields: object) -> GroupAccepted:
        account, group_id = self._account(), self.name()
        exit_buys = (side == BUY) == (order_class == "OCO")
        tp_px, stop_px = self._legs(exit_buys)
        tp_id = group_id if order_class == "OCO" else self.name()
        sl_id = self.name()
        lone = self.rng.choice(["tp", "sl"]) if order_class == "OTO" else ""
        tif, expire_us = self._tif()
        self.ids += [(account, one) for one in (group_id, tp_id, sl_id)]
        self.groups.append((account, group_id))
        if not lone:
            self.two_legs.add(group_id)
        cancels = self.rng.random() < 0.25
        return GroupAccepted(
            account,
            group_id,
            group_id,
            order_class,
            SYMBOL,
            side,
            tif,
            self.rng.randint(1, 12) * SHARE,
            tp_order_id="" if lone == "sl" else tp_id,
            tp_limit_px=0 if lone == "sl" else tp_px,
            sl_order_id="" if lone == "tp" else sl_id,
            sl_stop_px=0 if lone == "tp" else stop_px,
            sl_limit_px=self.rng.choice([0, stop_px]) if lone != "tp" else 0,
            policy="CANCEL" if cancels else "REDUCE",
            activation="FULL" if cancels or self.rng.random() < 0.2 else "PARTIAL",
            expire_us=expire_us,
            stp=self.rng.choice(STPS),
            **fields,  # type: ignore[arg-type]
        )

    def _oco(self) -> GroupAccepted:
        return self._group("OCO", self.rng.choice([BUY, SELL]), reserved_qty=SHARE)

    def _bracket(self) -> GroupAccepted:
        side = self.rng.choice([BUY, SELL])
        entry = self.rng.choice(["LIMIT", "LIMIT", "MARKET", "STOP"])
        terms: dict[str, object] = {"ord_type": entry}
        if entry == "LIMIT":
            terms["limit_px"] = self.px(100, 2)
        elif entry == "MARKET":
            terms["collar_px"] = self.px(100, 5)
        else:
            terms["stop_px"] = self.px(100, 4)
        return self._group(self.rng.choice(["BRACKET", "BRACKET", "OTO"]), side, **terms)

    def _recent(self) -> tuple[str, str]:
        return self.rng.choice(self.ids[-60:]) if self.ids else ("ann", "o0")

    def _cancel(self) -> CancelRequested:
        if self.groups and self.rng.random() < 0.3:
            account, group_id = self.rng.choice(self.groups[-20:])
            return CancelRequested(account, group_id, SYMBOL, group_id)
        return CancelRequested(*self._recent(), SYMBOL)

    def _replace(self) -> ReplaceRequested:
        account, orig = self._recent()
        order_id = self.name()
        self.ids.append((account, order_id))
        return ReplaceRequested(
            account, order_id, orig, order_id, SYMBOL, self.rng.randint(0, 12) * SHARE,
            self.px(100, 9), "", stop_px=self.px(100, 9),
        )  # fmt: skip

    def _amend(self) -> GroupAmendRequested:
        account, group_id = self.rng.choice(self.groups) if self.groups else ("ann", "o0")
        return GroupAmendRequested(account, group_id, SYMBOL, self.rng.randint(1, 15) * SHARE)

    def _clock(self) -> Message:
        kind = self.rng.choice(["day", "call", "tick", "tick", "halt", "resume", "freeze", "thaw"])
        if kind == "day":
            self.day += 1
            return OpenSession(f"day {self.day:03}")
        if kind == "call":
            day = f"day {self.day:03}"
            after = f"day {self.day + 1:03}"
            return self.rng.choice(
                [BeginClosingCall(day), CloseSession(day), BeginOpeningCall(after), Tick()]
            )
        if kind == "tick":
            return Tick()
        if kind in ("halt", "resume"):
            return RestrictInstrument(SYMBOL, "HALTED" if kind == "halt" else "ACTIVE", kind)
        return AccountFrozen(self._account(), kind == "freeze")


def run(seed: int, count: int, **rules: object) -> tuple[MatchingStage, list[Recorded], Ledger]:
    """A stream of commands, checked after each; the stage, its events and what they say."""
    stage = MatchingStage("matching-0")
    driver, ledger = Driver(seed), Ledger()
    static_ppm, dynamic_ppm = (
        int(str(rules.get(name, 0))) for name in ("static_band_ppm", "dynamic_band_ppm")
    )
    band = Band(static_ppm, dynamic_ppm, 10_000)
    recorded = stage.take(
        DefineInstrument(SYMBOL, 100, SHARE, reference_px=10_000, **rules),  # type: ignore[arg-type]
        1,
        "",
    )
    recorded += stage.take(OpenSession("day 001"), 1, "")
    for number in range(1, count + 1):
        new = stage.take(driver.next(), number * 5_000, f"c{number}")
        recorded += new
        band.check(new)
        for one in new:
            ledger.hear(one.event)
        ledger.check(driver.two_legs)
        stage.verify()
    return stage, recorded, ledger


class Band:
    """Holds every trade against the price bands, by what the events say."""

    def __init__(self, static_ppm: int, dynamic_ppm: int, reference_px: int) -> None:
        self.static_ppm = static_ppm
        self.dynamic_ppm = dynamic_ppm
        self.static_px = self.last_px = reference_px

    def check(self, batch: list[Recorded]) -> None:
        """The events of one command."""
        before_px = self.last_px
        for one in batch:
            event = one.event
            if isinstance(event, Uncrossed):
                self.static_px = event.px
            elif isinstance(event, SessionClosed):
                self.static_px = self.last_px
            elif isinstance(event, Traded):
                self.last_px = event.last_px
                if not event.auction:
                    self._inside(event.last_px, self.static_px, self.static_ppm)
                    self._inside(event.last_px, before_px, self.dynamic_ppm)

    def _inside(self, px: int, around_px: int, ppm: int) -> None:
        assert not ppm or abs(px - around_px) * 1_000_000 <= around_px * ppm


def check_replay(stage: MatchingStage, recorded: list[Recorded], every: int) -> None:
    """The events rebuild the state, and so do a snapshot and the events after it."""
    replica = MatchingStage("matching-0")
    loaded: list[MatchingStage] = []
    for at, one in enumerate(recorded, 1):
        name = type(one.event).__name__
        event = codec.decode(name, codec.encode(one.event))
        for each in [replica, *loaded]:
            each.replay(one.seq, one.ts_us, event)
        if at % every == 0:
            twin = MatchingStage("matching-0")
            twin.load(replica.dump(), one.seq, one.ts_us)
            assert twin.dump() == replica.dump()
            loaded = [*loaded[-3:], twin]
    for each in [replica, *loaded]:
        each.verify()
        assert each.dump() == stage.dump()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([{}, {"static_band_ppm": 60_000}, {"dynamic_band_ppm": 30_000}, {"call_s": 1}]),
)
def test_no_group_tears(seed: int, rules: dict[str, object]) -> None:
    stage, recorded, _ = run(seed, 120, **rules)
    check_replay(stage, recorded, 40)


@pytest.mark.parametrize("seed", range(2))
def test_no_group_tears_in_a_long_stream(seed: int) -> None:
    """Thousands of groups live through elections, cascades, partial fills, amends and cancels."""
    stage, recorded, ledger = run(seed, 14_000)
    assert len(ledger.filled) > 1_700
    assert len(ledger.closed) > 1_700 - 200
    seen = {type(one.event) for one in recorded}
    assert {StopElected, LegReduced, LegCancelled, GroupGrown, GroupClosed} <= seen
    check_replay(stage, recorded, 4_000)
