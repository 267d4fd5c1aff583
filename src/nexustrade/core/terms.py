"""The field's standard terms as they stand in messages (FIX names, upper case).

Values are append-only: a stored event may hold any value that was ever here.
"""

from typing import Final

BUY: Final = "BUY"
SELL: Final = "SELL"

MARKET: Final = "MARKET"
LIMIT: Final = "LIMIT"
STOP: Final = "STOP"
STOP_LIMIT: Final = "STOP_LIMIT"
TRAILING_STOP: Final = "TRAILING_STOP"

DAY: Final = "DAY"
GTC: Final = "GTC"
IOC: Final = "IOC"
FOK: Final = "FOK"
GTD: Final = "GTD"
OPG: Final = "OPG"
"""At the opening: takes part in the opening auction, what is left is cancelled."""
CLS: Final = "CLS"
"""At the close: takes part in the closing auction, what is left is cancelled."""

# order_class: how orders belong together ("" for a simple order).
BRACKET: Final = "BRACKET"
OCO: Final = "OCO"
OTO: Final = "OTO"

# What an order is in its group.
ENTRY: Final = "ENTRY"
TAKE_PROFIT: Final = "TAKE_PROFIT"
STOP_LOSS: Final = "STOP_LOSS"

# A group's policy: what a fill of one leg does to the other (FIX ContingencyType 3 and 1).
REDUCE: Final = "REDUCE"
CANCEL: Final = "CANCEL"

# When the exit of a bracket comes alive: with each fill of the entry, or when the entry is done.
PARTIAL: Final = "PARTIAL"
FULL: Final = "FULL"

# The phase of a book.
CLOSED: Final = "CLOSED"
OPENING_CALL: Final = "OPENING_CALL"
CONTINUOUS: Final = "CONTINUOUS"
VOLATILITY_AUCTION: Final = "VOLATILITY_AUCTION"
HALT: Final = "HALT"
CLOSING_CALL: Final = "CLOSING_CALL"

# Self-trade prevention: what is cancelled when an account's own orders would trade.
STP_NEWEST: Final = "CANCEL_NEWEST"
STP_OLDEST: Final = "CANCEL_OLDEST"
STP_BOTH: Final = "CANCEL_BOTH"
STP_DECREMENT: Final = "DECREMENT"
STP_ALLOW: Final = "ALLOW"

CASH: Final = "CASH"
MARGIN: Final = "MARGIN"

# ord_status, FIX tag 39.
NEW: Final = "NEW"
HELD: Final = "HELD"
"""A leg that waits: for its entry to fill, or (a stop-loss) to be elected."""
PARTIALLY_FILLED: Final = "PARTIALLY_FILLED"
FILLED: Final = "FILLED"
CANCELED: Final = "CANCELED"
EXPIRED: Final = "EXPIRED"
REPLACED: Final = "REPLACED"
REJECTED: Final = "REJECTED"
PENDING_CANCEL: Final = "PENDING_CANCEL"
PENDING_REPLACE: Final = "PENDING_REPLACE"

MAKER: Final = "MAKER"
TAKER: Final = "TAKER"
