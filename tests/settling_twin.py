"""A naive twin of an account between trade and settlement: it keeps every trade and every share.

Nothing is netted, summed up or forgotten before its day: what `orders.settling` keeps in a few
numbers is counted here from single records.
"""

from nexustrade.orders.settling import DISREGARDED


class Money:
    """The proceeds of one sale: how much purchases have not used yet, and when they settle."""

    def __init__(self, day: str, cents: int) -> None:
        self.day = day
        self.cents = cents
        self.unused = cents


class Share:
    """One share: when it was paid for (empty: it is)."""

    def __init__(self, funded_until: str) -> None:
        self.funded_until = funded_until


class Twin:
    """A cash account that trades one symbol, share by share."""

    def __init__(self, cash: int) -> None:
        self.today = ""
        self.here = cash
        self.coming: list[Money] = []
        self.going: list[tuple[str, int]] = []
        self.shares: list[Share] = []
        self.moves: list[tuple[str, int]] = []

    def settled_free(self) -> int:
        """Settled cash less all purchases, but for what proceeds have paid of these."""
        used = sum(money.cents - money.unused for money in self.coming)
        return self.here - sum(cents for _, cents in self.going) + used

    def buy(self, qty: int, cost: int, day: str) -> str:
        """Buy shares; returns until when they are not paid for."""
        lack = cost - self.settled_free()
        funded_until = ""
        if lack > DISREGARDED:
            for money in sorted(self.coming, key=lambda each: each.day):
                while money.unused and lack:
                    money.unused -= 1
                    lack -= 1
                    funded_until = money.day
            if lack > DISREGARDED:
                funded_until = max(funded_until, day)
        self.going.append((day, cost))
        self.moves.append((day, qty))
        self.shares.extend(Share(funded_until) for _ in range(qty))
        return funded_until

    def sell(self, qty: int, proceeds: int, trade_date: str, day: str) -> int:
        """Sell shares; returns how many were not paid for."""
        used = sum(money.cents - money.unused for money in self.coming)
        paid_up = self.settled_free() >= used
        self.shares.sort(key=lambda each: each.funded_until)
        sold, self.shares = self.shares[:qty], self.shares[qty:]
        self.coming.append(Money(day, proceeds))
        self.moves.append((day, -qty))
        late = sum(1 for share in sold if share.funded_until > trade_date)
        return 0 if paid_up else late

    def settle(self, day: str) -> None:
        """The end of a business day."""
        self.here += sum(money.cents for money in self.coming if money.day <= day)
        self.here -= sum(cents for when, cents in self.going if when <= day)
        self.coming = [money for money in self.coming if money.day > day]
        self.going = [each for each in self.going if each[0] > day]
        self.moves = [each for each in self.moves if each[0] > day]
        for share in self.shares:
            if share.funded_until <= day:
                share.funded_until = ""

    def receivable(self) -> int:
        """Cents to come."""
        return sum(money.cents for money in self.coming)

    def payable(self) -> int:
        """Cents to go."""
        return sum(cents for _, cents in self.going)
