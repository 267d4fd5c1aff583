"""The state of a partition as bytes, for snapshots and state hashes, and whether it is whole.

Equal states give equal bytes. `load` also reads what earlier versions wrote.
"""

from typing import Any, Final

import msgspec

from nexustrade.core.errors import check
from nexustrade.core.terms import ENTRY
from nexustrade.matching.messages import InstrumentDefined
from nexustrade.orders.applied import Applied
from nexustrade.orders.groups import CLOSED, WAITING, Group, group_from
from nexustrade.orders.settling import dues_from, standing_from, unsettled_from
from nexustrade.orders.state import Account, order_from

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder().decode
_FIRST_ROW_LEN: Final = 21
"""Fields of an account's row of the first version, before settlement dates and margin calls."""


class Saved(Applied):
    """State that can be written, read back and checked."""

    def dump(self) -> bytes:
        """The whole state as canonical JSON."""
        state = {
            "accounts": [_account_row(account) for account in self.accounts.values()],
            "blocked": self.blocked,
            "busted": list(self.busted),
            "closed": [order.row() for order in self.closed],
            "closed_groups": [group.group_id for group in self.closed_groups],
            "dates": [self.trade_date, self.settle_date, self.settled_date],
            "groups": [group.row() for group in self.groups.values()],
            "house_fees": self.house_fees,
            "instruments": [
                [
                    msgspec.structs.astuple(self.definitions[i.symbol]),
                    i.state,
                    i.last_px,
                    i.prev_close_px,
                ]
                for i in self.instruments.values()
            ],
            "loans": self.loans,
            "paid_in": self.paid_in,
        }
        encoded: bytes = _encode(state)
        return encoded

    def load(self, state: bytes, seq: int, ts_us: int) -> None:
        """Take on a state that `dump` gave at `seq`; what was there before is gone."""
        content: dict[str, Any] = _decode(state)
        self.seq = seq
        self.ts_us = ts_us
        self.blocked = content["blocked"]
        self.house_fees = content["house_fees"]
        self.paid_in = content["paid_in"]
        self.trade_date, self.settle_date, self.settled_date = content.get("dates", ["", "", ""])
        self.busted = dict.fromkeys(content.get("busted", []), True)
        self.loans = content.get("loans", {})
        for held in (self.instruments, self.definitions, self.accounts, self.orders, self.groups):
            held.clear()
        self.closed.clear()
        self._forget_us = 0
        self.closed_groups.clear()
        for definition, status, last_px, prev_close_px in content["instruments"]:
            self._apply_defined(InstrumentDefined(*definition))
            instrument = self.instruments[definition[0]]
            instrument.state = status
            instrument.last_px = last_px
            instrument.prev_close_px = prev_close_px
        for row in content.get("groups", []):
            group = group_from(row)
            self.groups[group.group_id] = group
        for group_id in content.get("closed_groups", []):
            self.closed_groups.append(self.groups[group_id])
        for row in content["accounts"]:
            self._load_account(row)
        for group in self.groups.values():
            if group.state != CLOSED:
                self._load_group(group)
        for account in self.accounts.values():
            # An order or a group that promises nothing just now has no position there.
            for symbol in list(account.positions):
                account.forget_if_empty(symbol)
        for row in content["closed"]:
            order = order_from(row, self.groups)
            self.closed.append(order)
            self.orders[order.order_id] = order
            self.accounts[order.account_id].cl_ord_ids[order.cl_ord_id] = order.order_id

    def _load_account(self, row: list[Any]) -> None:
        a = Account(row[0], row[1])
        a.created_us = row[2]
        a.cash = row[3]
        a.reserved = row[4]
        a.fees_paid = row[5]
        a.last_equity = row[6]
        a.maker_fee_ppm = row[7]
        a.taker_fee_ppm = row[8]
        a.shorting = row[9]
        a.stp = row[10]
        a.open_orders_max = row[11]
        a.blocked = row[12]
        a.no_shorting = row[13]
        a.suspend_trade = row[14]
        a.fractional_trading = row[15]
        a.trade_confirm_email = row[16]
        a.max_margin_multiplier = row[17]
        a.ptp_no_exception_entry = row[18]
        for symbol, qty, cost in row[19]:
            position = a.position(symbol)
            position.qty = qty
            position.cost_e12 = int(cost)
        for order_row in row[20]:
            order = order_from(order_row, self.groups)
            self._open(a, order)
            a.position(order.symbol).count(order, 1)
            new = order.replacement
            if new is not None:
                self._count_extra(a, order, 1)
                a.cl_ord_ids[new.cl_ord_id] = new.order_id
        self.accounts[a.account_id] = a
        if len(row) == _FIRST_ROW_LEN:
            return
        a.frozen = row[21]
        a.unsettled_usable = row[22]
        a.dues = dues_from(row[23])
        a.unsettled = {symbol: unsettled_from(each) for symbol, each in row[24].items()}
        a.standing = standing_from(row[25])
        a.call_deficit = row[26]
        a.call_due_us = row[27]
        a.liquidations = {symbol: (sale[0], sale[1]) for symbol, sale in row[28].items()}
        a.overdrawn = dict.fromkeys(row[29], True)

    def _load_group(self, group: Group) -> None:
        account = self.accounts[group.account_id]
        account.groups[group.group_id] = group
        account.shrinkable += 1 if group.auto_shrink else 0
        self._promise(account, group)

    def _promise(self, account: Account, group: Group) -> None:
        """Count what an open group may do to its position."""
        qty = group.promised() + group.extra_qty
        account.position(group.symbol).promise(group.side, group.closes, qty)

    # ------------------------------------------------------------ checks

    def imbalance(self) -> int:
        """Cents that all accounts and the house hold beyond what was paid in.

        Trades between partitions move cash from one to another: the sum over all is 0.
        """
        cash = self.house_fees - self.paid_in
        for account in self.accounts.values():
            cash += account.cash
        return cash

    def verify(self) -> None:
        """Check every invariant of the state; `InvariantError` when one is broken."""
        for account in self.accounts.values():
            self._verify_account(account)
        for order in self.closed:
            check(order.closed_us > 0 and order.leaves_qty == 0, "a closed order has no leaves")
            check(order.reserved == 0, "a closed order holds nothing")
        for group in self.groups.values():
            if group.state == CLOSED:
                check(group.reserved == 0 and group.promised() == 0, "a closed group holds nothing")
            else:
                self._verify_group(group)

    def _verify_account(self, account: Account) -> None:
        reserved = 0
        probe = Account(account.account_id, account.account_type)
        for order in account.open.values():
            check(order.closed_us == 0, "an open order is not closed")
            check(order.reserved >= 0 and order.leaves_qty >= 0, "no reservation is below 0")
            check(
                order.notional > 0 or order.order_qty == order.cum_qty + order.leaves_qty,
                "order_qty = cum_qty + leaves_qty while open",
            )
            check(not order.is_leg() or order.reserved == 0, "I4: a leg holds nothing itself")
            reserved += order.reserved + order.extra
            probe.position(order.symbol).count(order, 1)
            if order.replacement is not None:
                self._count_extra(probe, order, 1)
        for group in account.groups.values():
            reserved += group.reserved + group.extra
            self._promise(probe, group)
        check(reserved == account.reserved, "account reservation = sum over its orders and groups")
        for symbol, position in account.positions.items():
            counted = probe.position(symbol)
            check(position.held_qty == counted.held_qty, "held shares = sum over open sells")
            check(position.covered_qty == counted.covered_qty, "covered = sum over open covers")
            check(position.open_sell_qty == counted.open_sell_qty, "open sells add up")
            check(position.open_buy_qty == counted.open_buy_qty, "open buys add up")
            check(not position.empty(), "an empty position is forgotten")
            check(
                not position.overdrawn() or symbol in account.overdrawn,
                "shares are promised once, and a short is covered once",
            )
        for symbol in probe.positions:
            check(symbol in account.positions or probe.positions[symbol].empty(), "has a position")
        check(
            account.shrinkable == sum(1 for group in account.groups.values() if group.auto_shrink),
            "groups that give up shares are counted",
        )

    def _verify_group(self, group: Group) -> None:
        """I1, I2 and I4 of an open group between two commands."""
        check(group.filled_qty <= group.open_qty, "I1: no more is filled than has come alive")
        check(group.reserved >= group.needs(), "I4: a group holds what its dearer leg may cost")
        left = group.order_qty - group.filled_qty
        for order_id in group.order_ids():
            order = self.orders.get(order_id)
            if order is None or order.closed_us:
                continue
            check(order.group is group, "an order of a group knows it")
            if order.role != ENTRY:
                # While an entry is open, self-trade prevention may have made it smaller.
                check(
                    order.leaves_qty == left or (group.entry_open and order.leaves_qty > left),
                    "I2: a leg is open for what the group has left",
                )
        if group.state == WAITING:
            check(group.filled_qty == 0, "legs that wait fill nothing")


def _account_row(a: Account) -> list[Any]:
    return [
        a.account_id,
        a.account_type,
        a.created_us,
        a.cash,
        a.reserved,
        a.fees_paid,
        a.last_equity,
        a.maker_fee_ppm,
        a.taker_fee_ppm,
        a.shorting,
        a.stp,
        a.open_orders_max,
        a.blocked,
        a.no_shorting,
        a.suspend_trade,
        a.fractional_trading,
        a.trade_confirm_email,
        a.max_margin_multiplier,
        a.ptp_no_exception_entry,
        [[p.symbol, p.qty, str(p.cost_e12)] for p in a.positions.values()],
        [order.row() for order in a.open.values()],
        a.frozen,
        a.unsettled_usable,
        a.dues.row(),
        {symbol: shares.row() for symbol, shares in a.unsettled.items()},
        a.standing.row(),
        a.call_deficit,
        a.call_due_us,
        a.liquidations,
        list(a.overdrawn),
    ]
