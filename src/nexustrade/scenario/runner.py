"""Turns the steps of a scenario into commands, one after the other, and keeps what was seen.

`Runner` needs a venue that takes commands: `PrivateVenue` here, a running one in `running.py`. A
step's commands depend on the file, the seed and what was seen before, on nothing else: against a
private venue the same file and seed give the same scorecard, byte for byte.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from nexustrade.core import terms
from nexustrade.core.codec import Message
from nexustrade.core.errors import NexusError
from nexustrade.core.ids import uuid7
from nexustrade.core.money import price_text
from nexustrade.core.time import rfc3339
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Stage
from nexustrade.matching import messages as m
from nexustrade.orders import messages as o
from nexustrade.scenario import plan
from nexustrade.scenario.scorecard import Scorecard, make_scorecard
from nexustrade.scenario.watch import Group, Watch

START_US: Final = 1_767_621_600_000_000
"""Where a private venue's clock starts: Monday 2026-01-05, 14:00 UTC."""
COMMAND_US: Final = 1_000
"""Time between two commands of a private venue."""
ENTROPY_BITS: Final = 80


class ScenarioError(NexusError):
    """A scenario cannot go on: the step cannot be done here, or came to nothing."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}" if path else text)


class Venue(Protocol):
    """Where a scenario runs. What it shows goes to `watch`."""

    watch: Watch

    def prepare(self, scenario: plan.Scenario) -> None:
        """List the instrument and open the accounts, or find that they are there."""
        ...

    def run(self, command: Message, path: str) -> bool:
        """Carry one command out to its last effect, and say whether it had any.

        Raises `ScenarioError` when it cannot be done here.
        """
        ...

    def wait(self, us: int) -> None:
        """Let time pass."""
        ...

    def jump(self, us: int, path: str) -> None:
        """Set the clock."""
        ...

    def now_us(self) -> int: ...

    def finish(self) -> None:
        """All steps are done: have a last look, and put away what was borrowed."""
        ...

    def name(self) -> str:
        """What the scorecard calls it."""
        ...


def run_scenario(scenario: plan.Scenario, venue: Venue, seed: int) -> Scorecard:
    """Drive a venue through a scenario; `ScenarioError` when a step cannot be done."""
    runner = Runner(scenario, venue, seed)
    venue.prepare(scenario)
    for step in scenario.steps:
        runner.step(step)
    venue.finish()
    return make_scorecard(
        venue.watch,
        scenario=scenario.name,
        description=scenario.description,
        symbol=scenario.instrument.symbol,
        venue=venue.name(),
        seed=seed,
        ambiguous=runner.ambiguous,
        missed=runner.missed,
    )


class PrivateVenue:
    """The two stages in memory, with a clock that stands until a step moves it.

    `make_stage` gives an empty stage for a stream. Calls that are due end on the way of a wait, at
    their own instant, as the ticks of a running venue end them.
    """

    def __init__(
        self,
        make_stage: Callable[[str], Stage],
        make_query: Callable[[list[Stage]], o.OrdersQuery],
    ) -> None:
        routing = Routing(1, 1)
        self.stages = {shard: make_stage(shard) for shard in routing.shards()}
        self.flow = Flow(self.stages, routing)
        self.watch = Watch()
        self._query = make_query
        self._now_us = START_US

    def prepare(self, scenario: plan.Scenario) -> None:
        """List the instrument and open the accounts."""
        self._prepare(scenario.instrument, "instrument")
        for at, account in enumerate(scenario.accounts):
            self._prepare(account.open, f"accounts[{at}]")
            if account.shares is not None:
                self._prepare(account.shares, f"accounts[{at}].shares")
        # These are part of the venue, not of what is driven through it.
        self.watch.commands = 0

    def _prepare(self, command: Message, path: str) -> None:
        self.run(command, path)
        for refused in self.watch.refusals:
            raise ScenarioError(path, f"{refused.reason} {refused.text}".rstrip())

    def run(self, command: Message, path: str) -> bool:
        """Run a command through both stages to its last effect."""
        del path
        self._now_us += COMMAND_US
        self.watch.commands += 1
        return self._flow(command)

    def _flow(self, command: Message) -> bool:
        self.watch.begin(self._now_us)
        self.flow.run(command, self._now_us)
        events, self.flow.events = self.flow.events, []
        for recorded in events:
            self.watch.see(recorded.event)
        self.watch.end()
        return bool(events)

    def wait(self, us: int) -> None:
        """Move the clock; each call that ends by then ends at its instant."""
        until_us = self._now_us + us
        while True:
            due = [at for at in self.watch.due_us if at <= until_us]
            if not due:
                break
            at = min(due)
            del self.watch.due_us[at]
            self._now_us = max(at, self._now_us)
            self._flow(m.Tick())
        self._now_us = until_us
        self._flow(m.Tick())

    def jump(self, us: int, path: str) -> None:
        """Set the clock forward or back, without anything in between."""
        del path
        self._now_us += us
        self._flow(m.Tick())

    def now_us(self) -> int:
        """The virtual clock."""
        return self._now_us

    def finish(self) -> None:
        """Check the stages' own invariants, and what each closed group still holds."""
        for stage in self.stages.values():
            stage.verify()
        query = self._query(list(self.stages.values()))
        for group_id, group in self.watch.groups.items():
            record = query.group(group_id)
            if group.closed and record is not None:
                self.watch.reserve(group_id, record.reserved, record.reserved_qty)

    def name(self) -> str:
        """What the scorecard calls it."""
        return "private venue"


class Runner:
    """The steps of one scenario as commands to one venue."""

    def __init__(self, scenario: plan.Scenario, venue: Venue, seed: int) -> None:
        self.venue = venue
        self.watch = venue.watch
        self.symbol = scenario.instrument.symbol
        self.seed = seed
        self.ambiguous: list[str] = []
        self.missed: list[str] = []
        # The order or group (by its id) that each name stands for, as it was entered, and whose.
        self.named: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.session_date = ""
        self.is_calling = False

    def step(self, step: plan.Step) -> None:
        """Carry a step out, with all of its repetitions."""
        for at in self._rounds(step):
            if step.wait_us:
                self.venue.wait(step.wait_us)
            self._round(step, at)

    def _rounds(self, step: plan.Step) -> list[int]:
        rounds = list(range(step.repeat))
        if step.shuffle:
            Random(f"{self.seed}/{step.path}").shuffle(rounds)  # noqa: S311 - repeatable on purpose
        return rounds

    def _round(self, step: plan.Step, at: int) -> None:
        if isinstance(step, plan.Submit):
            self._submit(step, at)
        elif isinstance(step, plan.Group):
            self._group(step, at)
        elif isinstance(step, plan.Print):
            self._print(step, step.name(at), step.price + at * step.price_step, 0)
        elif isinstance(step, plan.Bar):
            self._bar(step)
        elif isinstance(step, plan.Cancel):
            self._cancel(step)
        elif isinstance(step, plan.Amend):
            self._amend(step)
        elif isinstance(step, plan.State):
            self._run(step, o.RestrictInstrument(self.symbol, step.state, step.reason))
        elif isinstance(step, plan.Freeze):
            self._run(step, o.FreezeAccount(step.account, step.frozen, step.reason))
        elif isinstance(step, plan.Session):
            self._session(step)
        elif isinstance(step, plan.Wait) and step.jump_us:
            self.venue.jump(step.jump_us, step.path)

    def _run(self, step: plan.Step, command: Message) -> bool:
        return self.venue.run(command, step.path)

    def _id_of(self, label: str, account_id: str) -> str:
        """The id of an order that is about to be made, which is called `label`."""
        ids = Random(f"{self.seed}/{len(self.accounts)}")  # noqa: S311 - repeatable on purpose
        order_id = uuid7(self.venue.now_us(), ids.getrandbits(ENTROPY_BITS))
        self.watch.name(order_id, label)
        self.accounts[order_id] = account_id
        return order_id

    # -- orders

    def _submit(self, step: plan.Submit, at: int) -> None:
        moved = at * step.price_step
        away = step.level_step if step.side == terms.SELL else -step.level_step
        for level in range(step.levels):
            label = step.name(at) if step.levels == 1 else f"{step.name(at)}.{level + 1}"
            order_id = self.named[label] = self._id_of(label, step.account)
            self._run(
                step,
                o.SubmitOrder(
                    step.account,
                    order_id,
                    order_id,
                    self.symbol,
                    step.side,
                    step.ord_type,
                    step.time_in_force,
                    order_qty=step.qty,
                    limit_px=_moved(step.limit_px, moved + level * away),
                    post_only=step.post_only,
                    stop_px=_moved(step.stop_px, moved),
                    trail_px=step.trail_px,
                    trail_ppm=step.trail_ppm,
                ),
            )

    def _group(self, step: plan.Group, at: int) -> None:
        label, account, moved = step.name(at), step.account, at * step.price_step
        group_id = self.named[label] = self._id_of(label, account)
        is_oco = step.order_class == terms.OCO
        tp_order_id = sl_order_id = ""
        if step.tp_limit_px:
            tp_order_id = group_id if is_oco else self._id_of(f"{label}.take_profit", account)
        if step.sl_stop_px:
            sl_order_id = self._id_of(f"{label}.stop_loss", account)
        self._run(
            step,
            o.SubmitGroup(
                account,
                group_id,
                group_id,
                step.order_class,
                self.symbol,
                step.side,
                step.time_in_force,
                order_qty=step.qty,
                ord_type=step.ord_type,
                limit_px=_moved(step.limit_px, moved),
                stop_px=_moved(step.stop_px, moved),
                tp_order_id=tp_order_id,
                tp_cl_ord_id=tp_order_id,
                tp_limit_px=_moved(step.tp_limit_px, moved),
                sl_order_id=sl_order_id,
                sl_cl_ord_id=sl_order_id,
                sl_stop_px=_moved(step.sl_stop_px, moved),
                sl_limit_px=_moved(step.sl_limit_px, moved),
                policy=step.policy,
                activation=step.activation,
                auto_shrink=step.auto_shrink,
            ),
        )

    def _targets(self, target: str) -> list[str]:
        """The names of the orders and groups that a step's `id` names, in order of their entry."""
        meant = re.compile(re.escape(target) + r"(-[0-9]+)?(\.[0-9]+)?")
        return [name for name in self.named if meant.fullmatch(name)]

    def _cancel(self, step: plan.Cancel) -> None:
        for name in self._targets(step.target):
            order_id = self.named[name]
            account_id = self.accounts[order_id]
            if order_id in self.watch.groups and not step.leg:
                self._run(step, o.CancelGroup(account_id, order_id))
            else:
                self._run(step, o.CancelOrder(account_id, self._order(name, step)))

    def _amend(self, step: plan.Amend) -> None:
        for name in self._targets(step.target):
            order_id = self.named[name]
            account_id = self.accounts[order_id]
            if order_id in self.watch.groups and not step.leg:
                self._run(step, o.AmendGroup(account_id, order_id, step.qty))
                continue
            orig_order_id = self._order(name, step)
            new_id = self._id_of(f"{name}{'.' if step.leg else ''}{step.leg}", account_id)
            self._run(
                step,
                o.ReplaceOrder(
                    account_id,
                    new_id,
                    orig_order_id,
                    new_id,
                    order_qty=step.qty,
                    limit_px=step.limit_px,
                    stop_px=step.stop_px,
                ),
            )

    def _order(self, name: str, step: plan.Amend | plan.Cancel) -> str:
        """The order that a name, or its leg, is now: replaces give it new ids."""
        order_id = self.named[name]
        group = self.watch.groups.get(order_id)
        if step.leg in {"", "entry"}:
            return self.watch.current(order_id)
        leg = None
        if group is not None:
            leg = group.take_profit if step.leg == "take_profit" else group.stop_loss
        if leg is None:
            raise ScenarioError(step.path, f"{name} has no {step.leg}, or was refused")
        return leg.order_id

    # -- the session

    def _session(self, step: plan.Session) -> None:
        today = rfc3339(self.venue.now_us())[:10]
        begins = step.do == plan.OPEN_CALL or (step.do == plan.OPEN and not self.is_calling)
        date = step.date or (today if begins else self.session_date or today)
        commands: dict[str, Message] = {
            plan.OPEN_CALL: m.BeginOpeningCall(date),
            plan.OPEN: m.OpenSession(date),
            plan.CLOSE_CALL: m.BeginClosingCall(date),
            plan.CLOSE: m.CloseSession(date),
        }
        if not self._run(step, commands[step.do]) and not step.date:
            raise ScenarioError(step.path, f"{step.do} of {date}: the venue is past it")
        self.is_calling = step.do == plan.OPEN_CALL
        self.session_date = date

    # -- trades

    def _print(self, step: plan.Print | plan.Bar, label: str, price: int, depth_qty: int) -> None:
        """A trade at a price: who makes it stands there first, for `depth_qty` more than is taken.

        A price at or below the last is sold down to, one above it bought up to: what the book holds
        on the way trades first, as it would. What is left of the maker then leaves.
        """
        down = price <= (self.watch.last_px or price)
        maker, taker = (step.buyer, step.seller) if down else (step.seller, step.buyer)
        sides = (terms.BUY, terms.SELL) if down else (terms.SELL, terms.BUY)
        qty = step.qty + depth_qty
        maker_id = self._limit(step, f"{label}.maker", maker, sides[0], price, qty, terms.DAY)
        self._limit(step, f"{label}.taker", taker, sides[1], price, step.qty, terms.IOC)
        prints = self.watch.prints
        if price not in prints:
            traded = ", ".join(map(price_text, dict.fromkeys(prints))) or "nothing"
            self.missed.append(f"{label} at {price_text(price)}, traded: {traded}")
        if maker_id in self.watch.sides and self.watch.cum_qty.get(maker_id, 0) < qty:
            self._run(step, o.CancelOrder(maker, maker_id))

    def _limit(
        self, step: plan.Step, label: str, account: str, side: str, price: int, qty: int, tif: str
    ) -> str:
        order_id = self._id_of(label, account)
        order = o.SubmitOrder(
            account,
            order_id,
            order_id,
            self.symbol,
            side,
            terms.LIMIT,
            tif,
            order_qty=qty,
            limit_px=price,
        )
        self._run(step, order)
        return order_id

    def _bar(self, bar: plan.Bar) -> None:
        """Four trades: open, the extreme that comes first, the other, close."""
        sells = [g for g in self.watch.groups.values() if not g.is_buy and _spans(bar, g)]
        buys = [g for g in self.watch.groups.values() if g.is_buy and _spans(bar, g)]
        if sells and buys:
            text = f"spans both legs of {sells[0].label}, which sells, and {buys[0].label}"
            raise ScenarioError(bar.path, f"{text}, which buys: split the bar")
        self.ambiguous.extend(f"{group.label} in {bar.name(0)}" for group in sells + buys)
        low_is_nearer = bar.open_px - bar.low_px <= bar.high_px - bar.open_px
        low_first = bool(sells) or (low_is_nearer and not buys)
        extremes = (bar.low_px, bar.high_px) if low_first else (bar.high_px, bar.low_px)
        before = 0
        for name, price in zip(
            ("open", "first", "second", "close"),
            (bar.open_px, *extremes, bar.close_px),
            strict=True,
        ):
            if price != before:
                self._print(bar, f"{bar.name(0)}.{name}", price, bar.depth_qty)
            before = price


def _spans(bar: plan.Bar, group: Group) -> bool:
    """Whether a bar that opens between a group's legs reaches both of them."""
    if group.closed or group.take_profit is None or group.stop_loss is None:
        return False
    low, high = sorted((group.tp_limit_px, group.sl_stop_px))
    return bar.low_px <= low < bar.open_px < high <= bar.high_px


def _moved(price: int, by: int) -> int:
    """A price of a step in one of its rounds; 0 stays none."""
    return price + by if price else 0
