"""The event store: streams, their heads, watermarks and snapshots.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# No other unique index than the stream's position: the table becomes a hypertable later.
STATEMENTS = (
    """
    CREATE TABLE order_events (
        shard text NOT NULL,
        seq bigint NOT NULL,
        event_time timestamptz NOT NULL,
        event_type text NOT NULL,
        symbol text,
        account_id text,
        order_id text,
        group_id text,
        cl_ord_id text,
        side text,
        price numeric(18,4),
        quantity numeric(28,8),
        cause text NOT NULL,
        payload jsonb NOT NULL,
        prev_hash bytea NOT NULL,
        hash bytea NOT NULL,
        CONSTRAINT order_events_pos PRIMARY KEY (shard, seq)
    )
    """,
    """
    CREATE INDEX order_events_order ON order_events (order_id, seq)
        WHERE order_id IS NOT NULL
    """,
    """
    CREATE INDEX order_events_symbol ON order_events (symbol, event_time)
        WHERE symbol IS NOT NULL
    """,
    # The rule that a client order id is used once looks here.
    """
    CREATE INDEX order_events_cl_ord_id ON order_events (account_id, cl_ord_id, event_time)
        WHERE cl_ord_id IS NOT NULL AND event_type IN ('OrderAccepted', 'ReplaceRequested')
    """,
    # One row per stream, changed with each append: room for updates in place.
    """
    CREATE TABLE es_shard (
        shard text PRIMARY KEY,
        last_seq bigint NOT NULL,
        last_time timestamptz NOT NULL,
        epoch bigint NOT NULL,
        role text NOT NULL CHECK (role IN ('primary', 'replica', 'fenced')),
        last_hash bytea NOT NULL
    ) WITH (fillfactor = 10)
    """,
    """
    CREATE TABLE es_watermark (
        consumer text NOT NULL,
        source text NOT NULL,
        last_seq bigint NOT NULL,
        PRIMARY KEY (consumer, source)
    ) WITH (fillfactor = 10)
    """,
    """
    CREATE TABLE es_snapshot (
        shard text NOT NULL,
        seq bigint NOT NULL,
        event_time timestamptz NOT NULL,
        last_hash bytea NOT NULL,
        state bytea NOT NULL,
        state_hash bytea NOT NULL,
        PRIMARY KEY (shard, seq)
    )
    """,
    "ALTER TABLE es_snapshot ALTER COLUMN state SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all they hold."""
    for table in ("es_snapshot", "es_watermark", "es_shard", "order_events"):
        op.execute(f"DROP TABLE {table}")
