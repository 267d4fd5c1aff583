"""The loop of the demo market: pace, funds, hits, outages and restarts around `plan.py`."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

from nexustrade.core.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from nexustrade.core.money import QTY_ONE
from nexustrade.core.terms import BUY, CASH, NEW, PARTIALLY_FILLED, SELL
from nexustrade.demo.plan import Planner, Steps, Working, by_symbol
from nexustrade.kernel.config import DEMO_PREFIXES, VenueConfig
from nexustrade.kernel.ports import Clock, Commands, LogEntry
from nexustrade.orders.messages import (
    INSUFFICIENT_BUYING_POWER,
    INSUFFICIENT_QTY,
    VENUE_BLOCKED,
    AdjustCash,
    AdjustPosition,
    CancelAllOrders,
    CancelOrder,
    OpenAccount,
    OrderRecord,
    OrderRejected,
    OrdersQuery,
    SubmitOrder,
)

Command = OpenAccount | AdjustCash | AdjustPosition | SubmitOrder | CancelOrder

CASH_CENTS: Final = 1_000_000_000_000
"""Cash of a demo account when it is opened, and what it gets when it runs out: 10 billion USD."""
HOLDING_LEVELS: Final = 1_000
"""Shares of a demo account in each symbol, in best levels; it gets as many when they run out."""
IN_FLIGHT_MAX: Final = 128
"""Commands under way at once."""
REPLENISH_PAUSE_S: Final = 0.02
"""Shortest time between two replenishments."""
RETRY_PAUSE_S: Final = 1.0
"""How long the market waits when the store is away or the venue is full."""
CLOSED_PAUSE_S: Final = 1.0
COOL_NS: Final = 5_000_000_000
"""How long a symbol is left alone after one of its orders was rejected."""
TOP_UP_COOL_NS: Final = 200_000_000
"""The same when all it lacked was cash or shares, which it has been given."""
IDLE_STEPS_MAX: Final = 20
"""Steps that need no command are passed over, at most so many in one turn."""
PAUSE_S_MAX: Final = 1.0
DESCRIPTION: Final = "demo market"


async def retire(
    commands: Commands, orders: OrdersQuery, keep: Collection[str] = frozenset()
) -> None:
    """Cancel what demo accounts of an earlier run, other than `keep`, have in the books."""
    for account_id in orders.account_ids():
        stale = account_id.startswith(DEMO_PREFIXES) and account_id not in keep
        if stale and orders.open_orders(account_id):
            await commands.submit(CancelAllOrders(account_id))


class Demo:
    """The demo market of a venue. `seed()` first, then `run()` until it is cancelled.

    It trades through `commands` as any client does, and knows the venue through `orders` alone.
    """

    def __init__(
        self,
        commands: Commands,
        orders: OrdersQuery,
        clock: Clock,
        config: VenueConfig,
        session_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._commands = commands
        self._orders = orders
        self._clock = clock
        self._session_open = session_open
        demo = config.demo
        self.makers = [f"demo-maker-{at + 1}" for at in range(demo.makers)]
        self.noise_traders = [f"demo-noise-{at + 1}" for at in range(demo.noise_traders)]
        self._accounts = frozenset(self.makers + self.noise_traders)
        self._command_ns = 1_000_000_000 // demo.orders_per_s
        self._planner = Planner(
            demo.seed, orders.instruments(), self.makers, self.noise_traders, demo.levels
        )
        self._step = 0
        self._fair: dict[str, int] = {}
        self._working: dict[str, Working] = {}
        self._leaving: set[str] = set()
        self._hit: dict[str, None] = {}
        self._cool_until_ns: dict[str, int] = {}
        self._next_ns = 0
        self._wake = asyncio.Event()
        self._stop_listening: Callable[[], None] | None = None

    @property
    def fair(self) -> dict[str, int]:
        """The fair price of each symbol, in 1e-4 USD."""
        return dict(self._fair)

    # -- before the venue is ready

    async def seed(self) -> None:
        """Open and fund the accounts, and quote every book; finds what an earlier run left.

        Raises `StoreUnavailable`, `Overloaded` or `OutcomeUnknown`; it may be called again then.
        """
        if self._stop_listening is None:
            self._stop_listening = self._orders.listen(self._hear, self._accounts)
        names = [*self.makers, *self.noise_traders]
        await self._send(self._opening(each) for each in names if not self._orders.account(each))
        await self._send(self._deliveries(names))
        await retire(self._commands, self._orders, keep=self._accounts)
        self._resync()
        for symbol in self._planner.symbols:
            await self._carry_out(symbol, self._replenishment(symbol))
            self._hit.pop(symbol, None)

    def _opening(self, account_id: str) -> OpenAccount:
        return OpenAccount(account_id, CASH, cash=CASH_CENTS)

    def _deliveries(self, names: Iterable[str]) -> Iterable[AdjustPosition]:
        for name in names:
            held = {each.symbol for each in self._orders.positions(name)}
            for symbol in self._planner.symbols:
                if symbol not in held:
                    yield self._delivery(name, symbol)

    def _delivery(self, account_id: str, symbol: str) -> AdjustPosition:
        terms = self._planner.terms[symbol]
        # Whole shares, so that no part of one is left over when the lot is a fraction.
        qty = terms.level_qty * HOLDING_LEVELS // QTY_ONE * QTY_ONE or terms.level_qty
        return AdjustPosition(account_id, symbol, qty, terms.reference, DESCRIPTION)

    def _resync(self) -> None:
        """Take the working orders and fair prices from the venue, and forget what was known."""
        self._working = {}
        self._leaving = set()
        for account_id in (*self.makers, *self.noise_traders):
            for record in self._orders.open_orders(account_id):
                self._note(record)
        books = by_symbol(self._working)
        for symbol in self._planner.symbols:
            maker_quotes = [
                each for each in books.get(symbol, []) if each.account_id in self.makers
            ]
            position = self._orders.position(self.makers[0], symbol)
            last_px = position.last_px if position is not None else 0
            self._fair[symbol] = self._planner.fair_of(symbol, maker_quotes, last_px)
            self._hit[symbol] = None

    # -- what the venue tells

    def _hear(self, entry: LogEntry, record: OrderRecord | None) -> None:
        """Keep the working orders; a quote that is hit or gone wakes the loop."""
        del entry
        if record is None or record.account_id not in self._accounts:
            return
        before = self._working.get(record.order_id)
        self._note(record)
        now = self._working.get(record.order_id)
        if before is None or record.account_id not in self.makers:
            return
        if now is None or now.leaves_qty < before.leaves_qty:
            self._hit[record.symbol] = None
            self._wake.set()

    def _note(self, record: OrderRecord) -> None:
        if record.ord_status not in (NEW, PARTIALLY_FILLED) or record.limit_px == 0:
            self._working.pop(record.order_id, None)
            self._leaving.discard(record.order_id)
        elif record.order_id not in self._leaving:
            self._working[record.order_id] = Working(
                record.order_id,
                record.account_id,
                record.symbol,
                record.side,
                record.limit_px,
                record.leaves_qty,
            )

    # -- the loop

    async def run(self) -> None:
        """Make the market until cancelled; an outage of the store is waited out."""
        try:
            while True:
                try:
                    await self.turn()
                except (StoreUnavailable, Overloaded, OutcomeUnknown):
                    await self._clock.sleep(RETRY_PAUSE_S)
                    self._resync()
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening to the venue."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    async def turn(self) -> None:
        """One turn of the loop: fill what was hit, make a step if one is due, wait."""
        if not self._session_open() or not self._planner.symbols:
            await self._clock.sleep(CLOSED_PAUSE_S)
            return
        await self._fill_hits()
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_ns:
            sent = await self._make_step()
            # What was missed (an outage) is not made up for.
            self._next_ns = max(self._next_ns, now_ns - self._command_ns) + sent * self._command_ns
        await self._wait()

    async def _fill_hits(self) -> None:
        self._wake.clear()
        hits, self._hit = self._hit, {}
        for symbol in hits:
            if self._is_cooling(symbol):
                self._hit[symbol] = None
            else:
                await self._carry_out(symbol, self._replenishment(symbol))

    async def _make_step(self) -> int:
        """Carry out the next step that has commands; how many it had, at least 1."""
        for _ in range(IDLE_STEPS_MAX):
            step = self._take_step()
            symbol = self._planner.symbol_of(step)
            if self._is_cooling(symbol):
                continue
            trader = self._planner.noise_trader_of(step)
            noise_open = sum(each.account_id == trader for each in self._working.values())
            now_us = self._clock.now_us()
            book = self._book(symbol)
            steps = self._planner.plan(step, self._fair[symbol], book, now_us, noise_open)
            await self._carry_out(symbol, steps)
            if steps.commands():
                return steps.commands()
        return 1

    async def _wait(self) -> None:
        """Until the next step is due, or a quote was hit, but a short while in any case."""
        due_s = (self._next_ns - self._clock.monotonic_ns()) / 1e9
        pause_s = min(max(due_s, 0.0), PAUSE_S_MAX)
        await self._clock.sleep(min(pause_s, REPLENISH_PAUSE_S))
        if pause_s <= REPLENISH_PAUSE_S:
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(pause_s - REPLENISH_PAUSE_S))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    def _replenishment(self, symbol: str) -> Steps:
        return self._planner.replenish(
            self._take_step(),
            symbol,
            self._fair[symbol],
            self._book(symbol),
            self._clock.now_us(),
        )

    def _book(self, symbol: str) -> list[Working]:
        return [each for each in self._working.values() if each.symbol == symbol]

    def _take_step(self) -> int:
        self._step += 1
        return self._step

    def _is_cooling(self, symbol: str) -> bool:
        return self._cool_until_ns.get(symbol, 0) > self._clock.monotonic_ns()

    # -- sending

    async def _carry_out(self, symbol: str, steps: Steps) -> None:
        """New orders first; only then are the old ones cancelled that they stand in for."""
        self._fair[symbol] = steps.fair
        refused = await self._send(steps.orders)
        cancels = []
        for cancel in steps.cancels:
            old = self._working.get(cancel.order_id)
            if old is None or (old.account_id, old.side) in refused:
                continue
            del self._working[cancel.order_id]
            self._leaving.add(cancel.order_id)
            cancels.append(cancel)
        await self._send(cancels)

    async def _send(self, commands: Iterable[Command]) -> set[tuple[str, str]]:
        """Send commands in their order, some at once; the accounts and sides that were refused."""
        waiting = list(commands)
        refused: set[tuple[str, str]] = set()
        for at in range(0, len(waiting), IN_FLIGHT_MAX):
            part = waiting[at : at + IN_FLIGHT_MAX]
            answers = await asyncio.gather(
                *map(self._commands.submit, part), return_exceptions=True
            )
            rejections: list[OrderRejected] = []
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                first = answer[0].event if answer else None
                if isinstance(first, OrderRejected):
                    rejections.append(first)
            refused.update((each.account_id, each.side) for each in rejections)
            await asyncio.gather(*map(self._commands.submit, self._top_ups(rejections)))
        return refused

    def _top_ups(self, rejections: Iterable[OrderRejected]) -> list[Command]:
        """What rejected orders lacked, once each; their symbols cool down."""
        found: dict[tuple[str, str], Command] = {}
        for rejected in rejections:
            account_id, symbol = rejected.account_id, rejected.symbol
            if rejected.reason == INSUFFICIENT_QTY and rejected.side == SELL:
                found[account_id, symbol] = self._delivery(account_id, symbol)
                self._cool((symbol,), TOP_UP_COOL_NS)
            elif rejected.reason == INSUFFICIENT_BUYING_POWER and rejected.side == BUY:
                found[account_id, ""] = AdjustCash(account_id, CASH_CENTS, DESCRIPTION)
                self._cool((symbol,), TOP_UP_COOL_NS)
            elif rejected.reason == VENUE_BLOCKED:
                self._cool(self._planner.symbols, COOL_NS)
            else:
                self._cool((symbol,), COOL_NS)
        return list(found.values())

    def _cool(self, symbols: Iterable[str], cool_ns: int) -> None:
        until_ns = self._clock.monotonic_ns() + cool_ns
        for symbol in symbols:
            self._cool_until_ns[symbol] = until_ns
            self._hit[symbol] = None  # it is filled up when it has cooled down
