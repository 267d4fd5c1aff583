"""What a scenario file says, checked and in units of the core. Pure but for reading the file.

A scenario is an instrument, accounts and a list of steps. Like a venue's file it is read to its
end: `ConfigError` lists every fault with its TOML path, the value and the rule it breaks.
docs/scenarios.md has every setting.
"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from nexustrade.core import terms
from nexustrade.core.money import (
    parse_percent,
    parse_price,
    parse_qty,
    parse_rate,
    parse_signed_qty,
    parse_usd,
)
from nexustrade.core.time import US_PER_S
from nexustrade.kernel.config import (
    STP_MODES,
    ConfigError,
    TomlTable,
    parse_toml,
    read_instrument,
    read_text,
)
from nexustrade.matching.messages import DefineInstrument
from nexustrade.orders.messages import AdjustPosition, OpenAccount

BUILTIN: Final = Path(__file__).parent / "builtin"
"""Where the scenarios are that come with the package."""

FILE_BYTES_MAX: Final = 1024 * 1024
ACCOUNTS_MAX: Final = 100
STEPS_MAX: Final = 1_000
REPEAT_MAX: Final = 10_000
LEVELS_MAX: Final = 1_000
COMMANDS_MAX: Final = 50_000
"""Most commands of a scenario, with all repetitions and levels."""
WAIT_MS_MAX: Final = 30 * 86_400_000
JUMP_S_MAX: Final = 30 * 86_400
SEED_MAX: Final = 2**63 - 1

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TICK_DEFAULT: Final = 100

OPEN_CALL: Final = "open_call"
OPEN: Final = "open"
CLOSE_CALL: Final = "close_call"
CLOSE: Final = "close"
SESSIONS: Final = (OPEN_CALL, OPEN, CLOSE_CALL, CLOSE)

PARENT: Final = ""
LEGS: Final = (PARENT, "entry", "take_profit", "stop_loss")
_TYPES: Final = (terms.MARKET, terms.LIMIT, terms.STOP, terms.STOP_LIMIT, terms.TRAILING_STOP)
_TIFS: Final = (terms.DAY, terms.GTC, terms.IOC, terms.FOK, terms.OPG, terms.CLS)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps have. `path` is where it stands in the file, `wait_us` passes before it.

    A step with `repeat` comes so many times, every price in it moved by `price_step` each time;
    with `shuffle` the repetitions come in an order that the seed gives.
    """

    path: str
    do: str
    wait_us: int = 0
    label: str = ""
    repeat: int = 1
    price_step: int = 0
    shuffle: bool = False

    def name(self, at: int) -> str:
        """What the orders of one repetition (from 0) are called."""
        base = self.label or self.path
        return base if self.repeat == 1 else f"{base}-{at + 1}"


class Submit(Step, frozen=True, kw_only=True):
    """An order; with `levels` a ladder of limit orders, each `level_step` further from the best."""

    account: str
    side: str
    ord_type: str
    time_in_force: str
    qty: int
    limit_px: int = 0
    stop_px: int = 0
    trail_px: int = 0
    trail_ppm: int = 0
    post_only: bool = False
    levels: int = 1
    level_step: int = 0


class Group(Step, frozen=True, kw_only=True):
    """An OCO, bracket or OTO; the prices are those of `SubmitGroup`."""

    account: str
    order_class: str
    side: str
    time_in_force: str
    qty: int
    ord_type: str = ""
    limit_px: int = 0
    stop_px: int = 0
    tp_limit_px: int = 0
    sl_stop_px: int = 0
    sl_limit_px: int = 0
    policy: str = terms.REDUCE
    activation: str = terms.PARTIAL
    auto_shrink: bool = False


class Amend(Step, frozen=True, kw_only=True):
    """A replace of an order or leg, or (`qty` of a group, no leg) of a group's quantity."""

    target: str
    leg: str = PARENT
    qty: int = 0
    limit_px: int = 0
    stop_px: int = 0


class Cancel(Step, frozen=True, kw_only=True):
    """A cancel of everything that a label names, or of one leg."""

    target: str
    leg: str = PARENT


class Print(Step, frozen=True, kw_only=True):
    """A trade at `price` between two accounts, through the book as it stands."""

    price: int
    qty: int
    buyer: str
    seller: str


class Bar(Step, frozen=True, kw_only=True):
    """A historical bar, replayed as four trades of `qty`.

    `depth_qty` is what stands at each of the four prices for the orders that the trade sets off.
    """

    open_px: int
    high_px: int
    low_px: int
    close_px: int
    qty: int
    depth_qty: int
    buyer: str
    seller: str


class State(Step, frozen=True, kw_only=True):
    """The operator halts or resumes the instrument."""

    state: str
    reason: str


class Freeze(Step, frozen=True, kw_only=True):
    """The operator freezes an account, or thaws it."""

    account: str
    frozen: bool
    reason: str


class Session(Step, frozen=True, kw_only=True):
    """A phase of the session begins; without a `date` it is the clock's."""

    date: str = ""


class Wait(Step, frozen=True, kw_only=True):
    """Time passes, or (`jump_us`) the clock is set forward or back."""

    jump_us: int = 0


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is opened, and its shares of the instrument."""

    open: OpenAccount
    shares: AdjustPosition | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario."""

    name: str
    description: str
    seed: int
    instrument: DefineInstrument
    accounts: tuple[Account, ...]
    steps: tuple[Step, ...]


def builtin_names() -> list[str]:
    """The scenarios that come with the package."""
    return sorted(path.stem for path in BUILTIN.glob("*.toml"))


def find_file(name: str) -> Path:
    """The file of a built-in scenario by its name, else the file of that path."""
    builtin = BUILTIN / f"{name}.toml"
    return builtin if _NAME.fullmatch(name) and builtin.is_file() else Path(name)


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario's file; `ConfigError`."""
    return parse_scenario(read_text(path, "a scenario file", FILE_BYTES_MAX))


def parse_scenario(text: str) -> Scenario:
    """Check the text of a scenario's file; `ConfigError`."""
    problems: list[str] = []
    scenario = _Reader(TomlTable("", parse_toml(text), problems, Path(), {})).read()
    if problems:
        raise ConfigError(problems)
    return scenario


# ---------------------------------------------------------------- reading


class _Reader:
    """Reads one file; knows the accounts and labels that steps refer to."""

    def __init__(self, top: TomlTable) -> None:
        self.top = top
        self.accounts: dict[str, Account] = {}
        self.instrument = DefineInstrument("", _TICK_DEFAULT, 1)
        # How many orders a label names, and whether they are groups.
        self.labels: dict[str, tuple[int, bool]] = {}
        self.commands = 0

    def read(self) -> Scenario:
        top = self.top
        name = top.text("name", pattern=_NAME) if top.required("name") else ""
        description = top.text("description")
        seed = top.integer("seed", 1, 0, SEED_MAX)
        if top.required("instrument"):
            table = top.table("instrument")
            self.instrument = read_instrument(table)
            if not table.has("reference_price"):
                table.problem("reference_price", "is missing")
        for table in top.tables("accounts", ACCOUNTS_MAX):
            self._account(table)
        steps = tuple(self._steps())
        if not steps and not top.raw.get("steps"):
            top.problem("steps", "is missing: a scenario has at least one step")
        if self.commands > COMMANDS_MAX:
            rule = f"at most {COMMANDS_MAX} commands are possible, here are {self.commands}"
            top.problem("steps", rule)
        top.close()
        return Scenario(
            name=name,
            description=description,
            seed=seed,
            instrument=self.instrument,
            accounts=tuple(self.accounts.values()),
            steps=steps,
        )

    def _account(self, table: TomlTable) -> None:
        account_id = table.text("id", pattern=_LABEL) if table.required("id") else ""
        fees = table.table("fees")
        opening = OpenAccount(
            account_id,
            table.choice("type", (terms.CASH, terms.MARGIN), terms.CASH, upper=True),
            table.money("cash", parse_usd, 0),
            fees.money("maker", parse_rate, 0),
            fees.money("taker", parse_rate, 0),
            table.flag("shorting"),
            table.choice("stp", STP_MODES, terms.STP_NEWEST, upper=True),
        )
        fees.close()
        if opening.shorting and opening.account_type == terms.CASH:
            table.problem("shorting", "only a margin account can sell short", value=True)
        qty = table.money("shares", parse_signed_qty, 0)
        if qty < 0:
            rule = "an account that is to be short sells first, in a step"
            table.problem("shares", rule, table.raw["shares"])
        table.close()
        if account_id in self.accounts:
            table.problem("id", "this account is there twice", account_id)
        symbol, price = self.instrument.symbol, self.instrument.reference_px
        shares = AdjustPosition(account_id, symbol, qty, price, "scenario") if qty else None
        self.accounts[account_id] = Account(open=opening, shares=shares)

    def _steps(self) -> list[Step]:
        found: list[Step] = []
        for table in self.top.tables("steps", STEPS_MAX):
            if not table.required("do"):
                continue
            do = table.choice("do", tuple(_STEPS), "", upper=False)
            if do:
                step = _STEPS[do](self, table, do)
                table.close()
                self._note(table, step)
                found.append(step)
        return found

    def _note(self, table: TomlTable, step: Step) -> None:
        """Count a step's commands, keep its label, and look at the prices of its last round."""
        levels = step.levels if isinstance(step, Submit) else 1
        self.commands += step.repeat * levels * _COMMANDS.get(step.do, 1)
        last = (step.repeat - 1) * step.price_step
        if any(price + last <= 0 for price in _prices(step)):
            table.problem("price_step", "takes a price to 0 or below", table.raw["price_step"])
        if isinstance(step, Submit) and step.side == terms.BUY:
            deepest = step.limit_px + min(last, 0) - (step.levels - 1) * step.level_step
            if step.levels > 1 and deepest <= 0:
                table.problem("levels", "take the price to 0 or below", step.levels)
        if step.label:
            if step.label in self.labels:
                table.problem("id", "this id is there twice", step.label)
            self.labels[step.label] = (step.repeat, isinstance(step, Group))

    # -- values that many steps have

    def head(self, table: TomlTable, do: str) -> dict[str, Any]:
        """What every step has."""
        wait_ms = table.integer("wait_ms", 0, 0, WAIT_MS_MAX)
        return {"path": table.path, "do": do, "wait_us": wait_ms * 1_000}

    def rounds(self, table: TomlTable, do: str) -> dict[str, Any]:
        """What steps have that place orders: a label and repetitions as well."""
        found = self.head(table, do)
        found["label"] = table.text("id", pattern=_LABEL)
        found["repeat"] = table.integer("repeat", 1, 1, REPEAT_MAX)
        if found["repeat"] > 1:
            found["price_step"] = table.money("price_step", _signed_price, 0)
            found["shuffle"] = table.flag("shuffle")
        return found

    def account(self, table: TomlTable, key: str = "account") -> str:
        """An account that the file has."""
        account_id = table.text(key) if table.required(key) else ""
        if account_id and account_id not in self.accounts:
            table.problem(key, "no account has this id", account_id)
        return account_id

    def pair(self, table: TomlTable) -> tuple[str, str]:
        """The two accounts of a trade, which differ: nobody trades with himself."""
        buyer, seller = self.account(table, "buyer"), self.account(table, "seller")
        if buyer and buyer == seller:
            table.problem("seller", "is the buyer: an account does not trade with itself", seller)
        return buyer, seller

    def target(self, table: TomlTable) -> tuple[str, str]:
        """An order or group of an earlier step, and the leg of it that is meant."""
        target = table.text("id") if table.required("id") else ""
        base, _, number = target.rpartition("-")
        count, is_group = self.labels.get(target, (0, False))
        if not count and number.isdecimal() and len(number) <= len(str(REPEAT_MAX)):
            count, is_group = self.labels.get(base, (0, False))
            count = count if 1 <= int(number) <= count else 0
        if target and not count:
            table.problem("id", "no step before this one has this id", target)
        leg = table.choice("leg", LEGS[1:], PARENT, upper=False)
        if leg and target and count and not is_group:
            table.problem("leg", "only a group has legs", leg)
        return target, leg


def _signed_price(field: str, value: object) -> int:
    text = str(value)
    if text.startswith("-"):
        return -parse_price(field, text[1:])
    return parse_price(field, value)


def _price(table: TomlTable, key: str) -> int:
    """A price that must be there."""
    return table.money(key, parse_price, 0) if table.required(key) else 0


def _qty(table: TomlTable, key: str = "qty") -> int:
    """A quantity that must be there."""
    return table.money(key, parse_qty, 0) if table.required(key) else 0


def _side(table: TomlTable) -> str:
    if not table.required("side"):
        return terms.BUY
    return table.choice("side", (terms.BUY, terms.SELL), terms.BUY, upper=True)


def _prices(step: Step) -> list[int]:
    """Every price of a step."""
    if isinstance(step, Submit):
        found = [step.limit_px, step.stop_px]
    elif isinstance(step, Group):
        found = [step.limit_px, step.stop_px, step.tp_limit_px, step.sl_stop_px, step.sl_limit_px]
    elif isinstance(step, Print):
        found = [step.price]
    else:
        found = []
    return [price for price in found if price]


# ---------------------------------------------------------------- the steps


def _rest(reader: _Reader, table: TomlTable, do: str) -> Step:
    rounds = reader.rounds(table, do)
    levels = table.integer("levels", 1, 1, LEVELS_MAX)
    tick = reader.instrument.tick_size
    return Submit(
        **rounds,
        account=reader.account(table),
        side=_side(table),
        ord_type=terms.LIMIT,
        time_in_force=table.choice("time_in_force", _TIFS, terms.GTC, upper=True),
        qty=_qty(table),
        limit_px=_price(table, "price"),
        levels=levels,
        level_step=table.money("level_step", parse_price, tick) if levels > 1 else 0,
    )


def _submit(reader: _Reader, table: TomlTable, do: str) -> Step:
    rounds = reader.rounds(table, do)
    kind = terms.MARKET
    if table.required("type"):
        kind = table.choice("type", _TYPES, terms.MARKET, upper=True)
    trail_px, trail_ppm = _trail(table) if kind == terms.TRAILING_STOP else (0, 0)
    limited = kind in (terms.LIMIT, terms.STOP_LIMIT)
    return Submit(
        **rounds,
        account=reader.account(table),
        side=_side(table),
        ord_type=kind,
        time_in_force=table.choice("time_in_force", _TIFS, terms.DAY, upper=True),
        qty=_qty(table),
        limit_px=_price(table, "limit_price") if limited else 0,
        stop_px=_price(table, "stop_price") if kind in (terms.STOP, terms.STOP_LIMIT) else 0,
        trail_px=trail_px,
        trail_ppm=trail_ppm,
        post_only=table.flag("post_only") if kind == terms.LIMIT else False,
    )


def _trail(table: TomlTable) -> tuple[int, int]:
    given = [key for key in ("trail_price", "trail_percent") if table.has(key)]
    if len(given) != 1:
        table.problem("trail_price", "one of trail_price and trail_percent is wanted")
        return 0, 0
    return table.money("trail_price", parse_price, 0), table.money(
        "trail_percent", parse_percent, 0
    )


def _group(reader: _Reader, table: TomlTable, do: str) -> Step:
    rounds = reader.rounds(table, do)
    order_class = terms.OCO
    if table.required("class"):
        words = (terms.OCO, terms.BRACKET, terms.OTO)
        order_class = table.choice("class", words, terms.OCO, upper=True)
    kind = ""
    if order_class != terms.OCO:
        kind = table.choice("type", _TYPES[:-1], terms.MARKET, upper=True)
    tp_limit_px, sl_stop_px, sl_limit_px = _legs(table, order_class)
    waits = order_class != terms.OCO
    return Group(
        **rounds,
        account=reader.account(table),
        order_class=order_class,
        side=_side(table),
        time_in_force=table.choice("time_in_force", (terms.DAY, terms.GTC), terms.GTC, upper=True),
        qty=_qty(table),
        ord_type=kind,
        limit_px=_price(table, "limit_price") if kind in (terms.LIMIT, terms.STOP_LIMIT) else 0,
        stop_px=_price(table, "stop_price") if kind in (terms.STOP, terms.STOP_LIMIT) else 0,
        tp_limit_px=tp_limit_px,
        sl_stop_px=sl_stop_px,
        sl_limit_px=sl_limit_px,
        policy=table.choice("policy", (terms.REDUCE, terms.CANCEL), terms.REDUCE, upper=True),
        activation=table.choice(
            "activation", (terms.PARTIAL, terms.FULL), terms.PARTIAL, upper=True
        )
        if waits
        else terms.PARTIAL,
        auto_shrink=table.flag("auto_shrink"),
    )


def _legs(table: TomlTable, order_class: str) -> tuple[int, int, int]:
    """Prices of the legs: take-profit limit, stop-loss stop, stop-loss limit."""
    has_tp, has_sl = table.has("take_profit"), table.has("stop_loss")
    if order_class == terms.OTO:
        if has_tp == has_sl:
            table.problem("take_profit", "an oto has one of take_profit and stop_loss")
    else:
        for leg, there in (("take_profit", has_tp), ("stop_loss", has_sl)):
            if not there:
                table.problem(leg, "is missing")
    tp_limit_px = sl_stop_px = sl_limit_px = 0
    if has_tp:
        tp = table.table("take_profit")
        tp_limit_px = _price(tp, "limit_price")
        tp.close()
    if has_sl:
        sl = table.table("stop_loss")
        sl_stop_px = _price(sl, "stop_price")
        sl_limit_px = sl.money("limit_price", parse_price, 0)
        sl.close()
    return tp_limit_px, sl_stop_px, sl_limit_px


def _amend(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    target, leg = reader.target(table)
    step = Amend(
        **head,
        target=target,
        leg=leg,
        qty=table.money("qty", parse_qty, 0),
        limit_px=table.money("limit_price", parse_price, 0),
        stop_px=table.money("stop_price", parse_price, 0),
    )
    if not any(table.has(key) for key in ("qty", "limit_price", "stop_price")):
        table.problem("qty", "one of qty, limit_price and stop_price is wanted")
    return step


def _cancel(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    target, leg = reader.target(table)
    return Cancel(**head, target=target, leg=leg)


def _print(reader: _Reader, table: TomlTable, do: str) -> Step:
    rounds = reader.rounds(table, do)
    buyer, seller = reader.pair(table)
    return Print(
        **rounds,
        price=_price(table, "price"),
        qty=_qty(table),
        buyer=buyer,
        seller=seller,
    )


def _bar(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    buyer, seller = reader.pair(table)
    qty = _qty(table)
    bar = Bar(
        **head,
        open_px=_price(table, "open"),
        high_px=_price(table, "high"),
        low_px=_price(table, "low"),
        close_px=_price(table, "close"),
        qty=qty,
        depth_qty=table.money("depth_qty", parse_qty, qty),
        buyer=buyer,
        seller=seller,
    )
    if bar.high_px < max(bar.open_px, bar.close_px, bar.low_px):
        table.problem("high", "is below another price of the bar", table.raw.get("high"))
    if bar.low_px > min(bar.open_px, bar.close_px):
        table.problem("low", "is above another price of the bar", table.raw.get("low"))
    return bar


def _state(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    state = "HALTED" if do == "halt" else "ACTIVE"
    reason = table.text("reason", do)
    return State(**head, state=state, reason=reason)


def _freeze(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    return Freeze(
        **head,
        account=reader.account(table),
        frozen=do == "freeze",
        reason=table.text("reason", do),
    )


def _session(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    day = table.text("date", pattern=_DATE)
    try:
        date.fromisoformat(day or "2000-01-01")
    except ValueError:
        table.problem("date", "the calendar has no such day", day)
    return Session(**head, date=day)


def _wait(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    return Wait(**head)


def _clock(reader: _Reader, table: TomlTable, do: str) -> Step:
    head = reader.head(table, do)
    jump_s = 0
    if table.required("jump_s"):
        jump_s = table.integer("jump_s", 0, -JUMP_S_MAX, JUMP_S_MAX)
    return Wait(**head, jump_us=jump_s * US_PER_S)


_STEPS: Final[dict[str, Callable[[_Reader, TomlTable, str], Step]]] = {
    "rest": _rest,
    "submit": _submit,
    "group": _group,
    "amend": _amend,
    "cancel": _cancel,
    "trade": _print,
    "bar": _bar,
    "halt": _state,
    "resume": _state,
    "freeze": _freeze,
    "unfreeze": _freeze,
    OPEN_CALL: _session,
    OPEN: _session,
    CLOSE_CALL: _session,
    CLOSE: _session,
    "wait": _wait,
    "clock": _clock,
}
_COMMANDS: Final = {"trade": 2, "bar": 16, "wait": 0, "clock": 0}
"""Commands of one round of a step, where it is not one."""
