"""What `venue.toml` says, checked and in units of the core. Reads a file once; owns no state.

Every number is read from its text, exactly. A file is read to its end: `ConfigError` lists all of
its problems, each with the TOML path, the value and the rule it breaks. docs/venue-toml.md has
every setting.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from nexustrade.core import terms
from nexustrade.core.errors import InputError, NexusError
from nexustrade.core.money import (
    PRICE_ONE,
    QTY_ONE,
    parse_price,
    parse_qty,
    parse_rate,
    parse_signed_qty,
    parse_usd,
)
from nexustrade.matching.messages import DefineInstrument
from nexustrade.orders.messages import AdjustPosition, OpenAccount

DEFAULT_VENUE: Final = Path(__file__).parent.parent / "default_venue.toml"
"""The venue that starts when no file is named."""

ALWAYS: Final = "always"
XNYS: Final = "XNYS"
SESSIONS: Final = (ALWAYS, XNYS)
EXCHANGES: Final = (
    "", "AMEX", "ARCA", "ASCX", "BATS", "NYSE", "NASDAQ", "NYSEARCA", "FTXU", "CBSE", "GNSS",
    "ERSX", "OTC", "CRYPTO",
)  # fmt: skip
"""What clients know as an exchange; they refuse whole answers that hold another one."""
SCOPES: Final = ("trade", "read", "admin")
STP_MODES: Final = (
    terms.STP_NEWEST,
    terms.STP_OLDEST,
    terms.STP_BOTH,
    terms.STP_DECREMENT,
    terms.STP_ALLOW,
)
DEMO_PREFIXES: Final = ("demo-maker-", "demo-noise-")
"""How the ids of the demo market's accounts begin; no other account may have such an id."""
OPERATOR_ID: Final = "admin"
"""What the operator's own key is kept under; no account may have this id."""

CALL_S_MAX: Final = 3_600
OPENING_CALL_S: Final = 120
"""Of a venue that closes, where it names no other."""
CLOSING_CALL_S: Final = 60
VOLATILITY_AUCTION_S: Final = 120
MARGIN_CALL_S: Final = 172_800
MARGIN_CALL_S_MAX: Final = 2_592_000

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
INSTRUMENTS_MAX: Final = 20_000
ACCOUNTS_MAX: Final = 100_000
SECRET_LEN_MIN: Final = 16
SECRET_LEN_MAX: Final = 256

_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,9}([./-][A-Z0-9]{1,9})?")
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{4,64}")
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_PORT_MAX: Final = 65_535
_TEXT_LEN_MAX: Final = 200
_VALUE_SHOWN_MAX: Final = 80


class ConfigError(NexusError):
    """A configuration that cannot be used; `problems` has one line for each fault in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Secret(str):
    """Text that does not show itself in a `repr`, and so in no log and no traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is to be opened, and its API key. Empty key and secret are generated."""

    open: OpenAccount
    positions: tuple[AdjustPosition, ...] = ()
    key: str = ""
    secret: Secret = Secret("")
    scopes: tuple[str, ...] = ("trade", "read")

    @property
    def account_id(self) -> str:
        """The account's id."""
        return self.open.account_id


class StagesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How many partitions each stage has; fixed once a venue has stored its first event."""

    orders: Annotated[int, Meta(ge=1, le=64)] = 1
    matching: Annotated[int, Meta(ge=1, le=64)] = 1


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of a running venue, with its unit in its name."""

    rate_limit_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """Requests of one API key a second, in the long run."""
    rate_limit_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """Requests of one API key at once, after a pause."""
    body_bytes_max: Annotated[int, Meta(ge=1024, le=16_777_216)] = 65_536
    """Longest request body."""
    connections_max: Annotated[int, Meta(ge=1, le=100_000)] = 2_048
    """Open client connections, streams included."""
    stream_queue_len_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Messages waiting for one stream's reader before it is cut off."""
    batch_len_max: Annotated[int, Meta(ge=1, le=10_000)] = 512
    """Commands in one transaction of the event store."""
    queue_len_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """Commands waiting for a transaction before new ones are refused."""
    open_orders_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    """Open orders of one account, where the account names no other number."""
    closed_orders_keep_s: Annotated[int, Meta(ge=60, le=86_400)] = 600
    """How long a closed order stays in memory; after that the order history has it."""
    cl_ord_id_days: Annotated[int, Meta(ge=30, le=3_650)] = 30
    """How long a client order id cannot be used again."""
    commit_deadline_s: Annotated[int, Meta(ge=1, le=300)] = 5
    """How long a transaction is tried before its commands are refused."""
    drain_deadline_s: Annotated[int, Meta(ge=1, le=600)] = 10
    """How long a stop waits for the requests that are under way."""
    snapshot_every_events: Annotated[int, Meta(ge=1_000, le=100_000_000)] = 200_000
    """Events of a stream between two snapshots."""
    tick_ms: Annotated[int, Meta(ge=10, le=60_000)] = 500
    """Time between two looks at the session clock."""


class DatabasesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """DSNs of servers to use; an empty one means the embedded server."""

    trading: Secret = Secret("")
    accounts: Secret = Secret("")


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway listens."""

    host: str = "127.0.0.1"
    port: int = 8080


class DemoConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The demo market. The same seed gives the same market."""

    enabled: bool = False
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    makers: Annotated[int, Meta(ge=1, le=20)] = 2
    noise_traders: Annotated[int, Meta(ge=0, le=100)] = 4
    orders_per_s: Annotated[int, Meta(ge=1, le=10_000)] = 10
    """Commands of all demo accounts together, cancels included, in the long run."""
    levels: Annotated[int, Meta(ge=1, le=50)] = 5
    """Price levels quoted on each side of each book."""


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole venue."""

    name: str = "NexusTrade"
    session: str = ALWAYS
    settlement_cycle_days: int = 2
    opening_call_s: int = 0
    """How long orders are collected before a session opens; 0: it opens without a call."""
    closing_call_s: int = 0
    """How long orders are collected before a session closes; 0: trading goes on to the close."""
    margin_call_s: int = MARGIN_CALL_S
    """How long an account has to meet a margin call before its positions are sold."""
    instruments: tuple[DefineInstrument, ...] = ()
    accounts: tuple[AccountConfig, ...] = ()
    stages: StagesConfig = StagesConfig()
    limits: Limits = Limits()
    databases: DatabasesConfig = DatabasesConfig()
    http: HttpConfig = HttpConfig()
    demo: DemoConfig = DemoConfig()


def load_config(path: Path | None, environ: Mapping[str, str] | None = None) -> VenueConfig:
    """Read and check a venue file, or the default venue when `path` is None; `ConfigError`.

    `environ` is where settings that end in `_env` look (default: the environment of the process).
    """
    path = DEFAULT_VENUE if path is None else path
    text = read_text(path, "a venue file", FILE_BYTES_MAX)
    return parse_config(text, path.parent, os.environ if environ is None else environ)


def read_text(path: Path, what: str, bytes_max: int) -> str:
    """The text of a configuration file, which `what` names in errors; `ConfigError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    if len(raw) > bytes_max:
        raise ConfigError([f"{path}: {what} has at most {bytes_max} bytes"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: {what} is UTF-8 text"]) from None


def parse_config(text: str, folder: Path, environ: Mapping[str, str]) -> VenueConfig:
    """Check the text of a venue file; names of other files in it are relative to `folder`."""
    problems: list[str] = []
    config = _venue(TomlTable("", parse_toml(text), problems, folder, environ))
    if problems:
        raise ConfigError(problems)
    return config


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of TOML text, with its numbers as exact decimals; `ConfigError`."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ConfigError([f"not TOML: {error}"]) from None


# ---------------------------------------------------------------- reading a table


class TomlTable:
    """One TOML table being read. Faults are noted and reading goes on with a harmless value."""

    def __init__(
        self,
        path: str,
        raw: dict[str, Any],
        problems: list[str],
        folder: Path,
        environ: Mapping[str, str],
    ) -> None:
        self.path = path
        self.raw = raw
        self.problems = problems
        self.folder = folder
        self.environ = environ
        self.known: set[str] = set()

    def at(self, key: str) -> str:
        """The TOML path of a key of this table."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, rule: str, value: object = None) -> None:
        """Note a fault of a key."""
        shown = "" if value is None else f" {_shown(value)}:"
        self.problems.append(f"{self.at(key)}:{shown} {rule}")

    def has(self, key: str) -> bool:
        """Whether the key is there; from here on it is a known one."""
        self.known.add(key)
        return key in self.raw

    def close(self) -> None:
        """Note every key that nobody asked for, with the known one it looks like."""
        for key in self.raw:
            if key not in self.known:
                near = difflib.get_close_matches(key, sorted(self.known), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.problem(key, f"this setting is not known{hint}")

    def text(self, key: str, default: str = "", pattern: re.Pattern[str] | None = None) -> str:
        """A short text, of a pattern where one is given; a missing one is its default."""
        if not self.has(key):
            return default
        value = self.raw[key]
        if not isinstance(value, str):
            self.problem(key, "a text in quotes is wanted", value)
        elif len(value) > _TEXT_LEN_MAX or not value.isprintable():
            self.problem(key, f"at most {_TEXT_LEN_MAX} printable characters are wanted", value)
        elif pattern is not None and not pattern.fullmatch(value):
            self.problem(key, f"does not match {pattern.pattern}", value)
        else:
            return value
        return default

    def required(self, key: str) -> bool:
        """Whether a key that must be there is there; notes its absence."""
        if self.has(key):
            return True
        self.problem(key, "is missing")
        return False

    def choice(self, key: str, choices: tuple[str, ...], default: str, *, upper: bool) -> str:
        """One of a few words; with `upper` the case does not matter."""
        if not self.has(key):
            return default
        value = self.raw[key]
        word = value.upper() if upper and isinstance(value, str) else value
        if word in choices:
            return str(word)
        self.problem(key, f"one of {', '.join(repr(each) for each in choices)} is wanted", value)
        return default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        if not self.has(key):
            return default
        value = self.raw[key]
        if isinstance(value, bool):
            return value
        self.problem(key, "true or false is wanted", value)
        return default

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number between two bounds, both inclusive."""
        if not self.has(key):
            return default
        value = self.raw[key]
        if type(value) is int and least <= value <= most:
            return value
        self.problem(key, f"a whole number from {least} to {most} is wanted", value)
        return default

    def money(self, key: str, parse: Callable[[str, object], int], default: int) -> int:
        """A decimal of one of the kinds of core/money, from a TOML number or from text."""
        if not self.has(key):
            return default
        value = self.raw[key]
        if not isinstance(value, int | str | Decimal):
            self.problem(key, "a decimal number is wanted", value)
            return default
        try:
            return parse(key, value)
        except InputError as error:
            self.problem(key, error.rule, value)
            return default

    def secret(self, key: str) -> Secret:
        """A secret: as it stands, or from a file (`key_file`) or a variable (`key_env`)."""
        sources = [each for each in (key, f"{key}_file", f"{key}_env") if self.has(each)]
        if len(sources) > 1:
            self.problem(sources[1], f"{sources[0]} is there already: one of them is enough")
            return Secret("")
        if not sources:
            return Secret("")
        source = sources[0]
        given = self.text(source)
        if source == key or not given:
            return Secret(given)
        if source == f"{key}_env":
            if given not in self.environ:
                self.problem(source, "this environment variable is not set", given)
            return Secret(self.environ.get(given, ""))
        return self._secret_file(source, given)

    def _secret_file(self, source: str, name: str) -> Secret:
        try:
            return Secret((self.folder / name).read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.problem(source, f"the file cannot be read ({reason})", name)
            return Secret("")

    def table(self, key: str) -> "TomlTable":
        """A table inside this one; an empty one when it is not there."""
        value = self.raw.get(key, {})
        self.known.add(key)
        if not isinstance(value, dict):
            self.problem(key, "a table is wanted", value)
            value = {}
        return self._inner(key, value)

    def tables(self, key: str, most: int) -> "Iterator[TomlTable]":
        """The tables of an array of tables, in their order."""
        self.known.add(key)
        value = self.raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.problem(key, f"an array of tables ([[{self.at(key)}]]) is wanted", value)
        elif len(value) > most:
            self.problem(key, f"at most {most} are possible, here are {len(value)}")
        else:
            for at, each in enumerate(value):
                yield self._inner(f"{key}[{at}]", each)

    def _inner(self, key: str, raw: dict[str, Any]) -> "TomlTable":
        return TomlTable(self.at(key), raw, self.problems, self.folder, self.environ)


def _shown(value: object) -> str:
    """A value as it may stand in an error: short, in quotes if text, fit for a terminal."""
    text = str(value)
    if not text.isprintable():
        text = ascii(value)
    elif isinstance(value, str):
        text = f'"{text}"'
    return text if len(text) <= _VALUE_SHOWN_MAX else text[:_VALUE_SHOWN_MAX] + "..."


def _numbers(table: TomlTable, cls: type[msgspec.Struct]) -> dict[str, int]:
    """Every whole-number field of a settings class, within the bounds its type states."""
    found: dict[str, int] = {}
    kind = msgspec.inspect.type_info(cls)
    for field in kind.fields if isinstance(kind, msgspec.inspect.StructType) else ():
        bounds = field.type
        if isinstance(bounds, msgspec.inspect.IntType) and bounds.ge is not None:
            most = bounds.le if bounds.le is not None else bounds.ge
            found[field.name] = table.integer(field.name, field.default, bounds.ge, most)
    return found


# ---------------------------------------------------------------- the parts of a venue


def _venue(top: TomlTable) -> VenueConfig:
    venue = top.table("venue")
    name = venue.text("name", "NexusTrade")
    session = venue.choice("session", SESSIONS, ALWAYS, upper=False)
    cycle_days = venue.integer("settlement_cycle_days", 2, 0, 10)
    opening_call_s = _session_call(venue, "opening_call_s", session, OPENING_CALL_S)
    closing_call_s = _session_call(venue, "closing_call_s", session, CLOSING_CALL_S)
    margin_call_s = venue.integer("margin_call_s", MARGIN_CALL_S, 0, MARGIN_CALL_S_MAX)
    venue.close()
    demo = _demo(top.table("demo"))
    instruments = _instruments(top, demo_wanted=demo.enabled)
    limits = top.table("limits")
    limits_read = Limits(**_numbers(limits, Limits))
    limits.close()
    stages = top.table("stages")
    stages_read = StagesConfig(**_numbers(stages, StagesConfig))
    stages.close()
    config = VenueConfig(
        name=name,
        session=session,
        settlement_cycle_days=cycle_days,
        opening_call_s=opening_call_s,
        closing_call_s=closing_call_s,
        margin_call_s=margin_call_s,
        instruments=tuple(instruments.values()),
        accounts=_accounts(top, instruments, limits_read),
        stages=stages_read,
        limits=limits_read,
        databases=_databases(top.table("databases")),
        http=_http(top.table("http")),
        demo=demo,
    )
    top.close()
    return config


def _session_call(venue: TomlTable, key: str, session: str, default: int) -> int:
    if session == ALWAYS:
        if venue.integer(key, 0, 0, CALL_S_MAX):
            venue.problem(key, "a venue that never closes has no calls", venue.raw[key])
        return 0
    return venue.integer(key, default, 0, CALL_S_MAX)


def _demo(table: TomlTable) -> DemoConfig:
    demo = DemoConfig(enabled=table.flag("enabled"), **_numbers(table, DemoConfig))
    table.close()
    return demo


def _databases(table: TomlTable) -> DatabasesConfig:
    databases = DatabasesConfig(trading=table.secret("trading"), accounts=table.secret("accounts"))
    table.close()
    return databases


def _http(table: TomlTable) -> HttpConfig:
    address = table.text("address", "127.0.0.1:8080")
    table.close()
    try:
        host, port = parse_address(address)
    except InputError as error:
        table.problem("address", error.rule, address)
        return HttpConfig()
    return HttpConfig(host=host, port=port)


def parse_address(address: str) -> tuple[str, int]:
    """`HOST:PORT` as its two parts, an IPv6 host without its brackets; `InputError` if it is not.

    Port 0 asks the system for a free one.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise InputError("address", address, "an address is written HOST:PORT")
    return match["host"].strip("[]"), int(match["port"])


def _instruments(top: TomlTable, *, demo_wanted: bool) -> dict[str, DefineInstrument]:
    found: dict[str, DefineInstrument] = {}
    for table in top.tables("instruments", INSTRUMENTS_MAX):
        instrument = read_instrument(table)
        if demo_wanted and not table.has("reference_price"):
            table.problem("reference_price", "is missing, and the demo market needs it")
        if instrument.symbol in found:
            table.problem("symbol", "this symbol is listed twice", instrument.symbol)
        if instrument.symbol:
            found[instrument.symbol] = instrument
    return found


def read_instrument(table: TomlTable) -> DefineInstrument:
    """An instrument's rules from its table, which is closed."""
    symbol = table.text("symbol", pattern=_SYMBOL) if table.required("symbol") else ""
    reference_px = table.money("reference_price", parse_price, 0)
    # The market-wide default: a cent, and a hundredth of one below 1 USD.
    tick_size = PRICE_ONE // 100 if reference_px >= PRICE_ONE or not reference_px else 1
    instrument = DefineInstrument(
        symbol=symbol,
        tick_size=table.money("tick", parse_price, tick_size),
        lot_size=table.money("lot", parse_qty, QTY_ONE),
        name=table.text("name", symbol),
        exchange=table.choice("exchange", EXCHANGES, "", upper=True),
        fractionable=table.flag("fractionable"),
        shortable=table.flag("shortable"),
        marginable=table.flag("marginable"),
        tier=table.integer("tier", 2, 1, 2),
        collar_ppm=table.money("collar", _parse_collar, 50_000),
        reference_px=reference_px,
        order_qty_max=table.money("order_qty_max", parse_qty, 0),
        order_notional_max=table.money("order_notional_max", parse_usd, 0),
        static_band_ppm=table.money("static_band", _parse_band, 0),
        dynamic_band_ppm=table.money("dynamic_band", _parse_band, 0),
        call_s=table.integer("volatility_auction_s", VOLATILITY_AUCTION_S, 1, CALL_S_MAX),
        maintenance_addon_ppm=table.money("maintenance_addon", parse_rate, 0),
    )
    if reference_px % instrument.tick_size:
        table.problem(
            "reference_price", "is not a multiple of the tick", table.raw["reference_price"]
        )
    if instrument.lot_size % QTY_ONE and not instrument.fractionable:
        table.problem("lot", "a part of a share needs fractionable = true", table.raw["lot"])
    table.close()
    return instrument


def _parse_collar(field: str, value: object) -> int:
    rate = parse_rate(field, value)
    if not 0 < rate < 1_000_000:
        raise InputError(field, value, "a collar is a rate between 0 and 1, like 0.05")
    return rate


def _parse_band(field: str, value: object) -> int:
    rate = parse_rate(field, value)
    if not 0 < rate < 1_000_000:
        raise InputError(field, value, "a band is a rate between 0 and 1, like 0.1")
    return rate


def _accounts(
    top: TomlTable, instruments: Mapping[str, DefineInstrument], limits: Limits
) -> tuple[AccountConfig, ...]:
    found: list[AccountConfig] = []
    ids: set[str] = set()
    keys: set[str] = set()
    for table in top.tables("accounts", ACCOUNTS_MAX):
        account = _account(table, instruments, limits)
        if account.account_id in ids:
            table.problem("id", "this account is there twice", account.account_id)
        if account.key and account.key in keys:
            table.problem("key", "this key is there twice", account.key)
        ids.add(account.account_id)
        keys.add(account.key)
        found.append(account)
    return tuple(found)


def _account(
    table: TomlTable, instruments: Mapping[str, DefineInstrument], limits: Limits
) -> AccountConfig:
    account_id = table.text("id", pattern=_ACCOUNT_ID) if table.required("id") else ""
    if account_id == OPERATOR_ID:
        table.problem("id", "this id is the operator's", account_id)
    if account_id.startswith(DEMO_PREFIXES):
        table.problem("id", "such ids belong to the demo market", account_id)
    fees = table.table("fees")
    opening = OpenAccount(
        account_id=account_id,
        account_type=table.choice("type", (terms.CASH, terms.MARGIN), terms.CASH, upper=True),
        cash=table.money("cash", parse_usd, 0),
        maker_fee_ppm=fees.money("maker", parse_rate, 0),
        taker_fee_ppm=fees.money("taker", parse_rate, 0),
        shorting=table.flag("shorting"),
        stp=table.choice("stp", STP_MODES, terms.STP_NEWEST, upper=True),
        open_orders_max=table.integer(
            "open_orders_max", limits.open_orders_max, 1, limits.open_orders_max
        ),
        unsettled_usable=table.flag("unsettled_proceeds", default=True),
    )
    fees.close()
    if opening.shorting and opening.account_type == terms.CASH:
        table.problem("shorting", "only a margin account can sell short", value=True)
    positions = tuple(_positions(table, opening, instruments))
    key, secret = _credentials(table)
    scopes = _scopes(table)
    table.close()
    return AccountConfig(open=opening, positions=positions, key=key, secret=secret, scopes=scopes)


def _positions(
    table: TomlTable, account: OpenAccount, instruments: Mapping[str, DefineInstrument]
) -> Iterator[AdjustPosition]:
    held: set[str] = set()
    for row in table.tables("positions", INSTRUMENTS_MAX):
        symbol = row.text("symbol") if row.required("symbol") else ""
        instrument = instruments.get(symbol)
        if symbol and instrument is None:
            row.problem("symbol", "no instrument has this symbol", symbol)
        if symbol in held:
            row.problem("symbol", "this position is there twice", symbol)
        held.add(symbol)
        qty = row.money("qty", parse_signed_qty, 0) if row.required("qty") else 0
        price = row.money("price", parse_price, instrument.reference_px if instrument else 0)
        row.close()
        if qty < 0 and not account.shorting:
            row.problem("qty", "only an account with shorting = true can be short", row.raw["qty"])
        if instrument and not instrument.fractionable and qty % instrument.lot_size:
            row.problem("qty", "is not a multiple of the lot", row.raw["qty"])
        if qty:
            yield AdjustPosition(account.account_id, symbol, qty, price, "venue.toml")


def _credentials(table: TomlTable) -> tuple[str, Secret]:
    key = table.text("key", pattern=_KEY)
    secret = table.secret("secret")
    if secret and not key:
        table.problem("key", "is missing; a secret belongs to a key")
    if secret and not (SECRET_LEN_MIN <= len(secret) <= SECRET_LEN_MAX and _is_plain(secret)):
        rule = f"a secret has {SECRET_LEN_MIN} to {SECRET_LEN_MAX} printable ASCII characters"
        table.problem("secret", rule)
    return key, secret


def _is_plain(text: str) -> bool:
    """Whether text may stand in an HTTP header and comes out as it went in."""
    return text.isascii() and text.isprintable() and text == text.strip()


def _scopes(table: TomlTable) -> tuple[str, ...]:
    if not table.has("scopes"):
        return ("trade", "read")
    value = table.raw["scopes"]
    if isinstance(value, list) and value and all(each in SCOPES for each in value):
        return tuple(scope for scope in SCOPES if scope in value)
    table.problem(
        "scopes", f"a list of {', '.join(repr(each) for each in SCOPES)} is wanted", value
    )
    return ("trade", "read")
