"""The demo market on the two stages: seeded books, hits, outages, restarts."""

import asyncio
from collections.abc import Sequence

import pytest

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable
from nexustrade.core.terms import BUY, IOC, LIMIT, MARKET, SELL
from nexustrade.demo.market import Demo, retire
from nexustrade.kernel.config import DemoConfig, VenueConfig, load_config
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import BookSnapshot, CloseSession
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import BlockVenue, OpenAccount, RestrictInstrument, SubmitOrder
from nexustrade.orders.service import OrdersView
from tests.two_stages import TwoStages

SHARE = 100_000_000
DEFAULT = load_config(None)


class Venue:
    """`Commands` and `OrdersQuery` over the stages; checks each book after each command."""

    def __init__(self, config: VenueConfig = DEFAULT) -> None:
        self.stages = TwoStages()
        self.replica = OrdersStage("orders-0")
        self.view = OrdersView([self.replica], self.stages.routing.orders_of)
        self.symbols = [each.symbol for each in config.instruments]
        self.sent: list[Message] = []
        self.away = False
        self.seeded = False
        self.published = 0
        self.levels_min = 1
        for instrument in config.instruments:
            self.stages.run(instrument)
        self.stages.start()
        asyncio.get_running_loop()

    async def publish(self) -> Sequence[LogEntry]:
        new = self.stages.log[self.published :]
        self.published = len(self.stages.log)
        entries = [LogEntry(shard, r.seq, r.ts_us, r.cause, r.event) for shard, r in new]
        of_orders = [entry for entry in entries if entry.shard == "orders-0"]
        await self.view.receive(of_orders)
        return of_orders

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        self.sent.append(command)
        self.stages.run(command)
        answer = await self.publish()
        if self.seeded:
            self.check_books()
        return answer

    def check_books(self) -> None:
        for symbol in self.symbols:
            book = self.book(symbol)
            assert len(book.bids) >= self.levels_min, symbol
            assert len(book.asks) >= self.levels_min, symbol

    def book(self, symbol: str) -> BookSnapshot:
        book = self.stages.matching[0].snapshot(symbol, 1_000)
        assert book is not None
        return book

    async def demo(self, clock: VirtualClock, config: VenueConfig = DEFAULT) -> Demo:
        await self.publish()
        demo = Demo(self, self.view, clock, config)
        await demo.seed()
        self.seeded = True
        self.check_books()
        return demo


async def passes(clock: VirtualClock, seconds: float) -> None:
    """Let time pass in small pieces, so that the market has its turn in each."""
    for _ in range(round(seconds * 20)):
        await clock.advance(1 / 20)


async def test_every_book_is_quoted_before_the_venue_is_ready() -> None:
    venue = Venue()
    await venue.demo(VirtualClock())
    for symbol in venue.symbols:
        book = venue.book(symbol)
        assert (len(book.bids), len(book.asks)) == (7, 7)
        assert book.bids[0][0] < book.asks[0][0]
    venue.stages.verify()


async def test_the_market_lives_and_keeps_every_book_filled() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    seeded = len(venue.sent)
    running = asyncio.create_task(demo.run())
    await passes(clock, 120)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    sent = len(venue.sent) - seeded
    trades = sum(type(r.event).__name__ == "Traded" for _, r in venue.stages.log)
    assert trades > 200
    assert 600 <= sent <= 2_400  # 10 a second, and replenishing on top
    assert {type(each).__name__ for each in venue.sent[seeded:]} == {"SubmitOrder", "CancelOrder"}
    names = [type(r.event).__name__ for _, r in venue.stages.log]
    assert "OrderRejected" not in names
    assert "CommandRejected" not in names
    venue.stages.verify()
    open_orders = sum(len(venue.view.open_orders(each)) for each in venue.view.account_ids())
    assert open_orders <= 20 * 14 + 4 * 3 + 20


async def test_a_new_quote_stands_before_the_old_one_goes() -> None:
    config = VenueConfig(instruments=DEFAULT.instruments, demo=DemoConfig(noise_traders=0))
    venue, clock = Venue(config), VirtualClock()
    demo = await venue.demo(clock, config)
    venue.levels_min = 7  # nobody trades, so no level is ever missing
    running = asyncio.create_task(demo.run())
    await passes(clock, 60)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "CancelOrder" in {type(each).__name__ for each in venue.sent}


async def test_the_same_seed_sends_the_same_commands() -> None:
    sent = []
    for _ in range(2):
        venue, clock = Venue(), VirtualClock()
        demo = await venue.demo(clock)
        for _ in range(60):
            turn = asyncio.create_task(demo.turn())
            await passes(clock, 1)
            await turn
        sent.append(venue.sent)
    assert sent[0] == sent[1]


async def test_an_order_that_takes_the_whole_ladder_leaves_quotes_and_is_filled_up() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    await venue.submit(OpenAccount("whale", "CASH", cash=10**15))
    ladder = sum(level[1] for level in venue.book("AAPL").asks[:5])
    price = venue.book("AAPL").asks[4][0]
    await venue.submit(
        SubmitOrder("whale", "w-1", "w-1", "AAPL", BUY, LIMIT, IOC, ladder, limit_px=price)
    )
    assert len(venue.book("AAPL").asks) == 2
    before = demo.fair["AAPL"]
    turn = asyncio.create_task(demo.turn())
    await passes(clock, 1)
    await turn
    assert len(venue.book("AAPL").asks) >= 7
    assert demo.fair["AAPL"] > before


async def test_a_hit_wakes_a_market_that_waits_for_its_next_step() -> None:
    config = VenueConfig(instruments=DEFAULT.instruments, demo=DemoConfig(orders_per_s=1))
    venue, clock = Venue(config), VirtualClock()
    demo = await venue.demo(clock, config)
    await venue.submit(OpenAccount("whale", "CASH", cash=10**15))
    running = asyncio.create_task(demo.run())
    await clock.advance(0.5)
    qty = venue.book("AAPL").asks[0][1]
    await venue.submit(SubmitOrder("whale", "w-1", "w-1", "AAPL", BUY, MARKET, IOC, qty))
    hit = venue.sent[-1]
    await clock.advance(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    after = venue.sent[venue.sent.index(hit) + 1 :]
    assert any(isinstance(each, SubmitOrder) and each.symbol == "AAPL" for each in after)


async def test_an_outage_is_waited_out() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    running = asyncio.create_task(demo.run())
    await passes(clock, 5)
    venue.away = True
    before = len(venue.sent)
    await passes(clock, 30)
    assert len(venue.sent) == before
    venue.away = False
    await passes(clock, 10)
    assert before + 40 <= len(venue.sent) <= before + 200  # and nothing is made up for
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    venue.stages.verify()


async def test_a_restart_finds_its_accounts_and_orders_again() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    for _ in range(100):
        turn = asyncio.create_task(demo.turn())
        await passes(clock, 1)
        await turn
    fair, before = demo.fair, len(venue.sent)
    demo.close()
    await passes(clock, 10)
    again = await venue.demo(clock)
    kinds = {type(each).__name__ for each in venue.sent[before:]}
    assert kinds <= {"SubmitOrder", "CancelOrder"}
    assert len(venue.sent) - before < 150  # what stands is kept, not made anew
    grid = {symbol: price * 4 // 10_000 for symbol, price in fair.items()}
    assert all(abs(again.fair[symbol] - fair[symbol]) <= grid[symbol] + 1 for symbol in fair)
    for _ in range(50):
        turn = asyncio.create_task(again.turn())
        await passes(clock, 1)
        await turn
    ids = [each.order_id for each in venue.sent if isinstance(each, SubmitOrder)]
    assert len(set(ids)) == len(ids)


async def test_fewer_makers_after_a_restart_leave_no_stray_quotes() -> None:
    venue, clock = Venue(), VirtualClock()
    (await venue.demo(clock)).close()
    await passes(clock, 1)
    one = VenueConfig(instruments=DEFAULT.instruments, demo=DemoConfig(makers=1, noise_traders=1))
    await venue.demo(clock, one)
    assert not venue.view.open_orders("demo-maker-2")
    assert len(venue.book("AAPL").bids) == 6


async def test_retiring_the_demo_takes_its_orders_out_of_the_books() -> None:
    venue, clock = Venue(), VirtualClock()
    (await venue.demo(clock)).close()
    venue.seeded = False
    await retire(venue, venue.view)
    assert not venue.book("AAPL").bids
    await retire(venue, venue.view)


async def test_a_maker_without_shares_or_cash_is_given_more() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    await venue.submit(OpenAccount("whale", "CASH", cash=10**17))
    position = venue.view.position("demo-maker-1", "AAPL")
    assert position is not None
    running = asyncio.create_task(demo.run())
    for at in range(40):
        asks = venue.book("AAPL").asks
        qty = min(sum(level[1] for level in asks), 100_000 * SHARE) // SHARE * SHARE
        await venue.submit(
            SubmitOrder("whale", f"w-{at}", f"w-{at}", "AAPL", BUY, LIMIT, IOC, qty // 20 * 19
                        // SHARE * SHARE, limit_px=asks[-1][0])
        )  # fmt: skip
        await passes(clock, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "AdjustPosition" in {type(each).__name__ for each in venue.sent[200:]}
    venue.stages.verify()


async def test_a_halted_symbol_and_a_blocked_venue_are_left_alone_for_a_while() -> None:
    venue, clock = Venue(), VirtualClock()
    demo = await venue.demo(clock)
    await venue.submit(RestrictInstrument("AAPL", "HALTED"))
    await venue.submit(BlockVenue(blocked=True))
    before = len(venue.sent)
    running = asyncio.create_task(demo.run())
    await passes(clock, 60)
    assert len(venue.sent) - before < 300
    assert all(len(venue.book(symbol).bids) < 12 for symbol in venue.symbols)
    await venue.submit(BlockVenue(blocked=False))
    before = len(venue.stages.log)
    await passes(clock, 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "Traded" in {type(r.event).__name__ for _, r in venue.stages.log[before:]}


async def test_quotes_that_cannot_be_replaced_stay() -> None:
    config = VenueConfig(instruments=DEFAULT.instruments, demo=DemoConfig(noise_traders=0))
    venue, clock = Venue(config), VirtualClock()
    demo = await venue.demo(clock, config)
    venue.levels_min = 7
    running = asyncio.create_task(demo.run())
    await venue.submit(BlockVenue(blocked=True))
    await passes(clock, 120)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "OrderRejected" in {type(r.event).__name__ for _, r in venue.stages.log}


async def test_a_closed_market_rests() -> None:
    venue, clock = Venue(), VirtualClock()
    await venue.publish()
    demo = Demo(venue, venue.view, clock, DEFAULT, lambda: False)
    venue.stages.run(CloseSession("day 00000"))
    await demo.seed()
    before = len(venue.sent)
    running = asyncio.create_task(demo.run())
    await passes(clock, 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(venue.sent) == before


async def test_seeding_says_when_the_store_is_away_and_works_later() -> None:
    venue, clock = Venue(), VirtualClock()
    await venue.publish()
    demo = Demo(venue, venue.view, clock, DEFAULT)
    venue.away = True
    with pytest.raises(StoreUnavailable):
        await demo.seed()
    venue.away = False
    await demo.seed()
    venue.check_books()
    assert venue.view.account("demo-maker-1") is not None
    assert SELL
