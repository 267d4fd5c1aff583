"""A scenario on a running venue: commands go in over its HTTP API, and its own events come back.

The venue makes the ids of orders; here they go by those that the scenario gave them, which the
venue knows as client order ids. What the scenario cannot have there is refused before its first
step: its symbol and the shares of its accounts have to be there, and hours and clock are the
venue's own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from nexustrade.core import terms
from nexustrade.core.codec import Message
from nexustrade.core.errors import NexusError
from nexustrade.core.money import (
    parse_qty,
    parse_signed_qty,
    parse_usd,
    percent_text,
    price_text,
    qty_text,
    scaled_text,
    usd_text,
)
from nexustrade.core.time import US_PER_S
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching import messages as m
from nexustrade.orders import messages as o
from nexustrade.scenario import plan
from nexustrade.scenario.runner import ScenarioError
from nexustrade.scenario.watch import Watch

SPEED_MAX: Final = 1_000
POLL_US: Final = 200_000
"""Time between two looks at the venue's events while nothing is sent."""
CALL_LATE_US_MAX: Final = 10 * US_PER_S
"""How long after its time the end of a call is waited for."""
_RATE_DECIMALS: Final = 6


class Refused(NexusError):
    """The venue answered, and did not take a request."""


class Api(Protocol):
    """The venue's HTTP API as an account sees it, or ("") as its operator does."""

    def __call__(
        self, account_id: str, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Any:
        """The answer; `Refused` with the venue's own words."""
        ...


class RunningVenue:
    """A venue that runs. `events` gives what it has stored since it was last asked, in order.

    With a `speed` above 1 the scenario's waits and auctions are so many times as short.
    """

    def __init__(
        self, url: str, api: Api, events: Callable[[], Sequence[LogEntry]], speed: int = 1
    ) -> None:
        self.watch = Watch()
        self._url = url
        self._api = api
        self._events = events
        self._speed = speed
        self._symbol = ""
        self._accounts: tuple[str, ...] = ()
        self._rules: dict[str, object] = {}
        # The scenario's id of each order by the venue's, and the other way round.
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] = {}
        self._groups: dict[str, o.SubmitGroup] = {}
        self._asked = ""

    # -- before and after

    def prepare(self, scenario: plan.Scenario) -> None:
        """Find that all is there that the scenario needs, and give the symbol its rules."""
        wanted = scenario.instrument
        self._symbol = wanted.symbol
        _refuse_hours(scenario)
        faults = [*self._market_faults(wanted.symbol), *self._open_accounts(scenario)]
        if faults:
            hint = f"nexustrade scenario venue {scenario.name} prints a venue.toml that has it all"
            raise ScenarioError("", "\n".join([*faults, hint]))
        asset = self._api("", "GET", f"/v2/assets/{_segment(wanted.symbol)}")
        names = ("static_band", "dynamic_band", "collar", "call_s")
        self._rules = {name: asset[name] for name in names}
        self._set_rules(
            {
                "static_band": scaled_text(wanted.static_band_ppm, _RATE_DECIMALS),
                "dynamic_band": scaled_text(wanted.dynamic_band_ppm, _RATE_DECIMALS),
                "collar": scaled_text(wanted.collar_ppm, _RATE_DECIMALS),
                "call_s": -(-wanted.call_s // self._speed),
            }
        )
        self._events()

    def _set_rules(self, rules: Mapping[str, object]) -> None:
        self._api("", "PATCH", f"/v1/instruments/{_segment(self._symbol)}", rules)

    def _market_faults(self, symbol: str) -> list[str]:
        try:
            book = self._api("", "GET", f"/v1/books/{_segment(symbol)}")
        except Refused:
            return [f"instrument.symbol: the venue does not list {symbol}"]
        if book["phase"] != "continuous":
            return [f"{symbol} does not trade now: {book['phase'].replace('_', ' ')}"]
        if book["bids"] or book["asks"]:
            return [f"the book of {symbol} is not empty: others trade there"]
        return []

    def _open_accounts(self, scenario: plan.Scenario) -> list[str]:
        """Open accounts that need no shares and are not there; what is amiss with the others."""
        known = {row["account_id"] for row in self._api("", "GET", "/v1/accounts")}
        faults: list[str] = []
        missing: list[o.OpenAccount] = []
        for at, account in enumerate(scenario.accounts):
            opening, shares = account.open, account.shares.qty if account.shares else 0
            if opening.account_id not in known and not shares:
                missing.append(opening)
            elif self._shares(opening.account_id, opening.account_id in known) < shares:
                rule = f"{opening.account_id} needs {qty_text(shares)} {self._symbol}"
                faults.append(f"accounts[{at}]: {rule} that nothing holds")
        if not faults:
            for opening in missing:
                self._api("", "POST", "/v1/accounts", _opening(opening))
        self._accounts = tuple(account.open.account_id for account in scenario.accounts)
        return faults

    def _shares(self, account_id: str, known: bool) -> int:
        if not known:
            return 0
        for row in self._api(account_id, "GET", "/v2/positions"):
            if row["symbol"] == self._symbol:
                return parse_signed_qty("qty_available", row["qty_available"])
        return 0

    def finish(self) -> None:
        """A last look; then what is still open is cancelled, and the symbol has its old rules."""
        self._poll()
        for group_id, group in self.watch.groups.items():
            if group.closed and group_id in self._theirs:
                self._look_at_reservation(group.account_id, group_id)
        self.put_away()

    def put_away(self) -> None:
        """Cancel what is still open, and give the symbol its old rules."""
        for account_id in self._accounts:
            self._api(account_id, "DELETE", f"/v1/orders?symbol={_segment(self._symbol)}")
        if self._rules:
            self._set_rules(self._rules)
        self._accounts, self._rules = (), {}

    def _look_at_reservation(self, account_id: str, group_id: str) -> None:
        try:
            now = self._api(account_id, "GET", f"/v1/groups/{self._theirs[group_id]}")
        except Refused:
            return
        reserved = parse_usd("reserved", now["reserved"])
        held = now["reserved_qty"]
        self.watch.reserve(group_id, reserved, 0 if held == "0" else parse_qty("qty", held))

    def name(self) -> str:
        """What the scorecard calls it."""
        return self._url

    # -- time

    def now_us(self) -> int:
        """The clock of this machine."""
        return time.time_ns() // 1_000

    def wait(self, us: int) -> None:
        """Let time pass; the end of a call that is due by then is waited for."""
        until_us = self.now_us() + us // self._speed
        while True:
            self._poll()
            now_us = self.now_us()
            late = [at for at in self.watch.due_us if at <= until_us]
            if now_us >= until_us and not (late and now_us < max(late) + CALL_LATE_US_MAX):
                break
            time.sleep(min(POLL_US, max(until_us - now_us, POLL_US // 10)) / US_PER_S)
        for at in late:
            del self.watch.due_us[at]

    def jump(self, us: int, path: str) -> None:
        """Not possible here, which is found before the first step."""
        raise ScenarioError(path, f"the clock of a running venue cannot be set by {us} us")

    # -- commands

    def run(self, command: Message, path: str) -> bool:
        """Send a command, and see what the venue made of it."""
        self.watch.commands += 1
        self.watch.begin(self.now_us())
        refused_before = self.watch.refused
        self._asked = getattr(command, "order_id", "")
        try:
            self._send(command, path)
        except Refused as refused:
            self._see()
            if self.watch.refused == refused_before:
                self.watch.refuse(getattr(command, "cl_ord_id", path), "", str(refused))
        else:
            self._see()
        self.watch.end()
        return True

    def _send(self, command: Message, path: str) -> None:
        if isinstance(command, o.SubmitOrder):
            self._api(command.account_id, "POST", "/v2/orders", _order(command))
        elif isinstance(command, o.SubmitGroup):
            self._groups[command.group_id] = command
            self._api(command.account_id, "POST", "/v2/orders", _group(command))
        elif isinstance(command, o.ReplaceOrder):
            orig = self._theirs.get(command.orig_order_id, command.orig_order_id)
            self._api(command.account_id, "PATCH", f"/v2/orders/{orig}", _replace(command))
        elif isinstance(command, o.CancelOrder):
            order_id = self._theirs.get(command.order_id, command.order_id)
            self._api(command.account_id, "DELETE", f"/v2/orders/{order_id}")
        elif isinstance(command, o.CancelGroup | o.AmendGroup):
            group_id = self._theirs.get(command.group_id, command.group_id)
            if isinstance(command, o.CancelGroup):
                self._api(command.account_id, "DELETE", f"/v1/groups/{group_id}")
            else:
                amend = {"qty": qty_text(command.order_qty)}
                self._api(command.account_id, "PATCH", f"/v1/groups/{group_id}", amend)
        elif isinstance(command, o.RestrictInstrument):
            state = {"state": command.state.lower(), "reason": command.reason}
            self._api("", "POST", f"/v1/instruments/{_segment(command.symbol)}/state", state)
        elif isinstance(command, o.FreezeAccount):
            freeze = {"frozen": command.frozen, "reason": command.reason}
            self._api("", "POST", f"/v1/accounts/{_segment(command.account_id)}/freeze", freeze)
        elif not isinstance(command, m.OpenSession):
            raise ScenarioError(path, f"a running venue takes no {type(command).__name__}")

    # -- events

    def _poll(self) -> None:
        self.watch.begin(self.now_us())
        self._see()
        self.watch.end()

    def _see(self) -> None:
        """Fold what has happened; the events of one command are looked at together."""
        here: set[str] = set()
        for entry in self._events():
            if entry.cause not in here:
                self.watch.end()
                self.watch.now_us = entry.ts_us
            here.add(f"{entry.shard}:{entry.seq}")
            event: Any = entry.event
            self._learn(event)
            if self._concerns(event):
                self.watch.see(self._translated(event))

    def _concerns(self, event: Any) -> bool:
        """Whether an event is of this market, and if of an account, of one of the scenario's."""
        if getattr(event, "symbol", self._symbol) != self._symbol:
            return False
        account_id = getattr(event, "account_id", "")
        return not account_id or account_id in self._accounts

    def _learn(self, event: Any) -> None:
        """Remember under which ids the venue knows an order or group of ours."""
        if isinstance(event, o.ReplaceRejected) and event.orig_order_id in self._ours:
            self._alias(self._asked, event.order_id)
        ours = getattr(event, "cl_ord_id", "")
        if not ours or ours not in self.watch.labels:
            return
        self._alias(ours, getattr(event, "order_id", "") or event.group_id)
        if isinstance(event, o.GroupAccepted):
            sent = self._groups[ours]
            self._alias(sent.tp_order_id, event.tp_order_id)
            self._alias(sent.sl_order_id, event.sl_order_id)

    def _alias(self, ours: str, theirs: str) -> None:
        if ours and theirs:
            self._ours[theirs] = ours
            self._theirs[ours] = theirs

    def _translated(self, event: Message) -> Message:
        """The event with our ids in the place of the venue's."""
        changed = {
            name: self._ours[value]
            for name in event.__struct_fields__
            if isinstance(value := getattr(event, name), str) and value in self._ours
        }
        return msgspec.structs.replace(event, **changed) if changed else event


def _refuse_hours(scenario: plan.Scenario) -> None:
    """A session that is open may be opened again at the start; its other phases are the venue's."""
    for at, step in enumerate(scenario.steps):
        if isinstance(step, plan.Session) and (at or step.do != plan.OPEN):
            raise ScenarioError(step.path, f"{step.do}: a running venue keeps its own hours")
        if isinstance(step, plan.Wait) and step.jump_us:
            raise ScenarioError(step.path, "the clock of a running venue cannot be set")


# ---------------------------------------------------------------- commands as request bodies


def _segment(text: str) -> str:
    return quote(text, safe="")


def _opening(c: o.OpenAccount) -> dict[str, object]:
    return {
        "account_id": c.account_id,
        "account_type": c.account_type.lower(),
        "cash": usd_text(c.cash),
        "maker_fee": scaled_text(c.maker_fee_ppm, _RATE_DECIMALS),
        "taker_fee": scaled_text(c.taker_fee_ppm, _RATE_DECIMALS),
        "shorting": c.shorting,
    }


def _price(px: int) -> str | None:
    return price_text(px) if px else None


def _order(c: o.SubmitOrder) -> dict[str, object]:
    return {
        "symbol": c.symbol,
        "client_order_id": c.cl_ord_id,
        "side": c.side.lower(),
        "type": c.ord_type.lower(),
        "time_in_force": c.time_in_force.lower(),
        "qty": qty_text(c.order_qty),
        "limit_price": _price(c.limit_px),
        "stop_price": _price(c.stop_px),
        "trail_price": _price(c.trail_px),
        "trail_percent": percent_text(c.trail_ppm) if c.trail_ppm else None,
        "post_only": c.post_only or None,
    }


def _group(c: o.SubmitGroup) -> dict[str, object]:
    is_oco = c.order_class == terms.OCO
    take_profit = {"limit_price": price_text(c.tp_limit_px)} if c.tp_limit_px else None
    stop_loss = {"stop_price": price_text(c.sl_stop_px)} if c.sl_stop_px else None
    if stop_loss and c.sl_limit_px:
        stop_loss["limit_price"] = price_text(c.sl_limit_px)
    return {
        "symbol": c.symbol,
        "client_order_id": c.cl_ord_id,
        "order_class": c.order_class.lower(),
        "side": c.side.lower(),
        "type": "limit" if is_oco else c.ord_type.lower(),
        "time_in_force": c.time_in_force.lower(),
        "qty": qty_text(c.order_qty),
        "limit_price": _price(c.limit_px),
        "stop_price": _price(c.stop_px),
        "take_profit": take_profit,
        "stop_loss": stop_loss,
        "policy": c.policy.lower(),
        "activation": None if is_oco else c.activation.lower(),
        "auto_shrink": c.auto_shrink or None,
    }


def _replace(c: o.ReplaceOrder) -> dict[str, object]:
    return {
        "client_order_id": c.cl_ord_id,
        "qty": qty_text(c.order_qty) if c.order_qty else None,
        "limit_price": _price(c.limit_px),
        "stop_price": _price(c.stop_px),
    }


def key_expiry(seconds: int) -> str:
    """When a key ends that a run needs for so long."""
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return ends.strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- a venue to run it on


def venue_toml(scenario: plan.Scenario) -> str:
    """The text of a venue.toml that lists a scenario's symbol and accounts."""
    i = scenario.instrument
    lines = [
        f"# A venue for: nexustrade scenario run {scenario.name} --running",
        "",
        "[demo]",
        "enabled = false",
        "",
        "[[instruments]]",
        f'symbol = "{i.symbol}"',
        f"reference_price = {price_text(i.reference_px)}",
        f"tick = {price_text(i.tick_size)}",
        f"lot = {qty_text(i.lot_size)}",
        f"collar = {scaled_text(i.collar_ppm, _RATE_DECIMALS)}",
        f"volatility_auction_s = {i.call_s}",
        f"fractionable = {_flag(i.fractionable)}",
        f"shortable = {_flag(i.shortable)}",
        f"marginable = {_flag(i.marginable)}",
    ]
    for account in scenario.accounts:
        opening = account.open
        lines += [
            "",
            "[[accounts]]",
            f'id = "{opening.account_id}"',
            f'type = "{opening.account_type.lower()}"',
            f"cash = {usd_text(opening.cash)}",
            f"shorting = {_flag(opening.shorting)}",
            f'stp = "{opening.stp.lower()}"',
            f"fees = {_fees(opening)}",
        ]
        if account.shares is not None:
            qty = qty_text(account.shares.qty)
            lines.append(f'positions = [ {{ symbol = "{i.symbol}", qty = {qty} }} ]')
    return "\n".join(lines) + "\n"


def _fees(opening: o.OpenAccount) -> str:
    maker = scaled_text(opening.maker_fee_ppm, _RATE_DECIMALS)
    taker = scaled_text(opening.taker_fee_ppm, _RATE_DECIMALS)
    return f"{{ maker = {maker}, taker = {taker} }}"


def _flag(value: bool) -> str:
    return "true" if value else "false"
