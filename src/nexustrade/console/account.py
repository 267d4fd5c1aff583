"""`nexustrade account`: accounts, their cash, their kill switch and their API keys."""

from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import (
    OK,
    USAGE,
    CommandError,
    print_json,
    print_record,
    print_rows,
)
from nexustrade.console.venue import Client, admin, segment, trader
from nexustrade.core.errors import InputError
from nexustrade.core.money import parse_usd

app = App(name="account", help="Accounts, their cash, kill switch and API keys.")
key_app = App(name="key", help="API keys of an account.")
app.command(key_app)

_COLUMNS: Final = (
    "account_id",
    "account_type",
    "cash",
    "equity",
    "buying_power",
    "reserved",
    "open_orders",
    "blocked",
)
_POSITIONS: Final = (
    "symbol",
    "side",
    "qty",
    "qty_available",
    "avg_entry_price",
    "current_price",
    "market_value",
    "unrealized_pl",
)
_KEYS: Final = ("key_id", "account_id", "scopes", "label", "created_at", "expires_at", "revoked_at")

AccountId = Annotated[str, Parameter(help="The account's id.")]
Reason = Annotated[str, Parameter(help="Why; it is kept with the event.")]


@app.command(name="list")
def list_(*, answer: Answer = PLAIN) -> int:
    """List all accounts."""
    rows = admin(answer.directory).get("/v1/accounts")
    print_rows(rows, _COLUMNS, as_json=answer.json, empty="no accounts")
    return OK


@app.command
def show(account_id: AccountId, /, *, answer: Answer = PLAIN) -> int:
    """Show an account with its positions."""
    account = _account(admin(answer.directory), account_id)
    with trader(answer.directory, account_id) as client:
        positions = client.get("/v2/positions")
    if answer.json:
        print_json(account | {"positions": positions})
        return OK
    print_record(account, as_json=False)
    print_rows(positions, _POSITIONS, as_json=False, empty="no positions")
    return OK


def _account(client: Client, account_id: str) -> dict[str, Any]:
    for account in client.get("/v1/accounts"):
        if account["account_id"] == account_id:
            return dict(account)
    raise CommandError(f"account not found for {account_id}")


@app.command(name="open")
def open_(
    account_id: AccountId,
    /,
    *,
    account_type: Annotated[str, Parameter(name="--type", help="cash or margin.")] = "cash",
    cash: Annotated[str, Parameter(help="Opening cash in USD.")] = "0",
    maker_fee: Annotated[str, Parameter(help="Rate of the notional: 0.0005 is 5 bp.")] = "0",
    taker_fee: Annotated[str, Parameter(help="Rate of the notional.")] = "0",
    shorting: Annotated[bool, Parameter(negative=(), help="May sell short.")] = False,
    answer: Answer = PLAIN,
) -> int:
    """Open an account."""
    opened = admin(answer.directory).post(
        "/v1/accounts",
        {
            "account_id": account_id,
            "account_type": account_type,
            "cash": cash,
            "maker_fee": maker_fee,
            "taker_fee": taker_fee,
            "shorting": shorting,
        },
    )
    print_record(opened, as_json=answer.json)
    return OK


@app.command
def deposit(
    account_id: AccountId,
    amount: Annotated[str, Parameter(help="USD, above 0.")],
    /,
    *,
    description: Annotated[str, Parameter(help="Kept with the event.")] = "",
    answer: Answer = PLAIN,
) -> int:
    """Deposit cash."""
    return _adjust(answer, account_id, "", amount, description)


@app.command
def withdraw(
    account_id: AccountId,
    amount: Annotated[str, Parameter(help="USD, above 0.")],
    /,
    *,
    description: Annotated[str, Parameter(help="Kept with the event.")] = "",
    answer: Answer = PLAIN,
) -> int:
    """Withdraw cash that nothing reserves."""
    return _adjust(answer, account_id, "-", amount, description)


def _adjust(answer: Answer, account_id: str, sign: str, amount: str, description: str) -> int:
    try:
        cents = parse_usd("amount", amount)
    except InputError as error:
        raise CommandError(str(error), USAGE) from None
    if cents == 0:
        raise CommandError("an amount is greater than 0", USAGE)
    changed = admin(answer.directory).post(
        f"/v1/accounts/{segment(account_id)}/cash",
        {"amount": sign + amount, "description": description},
    )
    print_record(changed, as_json=answer.json)
    return OK


@app.command
def block(account_id: AccountId, /, *, reason: Reason = "", answer: Answer = PLAIN) -> int:
    """Turn the kill switch on: cancels all open orders and rejects new ones."""
    return _block(answer, account_id, reason, blocked=True)


@app.command
def unblock(account_id: AccountId, /, *, reason: Reason = "", answer: Answer = PLAIN) -> int:
    """Turn the kill switch off."""
    return _block(answer, account_id, reason, blocked=False)


def _block(answer: Answer, account_id: str, reason: str, *, blocked: bool) -> int:
    changed = admin(answer.directory).post(
        f"/v1/accounts/{segment(account_id)}/block", {"blocked": blocked, "reason": reason}
    )
    print_record(changed, as_json=answer.json)
    return OK


@key_app.command
def create(
    account_id: AccountId,
    /,
    *,
    scope: Annotated[
        tuple[str, ...],
        Parameter(help="trade, read or admin; several times for several.", negative=()),
    ] = (),
    label: Annotated[str, Parameter(help="What the key is for.")] = "",
    expires_at: Annotated[
        str | None, Parameter(help="When it ends, like 2027-01-01T00:00:00Z.")
    ] = None,
    answer: Answer = PLAIN,
) -> int:
    """Make an API key; its secret is shown this once."""
    made = admin(answer.directory).post(
        "/v1/keys",
        {
            "account_id": account_id,
            "scopes": list(scope) or None,
            "label": label,
            "expires_at": expires_at,
        },
    )
    print_record(made, as_json=answer.json)
    return OK


@key_app.command(name="list")
def list_keys(
    account_id: Annotated[str, Parameter(help="Only the keys of this account.")] = "",
    /,
    *,
    answer: Answer = PLAIN,
) -> int:
    """List API keys, without their secrets."""
    rows = admin(answer.directory).get("/v1/keys", account_id=account_id)
    print_rows(rows, _KEYS, as_json=answer.json, empty="no keys")
    return OK


@key_app.command
def revoke(key_id: str, /, *, answer: Answer = PLAIN) -> int:
    """End an API key.

    Parameters
    ----------
    key_id
        The key's id, not its secret.
    """
    admin(answer.directory).delete(f"/v1/keys/{segment(key_id)}")
    print_record({"key_id": key_id, "revoked": True}, as_json=answer.json)
    return OK
