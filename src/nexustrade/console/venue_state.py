"""`nexustrade venue`: the state of the whole venue, and its switches."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import OK, REFUSED, print_record
from nexustrade.console.venue import admin, find_venue, segment

app = App(name="venue", help="The venue as a whole.")

Reason = Annotated[str, Parameter(help="Why; it is kept with the event.")]


@app.command
def status(*, answer: Answer = PLAIN) -> int:
    """Show where the venue runs and how it is; 1 when it is not well."""
    venue = find_venue(answer.directory)
    health = admin(answer.directory).get("/v1/health")
    print_record({"url": venue.url, "pid": venue.pid} | health, as_json=answer.json)
    return OK if health["status"] == "ok" else REFUSED


@app.command
def block(*, reason: Reason = "", answer: Answer = PLAIN) -> int:
    """Turn the venue's kill switch on: no account's new orders are taken."""
    return _block(answer, reason, blocked=True)


@app.command
def unblock(*, reason: Reason = "", answer: Answer = PLAIN) -> int:
    """Turn the venue's kill switch off."""
    return _block(answer, reason, blocked=False)


def _block(answer: Answer, reason: str, *, blocked: bool) -> int:
    body = {"blocked": blocked, "reason": reason}
    print_record(admin(answer.directory).post("/v1/venue/block", body), as_json=answer.json)
    return OK


@app.command
def instrument(
    symbol: str,
    state: Literal["active", "halted", "restricted"],
    /,
    *,
    reason: Reason = "",
    answer: Answer = PLAIN,
) -> int:
    """Halt, restrict (only orders that reduce a position) or reopen a symbol."""
    body = {"state": state, "reason": reason}
    told = admin(answer.directory).post(f"/v1/instruments/{segment(symbol)}/state", body)
    print_record(told, as_json=answer.json)
    return OK


@app.command
def split(
    symbol: str,
    shares_new: int,
    shares_old: int,
    /,
    *,
    reason: Reason = "",
    answer: Answer = PLAIN,
) -> int:
    """Split a halted symbol: SHARES_OLD shares become SHARES_NEW, orders and groups with them."""
    body = {"shares_new": shares_new, "shares_old": shares_old, "reason": reason}
    told = admin(answer.directory).post(f"/v1/instruments/{segment(symbol)}/split", body)
    print_record(told, as_json=answer.json)
    return OK
