"""Sessions, settlement, violations, margin calls, liquidation and undone trades of the accounts.

What the clock, the calendar and operators bring about; the rules are in `settling` and `margin`.
"""

from nexustrade.core.ids import derived_uuid
from nexustrade.core.money import notional
from nexustrade.core.terms import BUY, CASH, DAY, MARGIN, MARKET, SELL, STP_OLDEST
from nexustrade.core.ticks import split_px, split_qty
from nexustrade.matching.messages import InstrumentSplit, OpeningCallBegun, SessionOpened
from nexustrade.orders import margin, risk, settling
from nexustrade.orders import messages as m
from nexustrade.orders.exits import Exits
from nexustrade.orders.settling import FREE_RIDING, GOOD_FAITH
from nexustrade.orders.state import Account, Order, Position


class Upkeep(Exits):
    """Decisions that no client asks for."""

    # ------------------------------------------------------------ sessions and settlement

    def _session_begun(self, e: OpeningCallBegun | SessionOpened) -> None:
        """Every matching partition tells of a session: the first one counts.

        Where trades settle at once (no settlement date) nobody asks for the day.
        """
        settles = e.settle_date != "" or self.settle_date != ""
        known = e.session_date == self.trade_date and e.settle_date == self.settle_date
        if settles and not known and e.session_date >= self.trade_date:
            self.emit(m.SessionBegun(e.session_date, e.settle_date))

    def _settle(self, c: m.SettleDay) -> None:
        """Once for each day, whatever the clock does."""
        day = c.settle_date
        if day <= self.settled_date:
            return
        for account in self.accounts.values():
            if account.account_type == CASH and account.unsettled:
                self._find_free_rides(account, day)
        self.emit(m.DaySettled(day))
        for account in self.accounts.values():
            if account.standing.over(day):
                count = len(account.standing.violations)
                self.emit(m.AccountRestricted(account.account_id, "", count))

    def _find_free_rides(self, account: Account, day: str) -> None:
        """Shares that came and were sold on, in an account that lacks the money for them."""
        here = account.dues.settled_on(account.cash, day)
        if here >= -settling.DISREGARDED:
            return
        for symbol in sorted(account.unsettled):
            qty = account.unsettled[symbol].ridden(day)
            if qty:
                self.emit(m.ViolationFound(account.account_id, FREE_RIDING, symbol, qty, day, day))
                self._restrict_account(account, day)

    def _unpaid(self, account: Account, symbol: str, sold: int) -> tuple[int, str]:
        """How many of the shares about to be sold are not paid for, and when they would be."""
        shares = account.unsettled.get(symbol)
        if shares is None or not shares.lots or account.dues.paid_up(account.cash):
            return 0, ""
        qty = account.positions[symbol].qty
        return shares.unpaid(qty, sold, self.trade_date), shares.funded_until(qty, sold)

    def _find_violation(
        self, account: Account, order: Order, qty: int, funded_until: str, trade_id: int
    ) -> None:
        """A sale of shares that are not paid for is counted, once for each order."""
        standing = account.standing
        if standing.known(GOOD_FAITH, order.order_id):
            return
        self.emit(
            m.ViolationFound(
                account.account_id,
                GOOD_FAITH,
                order.symbol,
                qty,
                self.trade_date,
                funded_until,
                order.order_id,
                trade_id,
            )
        )
        self._restrict_account(account, self.trade_date)

    def _restrict_account(self, account: Account, day: str) -> None:
        if not settling.is_date(day):
            return
        until = account.standing.restriction(day)
        if until:
            count = len(account.standing.violations)
            self.emit(m.AccountRestricted(account.account_id, until, count))

    # ------------------------------------------------------------ margin calls

    def _check_margin(self, c: m.CheckMargin) -> None:
        for account in self.accounts.values():
            if account.account_type == MARGIN and (account.positions or account.call_due_us):
                self._check_account(account, c.call_us)

    def _check_account(self, account: Account, call_us: int) -> None:
        v = risk.value(account, self.instruments)
        step = margin.next_step(v.equity, v.maintenance, account.call_due_us, self._now_us)
        if step == margin.ISSUE:
            due_us = self._now_us + call_us
            deficit = v.maintenance - v.equity
            self.emit(
                m.MarginCallIssued(account.account_id, v.equity, v.maintenance, deficit, due_us)
            )
        elif step == margin.MET:
            self.emit(m.MarginCallMet(account.account_id, v.equity, v.maintenance))
            for symbol, sale in list(account.liquidations.items()):
                if sale[0] not in self.orders:
                    # It waits for orders to end, and must not go out when they do some day.
                    self.emit(m.LiquidationStarted(account.account_id, symbol, 0, 0))
        elif step == margin.LIQUIDATE:
            self._liquidate(account, v.maintenance - v.equity)

    def _liquidate(self, account: Account, deficit: int) -> None:
        """Cancel what is open in the positions that have to go, then sell them (row 31)."""
        for symbol, sale in list(account.liquidations.items()):
            if sale[0] not in self.orders:
                # What had to end first has not, or something new is in the way: ask once more.
                self._cancel_open(account, symbol, "")
                self._sell_what_is_called(account, symbol)
        holdings: list[margin.Holding] = []
        for position in account.positions.values():
            if not position.qty:
                continue
            holding = self._holding(account, position)
            called = account.liquidations.get(position.symbol)
            if called is None:
                holdings.append(holding)
            else:
                # On its way: what it will free is lacking no longer.
                deficit -= holding.freed(self._on_its_way(called, position))
        for symbol, qty in margin.plan(holdings, deficit):
            signed = qty if account.positions[symbol].qty > 0 else -qty
            order_id = derived_uuid("liquidation", self.shard, self.seq, symbol)
            self.emit(m.LiquidationStarted(account.account_id, symbol, signed, deficit, order_id))
            self._cancel_open(account, symbol, "")
            self._sell_what_is_called(account, symbol)

    def _on_its_way(self, sale: tuple[str, int], position: Position) -> int:
        """How many shares the sale of a liquidation is still going to close."""
        order = self.orders.get(sale[0])
        if order is not None:
            return order.leaves_qty
        wanted = sale[1] if sale[1] > 0 else -sale[1]
        size = position.qty if position.qty > 0 else -position.qty
        return wanted if wanted < size else size

    def _holding(self, account: Account, position: Position) -> margin.Holding:
        instrument = self.instruments[position.symbol]
        maker, taker = account.maker_fee_ppm, account.taker_fee_ppm
        return margin.Holding(
            position.symbol,
            position.qty,
            instrument.last_px,
            risk.maintenance_ppm(instrument, position.qty > 0),
            maker if maker > taker else taker,
            1 if instrument.fractionable else instrument.lot_size,
        )

    def _sell_what_is_called(self, account: Account, symbol: str) -> None:
        """Send the sale of a liquidation once nothing else is open in the symbol."""
        sale = account.liquidations.get(symbol)
        if sale is None or sale[0] in self.orders:
            return
        for order in account.open.values():
            if order.symbol == symbol:
                return
        position = account.positions.get(symbol)
        available = 0
        if position is not None and (position.qty > 0) == (sale[1] > 0):
            # What was still open may have turned the position: then there is nothing to close.
            available = position.available()
        wanted = sale[1] if sale[1] > 0 else -sale[1]
        qty = wanted if wanted < available else available
        if qty == 0:
            self.emit(m.LiquidationStarted(account.account_id, symbol, 0, 0))
            return
        side = SELL if sale[1] > 0 else BUY
        instrument = self.instruments[symbol]
        order = Order(account.account_id, sale[0], sale[0], symbol)
        order.side = side
        order.closes = True
        order.leaves_qty = qty
        collar_px = risk.collar(instrument, side)
        self._set_hold(order, account, instrument, collar_px)
        self.emit(
            m.OrderAccepted(
                account.account_id,
                sale[0],
                sale[0],
                symbol,
                side,
                MARKET,
                DAY,
                qty,
                collar_px=collar_px,
                stp=STP_OLDEST,
                reserved=risk.hold(order),
                reserved_qty=qty if side == SELL else 0,
                cover_qty=qty if side == BUY else 0,
            )
        )

    # ------------------------------------------------------------ trades that are undone

    def _bust(self, c: m.BustTrade) -> None:
        """Compensate both sides of a trade, as far as their accounts are here. Once."""
        buys = c.buy_account_id in self.accounts
        sells = c.sell_account_id in self.accounts
        if not (buys or sells):
            return
        if f"{c.symbol}:{c.trade_id}" in self.busted:
            account_id = c.buy_account_id if buys else c.sell_account_id
            text = f"trade {c.trade_id} of {c.symbol} is undone already"
            self._reject_command(account_id, "BustTrade", m.UNKNOWN_TRADE, text)
            return
        if buys:
            self._bust_side(c, c.buy_account_id, c.buy_order_id, BUY, c.buy_fee)
        if sells:
            self._bust_side(c, c.sell_account_id, c.sell_order_id, SELL, c.sell_fee)

    def _bust_side(
        self, c: m.BustTrade, account_id: str, order_id: str, side: str, fee: int
    ) -> None:
        self.emit(
            m.TradeBusted(
                account_id,
                order_id,
                c.symbol,
                side,
                c.last_px,
                c.last_qty,
                notional(c.last_px, c.last_qty),
                fee,
                c.trade_id,
                c.settle_date,
                c.reason,
            )
        )
        account = self.accounts[account_id]
        if c.symbol in account.overdrawn:
            # What was to be sold is not there any more: nothing is revived, nothing oversold.
            self._cancel_open(account, c.symbol, BUY if side == SELL else SELL)
        self._cancel_brackets_against(account, c.symbol)

    def _cancel_brackets_against(self, account: Account, symbol: str) -> None:
        """A bracket's exit closes what its entry opens: not when that closes something else."""
        position = account.positions.get(symbol)
        qty = position.qty if position is not None else 0
        for group in list(account.groups.values()):
            against = qty < 0 if group.side == SELL else qty > 0
            if against and group.entry_open and group.symbol == symbol and not group.canceling:
                self._request_group_cancel(group)

    # ------------------------------------------------------------ splits

    def _split(self, e: InstrumentSplit) -> None:
        """Positions, groups and prices are scaled at once, then each open order says what it is."""
        self.emit(e)
        new, old = e.shares_new, e.shares_old
        tick = self.instruments[e.symbol].tick_size
        for account in self.accounts.values():
            for order in list(account.open.values()):
                if order.symbol != e.symbol:
                    continue
                sells = order.side == SELL
                cum_qty = split_qty(order.cum_qty, new, old)
                leaves_qty = split_qty(order.leaves_qty, new, old)
                total = cum_qty + leaves_qty if order.order_qty else 0
                self.emit(
                    m.OrderRestated(
                        account.account_id,
                        order.order_id,
                        total,
                        cum_qty,
                        leaves_qty,
                        split_px(order.limit_px, new, old, tick, sells),
                        split_px(order.stop_px, new, old, tick, not sells),
                        split_px(order.trail_px, new, old, tick, True),
                        split_px(order.hwm_px, new, old, tick, not sells),
                    )
                )

    # ------------------------------------------------------------ shared

    def _reject_command(self, account_id: str, command: str, reason: str, text: str) -> None:
        self.emit(m.CommandRejected(account_id, command, reason, text))

    def _cancel_open(self, account: Account, symbol: str, side: str) -> None:
        """Ask for the end of open orders, of a symbol and side; a group goes as a whole."""
        asked: dict[str, bool] = {}
        for order in list(account.open.values()):
            if (symbol and order.symbol != symbol) or (side and order.side != side):
                continue
            group = order.group
            if group is not None:
                if group.group_id not in asked and not group.canceling:
                    asked[group.group_id] = True
                    self._request_group_cancel(group)
            elif not order.is_pending():
                self.emit(m.CancelRequested(account.account_id, order.order_id, order.symbol))
