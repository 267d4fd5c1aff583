"""Order groups: their events by group, their orders and client order ids by GroupAccepted.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# None is unique: see 0001. All are partial, so that other events cost nothing.
STATEMENTS = (
    """
    CREATE INDEX order_events_group ON order_events (group_id, seq) WHERE group_id IS NOT NULL
    """,
    # The group of a leg that has no event of its own yet.
    """
    CREATE INDEX order_events_take_profit ON order_events ((payload->>'tp_order_id'))
        WHERE event_type = 'GroupAccepted'
    """,
    """
    CREATE INDEX order_events_stop_loss ON order_events ((payload->>'sl_order_id'))
        WHERE event_type = 'GroupAccepted'
    """,
    # What became of an order that was replaced.
    """
    CREATE INDEX order_events_replaced ON order_events ((payload->>'orig_order_id'))
        WHERE event_type IN ('ReplaceRequested', 'ReplaceRejected')
    """,
    # The rule that a client order id is used once looks here for those of groups.
    """
    CREATE INDEX order_events_group_cl_ord_id ON order_events (account_id, cl_ord_id, event_time)
        WHERE cl_ord_id IS NOT NULL AND event_type = 'GroupAccepted'
    """,
    """
    CREATE INDEX order_events_take_profit_cl_ord_id
        ON order_events (account_id, (payload->>'tp_cl_ord_id'), event_time)
        WHERE event_type = 'GroupAccepted'
    """,
    """
    CREATE INDEX order_events_stop_loss_cl_ord_id
        ON order_events (account_id, (payload->>'sl_cl_ord_id'), event_time)
        WHERE event_type = 'GroupAccepted'
    """,
)

INDEXES = (
    "order_events_stop_loss_cl_ord_id",
    "order_events_take_profit_cl_ord_id",
    "order_events_group_cl_ord_id",
    "order_events_replaced",
    "order_events_stop_loss",
    "order_events_take_profit",
    "order_events_group",
)


def upgrade() -> None:
    """Make the indexes."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the indexes."""
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")
