"""`nexustrade book play`: a CSV file of commands through one book, and what came of them as lines.

`cmd,id,side,type,tif,price,qty,account,stop`, one command a line; lines starting with `#` or `cmd,`
and empty ones are not commands. Commands are N (new), C (cancel) and R (replace). What a replace
says about side, type, tif and account is not looked at, nor is the stop column; a type other than
L or M is refused until stops exist. An empty tif is GTC.

What is wrong with a command's meaning is answered by a `J` line and uses up its number. What cannot
be read as a command at all (a price that is no integer) ends the play before its first command.
"""

import gc
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from nexustrade.core.errors import InputError
from nexustrade.core.terms import FOK, GTC, IOC, LIMIT, MARKET, STP_ALLOW
from nexustrade.matching.book import DONE, RESTS, Book, Order, Side, Tape

_NEW: Final = 1
_CANCEL: Final = 2
_REPLACE: Final = 3
_OTHER: Final = 0

_COLUMNS: Final = ("cmd", "id", "side", "type", "tif", "price", "qty", "account", "stop")
_DIGITS_MAX: Final = 18
"""Longest price or quantity: every one fits a 64-bit integer."""
_LINES_KEPT_MAX: Final = 4096
"""Output lines gathered before they are written."""


class Command:
    """One line, read once. `valid` is False when its terms make no order or no replace."""

    def __init__(self, kind: int, order_id: str) -> None:
        self.kind = kind
        self.order_id = order_id
        self.valid: bool = True
        self.is_buy: bool = False
        self.ord_type: str = LIMIT
        self.time_in_force: str = GTC
        # -1: the field was empty.
        self.price: int = -1
        self.qty: int = -1
        self.account: str = ""


class Journal(Tape):
    """Writes down what happens, as lines, in the order in which it happens."""

    def __init__(self, *, events: bool) -> None:
        self.events = events
        self.seq: int = 0
        self.lines: list[str] = []

    def trade(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """A `T` line, and the maker shrinks."""
        self.lines.append(f"T,{self.seq},{maker.order_id},{taker.order_id},{maker.limit_px},{qty}")
        book.fill(maker, qty)

    def accepted(self, order_id: str) -> None:
        """An `A` line."""
        if self.events:
            self.lines.append(f"A,{self.seq},{order_id}")

    def replaced(self, order_id: str, price: int, total_qty: int) -> None:
        """A `P` line."""
        if self.events:
            self.lines.append(f"P,{self.seq},{order_id},{price},{total_qty}")

    def cancelled(self, order_id: str, remaining_qty: int) -> None:
        """An `X` line."""
        if self.events:
            self.lines.append(f"X,{self.seq},{order_id},{remaining_qty}")

    def rejected(self, order_id: str, why: str) -> None:
        """A `J` line."""
        if self.events:
            self.lines.append(f"J,{self.seq},{order_id},{why}")


class Play:
    """One book under commands. Self-trades are allowed."""

    def __init__(self, journal: Journal, *, replace_requeues: bool) -> None:
        self.book = Book()
        self.journal = journal
        self.replace_requeues = replace_requeues
        self._used: set[str] = set()

    def carry_out(self, command: Command) -> None:
        """Count a command, do it and write down what came of it."""
        self.journal.seq += 1
        kind = command.kind
        if kind == _NEW:
            self._new(command)
        elif kind == _CANCEL:
            self._cancel(command)
        elif kind == _REPLACE:
            self._replace(command)
        else:
            self.journal.rejected(command.order_id, "UNKNOWN")

    def _new(self, command: Command) -> None:
        order_id = command.order_id
        # An id is used up even by an order that is refused. One look-up does both.
        used = len(self._used)
        self._used.add(order_id)
        if len(self._used) == used:
            self.journal.rejected(order_id, "DUP")
            return
        if not command.valid:
            self.journal.rejected(order_id, "NEW")
            return
        order = Order(
            order_id,
            command.account,
            command.is_buy,
            command.price,
            command.qty,
            command.time_in_force,
            STP_ALLOW,
            "",
            command.ord_type,
        )
        self.journal.accepted(order_id)
        self._enter(order)

    def _enter(self, order: Order) -> None:
        outcome = self.book.enter(order, self.journal)
        if outcome == RESTS:
            self.book.rest(order)
        elif outcome != DONE:
            self.journal.cancelled(order.order_id, order.leaves_qty)

    def _cancel(self, command: Command) -> None:
        order = self.book.orders.get(command.order_id)
        if order is None:
            self.journal.rejected(command.order_id, "CANCEL")
        else:
            self.book.remove(order)
            self.journal.cancelled(order.order_id, order.leaves_qty)

    def _replace(self, command: Command) -> None:
        book = self.book
        order = book.orders.get(command.order_id)
        if order is None or not command.valid:
            self.journal.rejected(command.order_id, "REPLACE")
            return
        price = command.price if command.price > 0 else order.limit_px
        total = command.qty if command.qty >= 0 else order.cum_qty + order.leaves_qty
        if total <= order.cum_qty:
            book.remove(order)
            self.journal.replaced(order.order_id, price, order.cum_qty)
            self.journal.cancelled(order.order_id, 0)
            return
        self.journal.replaced(order.order_id, price, total)
        leaves_qty = total - order.cum_qty
        if price == order.limit_px and leaves_qty <= order.leaves_qty and not self.replace_requeues:
            if leaves_qty < order.leaves_qty:
                book.shrink(order, order.leaves_qty - leaves_qty)
        else:
            book.remove(order)
            order.limit_px = price
            order.leaves_qty = leaves_qty
            self._enter(order)

    def play(self, commands: list[Command]) -> None:
        """Carry out commands one after the other; the lines stay in the journal."""
        for command in commands:
            self.carry_out(command)


def parse(lines: Iterable[str]) -> list[Command]:
    """The commands of a file; `InputError` names line, field and rule of what cannot be read."""
    commands: list[Command] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith(("#", "cmd,")):
            commands.append(_command(text, number))
    return commands


def _command(text: str, number: int) -> Command:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) > len(_COLUMNS):
        raise InputError(
            f"line {number}",
            repr(text),
            f"a line has at most {len(_COLUMNS)} fields: {','.join(_COLUMNS)}",
        )
    while len(fields) < len(_COLUMNS):
        fields.append("")
    cmd, order_id, side, ord_type, time_in_force, price, qty, account, _ = fields
    # Commands of one order share its id, so that finding it compares no text.
    order_id = sys.intern(order_id)
    if cmd == "C":
        return Command(_CANCEL, order_id)
    if cmd not in {"N", "R"}:
        return Command(_OTHER, order_id)
    command = Command(_NEW if cmd == "N" else _REPLACE, order_id)
    command.price = _integer(price, number, "price")
    command.qty = _integer(qty, number, "qty")
    if cmd == "R":
        command.valid = command.price != 0 and command.price >= -1 and command.qty >= -1
        return command
    command.account = account
    command.is_buy = side == "B"
    command.ord_type = MARKET if ord_type == "M" else LIMIT
    command.time_in_force = time_in_force if time_in_force in {IOC, FOK} else GTC
    command.valid = (
        order_id != ""
        and side in {"B", "S"}
        and ord_type in {"L", "M"}
        and time_in_force in {"", GTC, IOC, FOK}
        and command.qty > 0
        and (command.price > 0 or ord_type == "M")
    )
    if command.ord_type == MARKET:
        command.price = 0
    return command


def _integer(text: str, number: int, field: str) -> int:
    """The integer in a field, -1 for an empty one; below zero it is -2, which no field allows."""
    if not text:
        return -1
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise InputError(f"line {number}: {field}", repr(text), f"a {field} is an integer")
    if len(digits) > _DIGITS_MAX:
        raise InputError(
            f"line {number}: {field}", text, f"a {field} has at most {_DIGITS_MAX} digits"
        )
    value = int(digits)
    return -2 if value and text.startswith("-") else value


def book_lines(book: Book) -> list[str]:
    """`B` lines of every resting order: bids then asks, in priority order."""
    return _side_lines(book.bids, "B") + _side_lines(book.asks, "S")


def _side_lines(side: Side, name: str) -> list[str]:
    return [
        f"B,{name},{order.order_id},{order.limit_px},{order.leaves_qty}" for order in side.orders()
    ]


# float: a speed
def measure(commands: list[Command], plays: int, *, replace_requeues: bool) -> float:
    """Commands per second over `plays` plays, each into a new book with its trade lines made.

    The commands are read before, and nothing is written. The cycle collector waits until a play is
    over: orders that close are freed at once without it, and only the book left over is a cycle.
    """
    elapsed_s = 0.0
    collects = gc.isenabled()
    for _ in range(plays):
        gc.collect()
        gc.disable()
        play = Play(Journal(events=False), replace_requeues=replace_requeues)
        started_s = time.perf_counter()
        play.play(commands)
        elapsed_s += time.perf_counter() - started_s
        if collects:
            gc.enable()
    return len(commands) * plays / elapsed_s if elapsed_s > 0 else 0


def run_play(
    file: Path,
    *,
    events: bool = False,
    book: bool = False,
    bench: int = 0,
    replace_requeues: bool = False,
    out: TextIO,
) -> int:
    """Play a file and write the lines to `out`; the exit code is 2 when the file cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            commands = parse(lines)
    except (OSError, UnicodeDecodeError, InputError) as fault:
        sys.stderr.write(f"{file}: {fault}\n")
        return 2
    if bench > 0:
        rate = measure(commands, bench, replace_requeues=replace_requeues)
        out.write(f"{rate:.0f} commands/s\n")
        return 0
    journal = Journal(events=events)
    play = Play(journal, replace_requeues=replace_requeues)
    for command in commands:
        play.carry_out(command)
        if len(journal.lines) >= _LINES_KEPT_MAX:
            _write(out, journal.lines)
    _write(out, journal.lines)
    if book:
        _write(out, book_lines(play.book))
    return 0


def _write(out: TextIO, lines: list[str]) -> None:
    if lines:
        out.write("\n".join(lines) + "\n")
        lines.clear()
