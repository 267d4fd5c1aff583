"""Stop prices, trailing stops and groups of orders; settlement dates and busts of fills.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    # hwm_px: the best price that a trailing stop has seen. group_id: the id of the parent order.
    """
    ALTER TABLE order_history
        ADD COLUMN stop_px numeric(18,4) NOT NULL DEFAULT 0,
        ADD COLUMN trail_px numeric(18,4) NOT NULL DEFAULT 0,
        ADD COLUMN trail_ppm integer NOT NULL DEFAULT 0,
        ADD COLUMN hwm_px numeric(18,4) NOT NULL DEFAULT 0,
        ADD COLUMN order_class text NOT NULL DEFAULT '',
        ADD COLUMN group_id text NOT NULL DEFAULT '',
        ADD COLUMN role text NOT NULL DEFAULT '',
        ADD COLUMN triggered_at timestamptz
    """,
    "CREATE INDEX order_history_group ON order_history (group_id) WHERE group_id <> ''",
    # No dates: settled at once. busted_at: when an operator undid the trade.
    """
    ALTER TABLE fills
        ADD COLUMN trade_date date,
        ADD COLUMN settle_date date,
        ADD COLUMN busted_at timestamptz
    """,
    # Both sides of a trade.
    "CREATE INDEX fills_trade ON fills (symbol, trade_id)",
)

ORDER_COLUMNS = (
    "stop_px",
    "trail_px",
    "trail_ppm",
    "hwm_px",
    "order_class",
    "group_id",
    "role",
    "triggered_at",
)
FILL_COLUMNS = ("trade_date", "settle_date", "busted_at")


def upgrade() -> None:
    """Add the columns and their indexes."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the columns with what they hold; their indexes go with them."""
    op.execute("DROP INDEX fills_trade")
    for table, columns in (("order_history", ORDER_COLUMNS), ("fills", FILL_COLUMNS)):
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
