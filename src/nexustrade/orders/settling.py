"""What is due between a trade and its settlement, and what may be done with it meanwhile. Pure.

Trades count at once in an account's cash and positions (trade-date basis). `Dues` remembers which
of it is still to come or to go, by settlement date, and which proceeds have paid for a purchase
before they settled. Dates are ISO text (`2026-03-31`), which sorts as the days do.

The rules of a cash account are those of Regulation T, 12 CFR 220.8: a purchase is paid in full
before the shares are sold, (a)(1); the Board's letter of 7 January 2000 says that proceeds which
have not settled are no such payment. Brokers count three of these good-faith violations in twelve
months before they act. Shares sold to pay for their own purchase (free-riding) bring the freeze of
90 days, (c), at the first time: purchases need settled cash on the trade date.
"""

from datetime import date, timedelta
from typing import Final

from nexustrade.core.ticks import split_qty

GOOD_FAITH: Final = "GOOD_FAITH"
FREE_RIDING: Final = "FREE_RIDING"

GOOD_FAITH_MAX: Final = 3
"""Good-faith violations in twelve months that restrict an account."""
FREE_RIDING_MAX: Final = 1
RESTRICTED_DAYS: Final = 90
VIOLATION_DAYS: Final = 365
VIOLATIONS_MAX: Final = 100
"""Violations of one account that are kept; beyond, the oldest is dropped."""
DISREGARDED: Final = 100
"""Cents that a purchase may lack without consequence: rounding fill by fill adds up to some.

220.8(b)(4) would let 1,000 USD pass.
"""

_NO_USES: Final[list[tuple[str, int]]] = []


def is_date(text: str) -> bool:
    """Whether it is an ISO date."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def days_after(day: str, days: int) -> str:
    """The ISO date that many calendar days later (before, when below 0)."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


class Dues:
    """Cents to come (`receivable`) and to go (`payable`) by settlement date.

    `pledged` is the part of the receivables that purchases have used; `awaited` is the sum of the
    rest. Purchases settle no earlier than the receivables that they use, so that settled cash
    covers them then.
    """

    def __init__(self) -> None:
        self.receivable: dict[str, int] = {}
        self.payable: dict[str, int] = {}
        self.pledged: dict[str, int] = {}
        self.awaited: int = 0

    def settled(self, cash: int) -> int:
        """What of the account's cash is there today."""
        return cash - sum(self.receivable.values()) + sum(self.payable.values())

    def settled_on(self, cash: int, day: str) -> int:
        """What of the account's cash will be there at the end of `day`."""
        coming = sum([cents for when, cents in self.receivable.items() if when > day])
        going = sum([cents for when, cents in self.payable.items() if when > day])
        return cash - coming + going

    def free(self, cash: int) -> int:
        """Settled cash that no purchase needs: what may be spent or withdrawn as settled."""
        return cash - self.awaited

    def net(self) -> dict[str, int]:
        """What is to come less what is to go, by settlement date, earliest first."""
        days = sorted({*self.receivable, *self.payable})
        return {day: self.receivable.get(day, 0) - self.payable.get(day, 0) for day in days}

    def receive(self, day: str, cents: int) -> None:
        """A sale: its proceeds come on `day`."""
        self.receivable[day] = self.receivable.get(day, 0) + cents
        self.awaited += cents

    def pay(self, day: str, cents: int) -> None:
        """A purchase: its price goes on `day`."""
        self.payable[day] = self.payable.get(day, 0) + cents

    def lack(self, cash: int, cost: int) -> int:
        """Cents that a purchase needs beyond the settled cash; 0 when that covers it."""
        need = cost - self.free(cash)
        return need if need > DISREGARDED else 0

    def funded_until(self, need: int, settle_date: str) -> str:
        """When the purchase is paid for that lacks `need`: as the last proceeds it uses settle.

        What no proceeds cover is due when the purchase itself settles.
        """
        if not need:
            return ""
        uses = self._uses(need)
        last = uses[-1][0] if uses else ""
        covered = sum([cents for _, cents in uses])
        if need - covered > DISREGARDED and settle_date > last:
            return settle_date
        return last

    def pledge(self, need: int) -> None:
        """Use receivables for a purchase, those that settle first before the others."""
        for day, cents in self._uses(need):
            self.pledged[day] = self.pledged.get(day, 0) + cents
            self.awaited -= cents

    def _uses(self, need: int) -> list[tuple[str, int]]:
        """The receivables that cover `need`, or as much of it as they can, earliest first."""
        if not need or not self.awaited:
            return _NO_USES
        uses: list[tuple[str, int]] = []
        for day in sorted(self.receivable):
            spare = self.receivable[day] - self.pledged.get(day, 0)
            if spare > 0 and need > 0:
                cents = spare if spare < need else need
                uses.append((day, cents))
                need -= cents
        return uses

    def paid_up(self, cash: int) -> bool:
        """Whether settled cash covers what was bought with proceeds: a later deposit pays too."""
        return self.free(cash) >= sum(self.pledged.values())

    def settle(self, day: str) -> None:
        """All that is due on `day` or was before is done."""
        _drop(self.receivable, day)
        _drop(self.payable, day)
        _drop(self.pledged, day)
        self._recount()

    def undo_receive(self, day: str, cents: int) -> None:
        """A sale is undone. Purchases that used its proceeds lack them from here on."""
        left = self.receivable.get(day, 0) - cents
        _put(self.receivable, day, left)
        pledged = self.pledged.get(day, 0)
        _put(self.pledged, day, pledged if pledged < left else left)
        self._recount()

    def undo_pay(self, day: str, cents: int) -> None:
        """A purchase is undone: what it may have used of the receivables is free again.

        Which purchase used them is not known; the money counts as unsettled as far as it can.
        """
        _put(self.payable, day, self.payable.get(day, 0) - cents)
        for pledged_day in sorted(self.pledged, reverse=True):
            used = self.pledged[pledged_day]
            back = used if used < cents else cents
            _put(self.pledged, pledged_day, used - back)
            cents -= back
        self._recount()

    def _recount(self) -> None:
        self.awaited = sum(self.receivable.values()) - sum(self.pledged.values())

    def row(self) -> list[dict[str, int]]:
        """All of it as JSON values; `dues_from` reads them."""
        return [self.receivable, self.payable, self.pledged]


def dues_from(row: list[dict[str, int]]) -> Dues:
    """The dues that `Dues.row` wrote."""
    dues = Dues()
    dues.receivable = dict(row[0])
    dues.payable = dict(row[1])
    dues.pledged = dict(row[2])
    dues._recount()  # noqa: SLF001 - its own maker
    return dues


def _put(amounts: dict[str, int], day: str, amount: int) -> None:
    """Set what is left of a day, which is never below 0; nothing left is forgotten."""
    if amount > 0:
        amounts[day] = amount
    elif day in amounts:
        del amounts[day]


def _drop(amounts: dict[str, int], day: str) -> None:
    """Forget the amounts of all days up to and including `day`."""
    for one in [each for each in amounts if each <= day]:
        del amounts[one]


# ---------------------------------------------------------------- shares


class Unsettled:
    """Shares of one position between trade and settlement, in 1e-8.

    `moves` is what is to come less what is to go, by settlement date: a delivery nets against the
    receipts of its day, and shares may be sold before they have come. `lots` are shares bought with
    proceeds, by the date on which these settle (`funded_until`); the others are paid for.
    """

    def __init__(self) -> None:
        self.moves: dict[str, int] = {}
        self.lots: dict[str, int] = {}

    def empty(self) -> bool:
        """Nothing to come or to go, and all is paid for."""
        return not self.moves and not self.lots

    def qty(self) -> int:
        """Shares to come less shares to go."""
        return sum(self.moves.values())

    def lots_qty(self) -> int:
        """Shares that are not paid for yet."""
        return sum(self.lots.values())

    def deliverable(self, qty: int) -> int:
        """How many of `qty` shares are here, paid for, and not needed for a later delivery."""
        least = qty - self.qty()
        here = least
        for day in sorted(self.moves):
            here += self.moves[day]
            if here < least:
                least = here
        paid = qty - self.lots_qty()
        least = least if least < paid else paid
        return least if least > 0 else 0

    def move(self, day: str, signed_qty: int) -> None:
        """A trade: shares come (above 0) or go (below 0) on `day`."""
        moved = self.moves.get(day, 0) + signed_qty
        if moved:
            self.moves[day] = moved
        elif day in self.moves:
            del self.moves[day]

    def add_lot(self, funded_until: str, qty: int) -> None:
        """Shares were bought with proceeds that settle on `funded_until`."""
        self.lots[funded_until] = self.lots.get(funded_until, 0) + qty

    def unpaid(self, qty: int, sold: int, trade_date: str) -> int:
        """How many of `sold` shares out of `qty` are sold before they are paid for.

        Shares that are paid for are sold first: any of them can be delivered. Then come those that
        will be paid for first. On the day on which the money settles a sale is in order.
        """
        late = 0
        for day, count in self._taken(qty, sold):
            if day > trade_date:
                late += count
        return late

    def funded_until(self, qty: int, sold: int) -> str:
        """When the last of `sold` shares out of `qty` would have been paid for."""
        taken = self._taken(qty, sold)
        return taken[-1][0] if taken else ""

    def take(self, qty: int, sold: int) -> None:
        """`sold` shares out of `qty` are gone."""
        for day, count in self._taken(qty, sold):
            _put(self.lots, day, self.lots[day] - count)

    def _taken(self, qty: int, sold: int) -> list[tuple[str, int]]:
        """The shares of lots that a sale takes, with their dates, earliest first."""
        taken: list[tuple[str, int]] = []
        left = sold - (qty - self.lots_qty())
        for day in sorted(self.lots):
            if left > 0:
                count = self.lots[day]
                count = count if count < left else left
                taken.append((day, count))
                left -= count
        return taken

    def shrink(self, qty: int) -> None:
        """A purchase was undone: no more lots than `qty` shares, those paid for last go first."""
        over = self.lots_qty() - (qty if qty > 0 else 0)
        for day in sorted(self.lots, reverse=True):
            if over > 0:
                count = self.lots[day]
                _put(self.lots, day, count - over)
                over -= count

    def settle(self, day: str) -> None:
        """What was due on `day` or before has moved, and lots funded by then are paid for."""
        _drop(self.moves, day)
        _drop(self.lots, day)

    def ridden(self, day: str) -> int:
        """Shares that come on `day` or before and have been sold for later: a free ride if unpaid.

        It is asked before `settle`.
        """
        coming = 0
        going = 0
        for one, moved in self.moves.items():
            if one <= day:
                coming += moved
            else:
                going -= moved
        least = coming if coming < going else going
        return least if least > 0 else 0

    def split(self, shares_new: int, shares_old: int) -> None:
        """A split: all quantities are scaled, rounded toward 0."""
        for counts in (self.moves, self.lots):
            for day in list(counts):
                qty = split_qty(counts[day], shares_new, shares_old)
                if qty:
                    counts[day] = qty
                else:
                    del counts[day]

    def row(self) -> list[dict[str, int]]:
        """All of it as JSON values; `unsettled_from` reads them."""
        return [self.moves, self.lots]


def unsettled_from(row: list[dict[str, int]]) -> Unsettled:
    """The shares that `Unsettled.row` wrote."""
    unsettled = Unsettled()
    unsettled.moves = dict(row[0])
    unsettled.lots = dict(row[1])
    return unsettled


# ---------------------------------------------------------------- violations


class Standing:
    """An account's violations of the last twelve months and what follows from them.

    Each is its kind, its date and the order that made it. `restricted_until` is the date to the end
    of which purchases need settled cash; empty when they do not.
    """

    def __init__(self) -> None:
        self.violations: list[tuple[str, str, str]] = []
        self.restricted_until: str = ""

    def count(self, kind: str) -> int:
        """Violations of a kind that count."""
        return sum([1 for each in self.violations if each[0] == kind])

    def known(self, kind: str, order_id: str) -> bool:
        """Whether an order has made such a violation: its further fills are the same one."""
        return bool([1 for each in self.violations if each[0] == kind and each[2] == order_id])

    def add(self, kind: str, day: str, order_id: str) -> None:
        """Count a violation."""
        self.violations.append((kind, day, order_id))
        if len(self.violations) > VIOLATIONS_MAX:
            del self.violations[0]

    def forget(self, day: str) -> None:
        """Violations of `day` or before count no longer."""
        self.violations = [each for each in self.violations if each[1] > day]

    def restriction(self, day: str) -> str:
        """Until when a violation of `day` restricts the account; empty when it does not (more)."""
        if self.count(GOOD_FAITH) < GOOD_FAITH_MAX and self.count(FREE_RIDING) < FREE_RIDING_MAX:
            return ""
        until = days_after(day, RESTRICTED_DAYS)
        return until if until > self.restricted_until else ""

    def over(self, day: str) -> bool:
        """Whether a restriction ends with the business day `day`."""
        return self.restricted_until != "" and self.restricted_until <= day

    def row(self) -> list[object]:
        """All of it as JSON values; `standing_from` reads them."""
        return [self.restricted_until, [list(each) for each in self.violations]]


def standing_from(row: list[object]) -> Standing:
    """The standing that `Standing.row` wrote."""
    standing = Standing()
    until, violations = row
    standing.restricted_until = str(until)
    if isinstance(violations, list):
        standing.violations = [(str(k), str(day), str(order)) for k, day, order in violations]
    return standing
