"""venue.toml: what is read, in which units, and what each fault says."""

import os
from pathlib import Path

import pytest

from nexustrade.kernel.config import (
    DEFAULT_VENUE,
    AccountConfig,
    ConfigError,
    Limits,
    Secret,
    VenueConfig,
    load_config,
    parse_address,
    parse_config,
)
from nexustrade.matching.messages import DefineInstrument
from nexustrade.orders.messages import AdjustPosition, OpenAccount

HERE = Path(__file__).parent


def parse(text: str, environ: dict[str, str] | None = None, folder: Path = HERE) -> VenueConfig:
    return parse_config(text, folder, environ or {})


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


INSTRUMENT = '[[instruments]]\nsymbol = "AAPL"\n'
ACCOUNT = '[[accounts]]\nid = "alice"\n'


def test_an_empty_file_is_a_venue_of_defaults() -> None:
    assert parse("") == VenueConfig()
    assert VenueConfig().limits == Limits()


def test_every_setting_of_an_instrument() -> None:
    config = parse("""
        [[instruments]]
        symbol = "BRK.B"
        name = "Berkshire"
        exchange = "nyse"
        tick = 0.05
        lot = 0.1
        fractionable = true
        shortable = true
        marginable = true
        tier = 1
        collar = "0.075"
        reference_price = 500.05
        order_qty_max = 1e3
        order_notional_max = 1_000_000.50
        static_band = "0.1"
        dynamic_band = 0.05
        volatility_auction_s = 300
        maintenance_addon = 0.15
    """)
    assert config.instruments == (
        DefineInstrument(
            symbol="BRK.B",
            name="Berkshire",
            exchange="NYSE",
            tick_size=500,
            lot_size=10_000_000,
            fractionable=True,
            shortable=True,
            marginable=True,
            tier=1,
            collar_ppm=75_000,
            reference_px=5_000_500,
            order_qty_max=1_000 * 100_000_000,
            order_notional_max=100_000_050,
            static_band_ppm=100_000,
            dynamic_band_ppm=50_000,
            call_s=300,
            maintenance_addon_ppm=150_000,
        ),
    )


def test_an_instrument_by_its_symbol_alone() -> None:
    expected = DefineInstrument(
        "AAPL", tick_size=100, lot_size=100_000_000, name="AAPL", call_s=120
    )
    assert parse(INSTRUMENT).instruments == (expected,)


def test_the_tick_of_a_penny_stock_is_a_hundredth_of_a_cent() -> None:
    instrument = parse(INSTRUMENT + "reference_price = 0.9999").instruments[0]
    assert (instrument.tick_size, instrument.reference_px) == (1, 9_999)


def test_every_setting_of_an_account() -> None:
    config = parse(
        INSTRUMENT
        + "reference_price = 100\nfractionable = true"
        + """
        [[accounts]]
        id = "alice"
        type = "margin"
        cash = "1000.10"
        shorting = true
        fees = { maker = 0, taker = "0.0005" }
        stp = "cancel_oldest"
        open_orders_max = 50
        unsettled_proceeds = false
        key = "PKALICE"
        secret = "a-secret-of-alices"
        scopes = ["read", "trade", "admin"]
        [[accounts.positions]]
        symbol = "AAPL"
        qty = -2.5
        price = 99.5
        """
    )
    assert config.accounts == (
        AccountConfig(
            open=OpenAccount(
                "alice",
                "MARGIN",
                cash=100_010,
                taker_fee_ppm=500,
                shorting=True,
                stp="CANCEL_OLDEST",
                open_orders_max=50,
                unsettled_usable=False,
            ),
            positions=(AdjustPosition("alice", "AAPL", -250_000_000, 995_000, "venue.toml"),),
            key="PKALICE",
            secret=Secret("a-secret-of-alices"),
            scopes=("trade", "read", "admin"),
        ),
    )
    assert config.accounts[0].account_id == "alice"


def test_a_position_costs_the_reference_price_where_no_price_is_given() -> None:
    text = INSTRUMENT + "reference_price = 100\n" + ACCOUNT
    config = parse(text + 'positions = [{ symbol = "AAPL", qty = 3 }]')
    assert config.accounts[0].positions[0].price == 1_000_000


def test_the_other_tables() -> None:
    config = parse("""
        [venue]
        name = "Mine"
        session = "XNYS"
        settlement_cycle_days = 1
        opening_call_s = 300
        closing_call_s = 0
        margin_call_s = 3600
        [stages]
        orders = 2
        matching = 4
        [limits]
        rate_limit_per_s = 200
        closed_orders_keep_s = 60
        [databases]
        trading = "postgresql:///trading"
        [http]
        address = "[::1]:0"
        [demo]
        enabled = true
        seed = 7
        makers = 3
    """)
    assert (config.name, config.session, config.settlement_cycle_days) == ("Mine", "XNYS", 1)
    assert (config.opening_call_s, config.closing_call_s, config.margin_call_s) == (300, 0, 3600)
    assert (config.stages.orders, config.stages.matching) == (2, 4)
    assert (config.limits.rate_limit_per_s, config.limits.closed_orders_keep_s) == (200, 60)
    assert (config.databases.trading, config.databases.accounts) == ("postgresql:///trading", "")
    assert (config.http.host, config.http.port) == ("::1", 0)
    assert (config.demo.enabled, config.demo.seed, config.demo.makers) == (True, 7, 3)


@pytest.mark.parametrize(("session", "calls"), [("XNYS", (120, 60)), ("always", (0, 0))])
def test_only_a_venue_that_closes_has_calls(session: str, calls: tuple[int, int]) -> None:
    config = parse(f'[venue]\nsession = "{session}"')
    assert (config.opening_call_s, config.closing_call_s) == calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[limit]\n", "limit: this setting is not known; did you mean limits?"),
        ("[limits]\nbatch_len = 3", ("limits.batch_len: this setting is not known; "
         "did you mean batch_len_max?")),
        ("[venue]\nzzz = 1", "venue.zzz: this setting is not known"),
        ("[venue]\nsession = 'xnys'", "venue.session: \"xnys\": one of 'always', 'XNYS' is wanted"),
        ("[venue]\nopening_call_s = 60",
         "venue.opening_call_s: 60: a venue that never closes has no calls"),
        ("[venue]\nsession = 'XNYS'\nclosing_call_s = 3601",
         "venue.closing_call_s: 3601: a whole number from 0 to 3600 is wanted"),
        ("[venue]\nname = 3", "venue.name: 3: a text in quotes is wanted"),
        ("[venue]\nname = 'a\\u0007b'".replace("'", '"'),
         "venue.name: 'a\\x07b': at most 200 printable characters are wanted"),
        ("venue = 3", "venue: 3: a table is wanted"),
        ("instruments = 3", "instruments: 3: an array of tables ([[instruments]]) is wanted"),
        ("[stages]\norders = 0", "stages.orders: 0: a whole number from 1 to 64 is wanted"),
        ("[stages]\norders = 1.0", "stages.orders: 1.0: a whole number from 1 to 64 is wanted"),
        ("[stages]\norders = true", "stages.orders: True: a whole number from 1 to 64 is wanted"),
        ("[limits]\ncl_ord_id_days = 29", ("limits.cl_ord_id_days: 29: a whole number from 30 to "
         "3650 is wanted")),
        ("[demo]\nenabled = 1", "demo.enabled: 1: true or false is wanted"),
        ("[http]\naddress = '8080'", 'http.address: "8080": an address is written HOST:PORT'),
        ("[http]\naddress = 'a:65536'", 'http.address: "a:65536": an address is written HOST:PORT'),
        ("[[instruments]]\n", "instruments[0].symbol: is missing"),
        (INSTRUMENT * 2, 'instruments[1].symbol: "AAPL": this symbol is listed twice'),
        (INSTRUMENT + "tick = 0", "instruments[0].tick: 0: a price is greater than 0"),
        (INSTRUMENT + "tick = 0.00001",
         "instruments[0].tick: 0.00001: a price has at most 4 decimals"),
        (INSTRUMENT + "tick = nan", "instruments[0].tick: NaN: a price is finite"),
        (INSTRUMENT + "lot = inf", "instruments[0].lot: Infinity: a quantity is finite"),
        (INSTRUMENT + "lot = 1e99", "instruments[0].lot: 1E+99: a quantity is at most 1000000000"),
        (INSTRUMENT + "lot = []", "instruments[0].lot: []: a decimal number is wanted"),
        (INSTRUMENT + "lot = true", "instruments[0].lot: True: a quantity is written as a decimal"),
        (INSTRUMENT + "lot = 0.5",
         "instruments[0].lot: 0.5: a part of a share needs fractionable = true"),
        (INSTRUMENT + "tier = 3", "instruments[0].tier: 3: a whole number from 1 to 2 is wanted"),
        (INSTRUMENT + "collar = 5",
         "instruments[0].collar: 5: a rate is at most 1"),
        (INSTRUMENT + "collar = 0",
         "instruments[0].collar: 0: a collar is a rate between 0 and 1, like 0.05"),
        (INSTRUMENT + "static_band = 0",
         "instruments[0].static_band: 0: a band is a rate between 0 and 1, like 0.1"),
        (INSTRUMENT + "dynamic_band = 1",
         "instruments[0].dynamic_band: 1: a band is a rate between 0 and 1, like 0.1"),
        (INSTRUMENT + "volatility_auction_s = 0",
         ("instruments[0].volatility_auction_s: 0: a whole number from 1 to 3600 is wanted")),
        (INSTRUMENT + "tick = 0.25\nreference_price = 10.10",
         "instruments[0].reference_price: 10.10: is not a multiple of the tick"),
        (INSTRUMENT + "[demo]\nenabled = true",
         "instruments[0].reference_price: is missing, and the demo market needs it"),
        ("[[accounts]]\n", "accounts[0].id: is missing"),
        (ACCOUNT + "cash = 10.005",
         "accounts[0].cash: 10.005: a USD amount has at most 2 decimals"),
        (ACCOUNT + "cash = '-1'", 'accounts[0].cash: "-1": a USD amount is not negative'),
        (ACCOUNT + ACCOUNT, 'accounts[1].id: "alice": this account is there twice'),
        (ACCOUNT + "type = 'gold'",
         "accounts[0].type: \"gold\": one of 'CASH', 'MARGIN' is wanted"),
        (ACCOUNT + "shorting = true",
         "accounts[0].shorting: True: only a margin account can sell short"),
        (ACCOUNT + "fees = { taker = -0.1 }",
         "accounts[0].fees.taker: -0.1: a rate is not negative"),
        (ACCOUNT + "fees = { tker = 0.1 }",
         "accounts[0].fees.tker: this setting is not known; did you mean taker?"),
        (ACCOUNT + "open_orders_max = 100001",
         "accounts[0].open_orders_max: 100001: a whole number from 1 to 100000 is wanted"),
        (ACCOUNT + "positions = [{ symbol = 'X', qty = 1 }]",
         'accounts[0].positions[0].symbol: "X": no instrument has this symbol'),
        (INSTRUMENT + ACCOUNT + "positions = [{ symbol = 'AAPL', qty = 1.5 }]",
         "accounts[0].positions[0].qty: 1.5: is not a multiple of the lot"),
        (INSTRUMENT + ACCOUNT + "positions = [{ symbol = 'AAPL', qty = -1 }]",
         "accounts[0].positions[0].qty: -1: only an account with shorting = true can be short"),
        (INSTRUMENT + ACCOUNT + "positions = [{ symbol = 'AAPL' }]",
         "accounts[0].positions[0].qty: is missing"),
        (ACCOUNT + "scopes = ['rule']",
         "accounts[0].scopes: ['rule']: a list of 'trade', 'read', 'admin' is wanted"),
        (ACCOUNT + "secret = 'a-secret-of-alices'",
         "accounts[0].key: is missing; a secret belongs to a key"),
        (ACCOUNT + "key = 'PKALICE'\nsecret = 'short'",
         "accounts[0].secret: a secret has 16 to 256 printable ASCII characters"),
        (ACCOUNT + "key = 'PKALICE'\nsecret_env = 'NOT_THERE'",
         'accounts[0].secret_env: "NOT_THERE": this environment variable is not set'),
        (ACCOUNT + "key = 'PKALICE'\nsecret_file = 'not-there'",
         ('accounts[0].secret_file: "not-there": the file cannot be read '
         "(No such file or directory)")),
        (ACCOUNT + "key = 'PKALICE'\nsecret = 'a-secret-of-alices'\nsecret_env = 'HOME'",
         "accounts[0].secret_env: secret is there already: one of them is enough"),
        ("[[accounts]]\nid = 'admin'",
         'accounts[0].id: "admin": this id is the operator\'s'),
        ("[[accounts]]\nid = 'demo-maker-1'",
         'accounts[0].id: "demo-maker-1": such ids belong to the demo market'),
    ],
)  # fmt: skip
def test_a_fault_names_its_path_its_value_and_the_rule(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize("symbol", ["aapl", "", "A B", "A/", "AAPLAAPLAAPL", "A.B.C", "1A"])
def test_symbols_have_a_shape(symbol: str) -> None:
    found = problems(f'[[instruments]]\nsymbol = "{symbol}"')
    assert found[0].startswith(f'instruments[0].symbol: "{symbol}": does not match')


def test_all_faults_are_told_at_once() -> None:
    found = problems("[venue]\nnam = 'x'\n[stages]\norders = 0\n" + ACCOUNT + "cash = 'much'")
    assert [each.split(":")[0] for each in found] == [
        "venue.nam",
        "stages.orders",
        "accounts[0].cash",
    ]


@pytest.mark.parametrize("text", ["a", "a = 1\na = 2", "a = " + "[" * 2_000, "a = 1e" + "9" * 30])
def test_text_that_is_not_toml(text: str) -> None:
    assert problems(text)[0].startswith(("not TOML", "a: this setting is not known"))


def test_secrets_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the-secret-in-a-file\n")
    text = """
        databases = { trading_env = "TRADING" }
        [[accounts]]
        id = "alice"
        key = "PKALICE"
        secret_file = "secret"
    """
    config = parse(text, {"TRADING": "postgresql://u:p@localhost/trading"}, tmp_path)
    assert config.accounts[0].secret == "the-secret-in-a-file"
    assert config.databases.trading == "postgresql://u:p@localhost/trading"
    assert "the-secret-in-a-file" not in repr(config)
    assert "u:p@" not in repr(config)


def test_decimals_never_pass_through_floats() -> None:
    text = ACCOUNT + "cash = 900_719_925_474_099.29"
    assert parse(text).accounts[0].open.cash == 90_071_992_547_409_929


def test_the_default_venue_is_sound() -> None:
    config = load_config(None)
    symbols = [instrument.symbol for instrument in config.instruments]
    assert symbols[:4] == ["AAPL", "GOOGL", "MSFT", "AMZN"]
    assert len(symbols) == 20
    assert config.demo.enabled
    assert [account.account_id for account in config.accounts] == ["demo"]
    assert (config.accounts[0].key, config.accounts[0].secret) == ("", "")
    assert load_config(DEFAULT_VENUE) == config


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.toml")


def test_the_environment_of_the_caller_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_TEST_DSN", "postgresql:///t")
    (tmp_path / "venue.toml").write_text('[databases]\ntrading_env = "VENUE_TEST_DSN"')
    assert "VENUE_TEST_DSN" in os.environ
    assert load_config(tmp_path / "venue.toml").databases.trading == "postgresql:///t"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("localhost:80", ("localhost", 80)), ("[::1]:8080", ("::1", 8080)), ("0.0.0.0:0", None)],
)
def test_addresses(address: str, expected: tuple[str, int] | None) -> None:
    assert parse_address(address) == (expected or ("0.0.0.0", 0))
