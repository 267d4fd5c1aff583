"""The field's standard terms as they stand in messages (FIX names, upper case).

Values are append-only: a stored event may hold any value that was ever here.
"""

from typing import Final

BUY: Final = "BUY"
SELL: Final = "SELL"

MARKET: Final = "MARKET"
LIMIT: Final = "LIMIT"

DAY: Final = "DAY"
GTC: Final = "GTC"
IOC: Final = "IOC"
FOK: Final = "FOK"
GTD: Final = "GTD"

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
