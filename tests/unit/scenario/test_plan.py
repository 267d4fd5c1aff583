"""A scenario's file is read to its end: every fault is named, with its path and its rule."""

from pathlib import Path

import msgspec
import pytest

from nexustrade.console.scenario import private_venue
from nexustrade.kernel.config import ConfigError
from nexustrade.scenario import plan
from nexustrade.scenario.runner import ScenarioError, run_scenario

HEAD = """
name = "mine"
[instrument]
symbol = "ACME"
reference_price = 100
[[accounts]]
id = "alice"
cash = 10_000
shares = 10
[[accounts]]
id = "bob"
cash = 10_000
shares = 10
"""
OPEN = '[[steps]]\ndo = "open"\n'
REST = '[[steps]]\ndo = "rest"\nid = "bids"\naccount = "alice"\nside = "buy"\nprice = 99\nqty = 1\n'
OCO = (
    '[[steps]]\ndo = "group"\nid = "exit"\nclass = "oco"\naccount = "alice"\nside = "sell"\n'
    "qty = 10\ntake_profit = { limit_price = 110 }\nstop_loss = { stop_price = 90 }\n"
)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan.parse_scenario(text)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("", "steps: is missing: a scenario has at least one step"),
        ("[[steps]]\n", "steps[0].do: is missing"),
        (OPEN + "dat = 1\n", "steps[0].dat: this setting is not known; did you mean date?"),
        (OPEN + 'date = "2026-02-30"\n',
         'steps[0].date: "2026-02-30": the calendar has no such day'),
        (OPEN + "wait_ms = -1\n",
         "steps[0].wait_ms: -1: a whole number from 0 to 2592000000 is wanted"),
        (REST.replace("alice", "carol"),
         'steps[0].account: "carol": no account has this id'),
        (REST.replace("99", "99.00001"),
         "steps[0].price: 99.00001: a price has at most 4 decimals"),
        (REST + "levels = 10_001\n",
         "steps[0].levels: 10001: a whole number from 1 to 1000 is wanted"),
        (REST + "levels = 100\nlevel_step = 1\n",
         "steps[0].levels: 100: take the price to 0 or below"),
        (REST + "repeat = 100\nprice_step = -1\n",
         "steps[0].price_step: -1: takes a price to 0 or below"),
        (REST + REST, 'steps[1].id: "bids": this id is there twice'),
        (REST + '[[steps]]\ndo = "cancel"\nid = "bid"\n',
         'steps[1].id: "bid": no step before this one has this id'),
        (REST + '[[steps]]\ndo = "cancel"\nid = "bids-2"\n',
         'steps[1].id: "bids-2": no step before this one has this id'),
        (REST + '[[steps]]\ndo = "cancel"\nid = "bids"\nleg = "stop_loss"\n',
         'steps[1].leg: "stop_loss": only a group has legs'),
        (OCO + '[[steps]]\ndo = "amend"\nid = "exit"\n',
         "steps[1].qty: one of qty, limit_price and stop_price is wanted"),
        (OCO.replace('class = "oco"', 'class = "oto"'),
         "steps[0].take_profit: an oto has one of take_profit and stop_loss"),
        ('[[steps]]\ndo = "clock"\n', "steps[0].jump_s: is missing"),
        ('[[steps]]\ndo = "trade"\nprice = 1\nqty = 1\nbuyer = "bob"\nseller = "bob"\n',
         'steps[0].seller: "bob": is the buyer: an account does not trade with itself'),
        (REST + "levels = 1000\nlevel_step = 0.01\nrepeat = 100\n",
         "steps: at most 50000 commands are possible, here are 100000"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_path_value_and_rule(step: str, expected: str) -> None:
    assert faults(HEAD + step) == [expected]


def test_all_faults_are_told_at_once() -> None:
    text = HEAD.replace('"mine"', '"Not A Name"').replace("shares = 10\n", "shares = -1\n", 1)
    assert faults(text + OCO.replace("110", '"x"').replace("90", "0") + "typo = 1\n") == [
        'name: "Not A Name": does not match [a-z0-9][a-z0-9-]{0,62}',
        "accounts[0].shares: -1: an account that is to be short sells first, in a step",
        'steps[0].take_profit.limit_price: "x": a price is a decimal number',
        "steps[0].stop_loss.stop_price: 0: a price is greater than 0",
        "steps[0].typo: this setting is not known",
    ]


@pytest.mark.parametrize("name", plan.builtin_names())
def test_a_scenario_of_ones_own_starts_as_a_copy(name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(plan.find_file(name).read_text())
    assert plan.load_scenario(plan.find_file(str(mine))).name == name


def test_an_account_that_the_venue_does_not_take_ends_the_run() -> None:
    scenario = plan.parse_scenario(HEAD + OPEN)
    twice = msgspec.structs.replace(scenario, accounts=scenario.accounts * 2)
    with pytest.raises(ScenarioError, match=r"^accounts\[2\]: ACCOUNT_EXISTS"):
        run_scenario(twice, private_venue(), 1)
