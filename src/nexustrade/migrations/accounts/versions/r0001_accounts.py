"""Accounts, API keys, watchlists, and the order history that the projections keep.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE accounts (
        account_id text PRIMARY KEY,
        name text NOT NULL DEFAULT '',
        account_type text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE api_keys (
        key_id text PRIMARY KEY,
        secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
        account_id text NOT NULL,
        scopes text[] NOT NULL,
        label text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX api_keys_account ON api_keys (account_id)",
    """
    CREATE TABLE watchlists (
        id uuid PRIMARY KEY,
        account_id text NOT NULL,
        name text NOT NULL,
        symbols text[] NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT watchlists_name UNIQUE (account_id, name)
    )
    """,
    """
    CREATE TABLE instruments (
        symbol text PRIMARY KEY,
        rules jsonb NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    # cost_e12: the exact sum of price x quantity of the fills, in 1e-12 USD. pending: the terms of
    # a replace that is under way.
    """
    CREATE TABLE order_history (
        order_id text PRIMARY KEY,
        account_id text NOT NULL,
        cl_ord_id text NOT NULL,
        symbol text NOT NULL,
        side text NOT NULL,
        ord_type text NOT NULL,
        time_in_force text NOT NULL,
        ord_status text NOT NULL,
        order_qty numeric(28,8) NOT NULL,
        notional numeric(20,2) NOT NULL,
        limit_px numeric(18,4) NOT NULL,
        cum_qty numeric(28,8) NOT NULL,
        leaves_qty numeric(28,8) NOT NULL,
        cost_e12 numeric(40,0) NOT NULL,
        submitted_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        closed_at timestamptz,
        record jsonb NOT NULL,
        pending jsonb
    )
    """,
    "CREATE INDEX order_history_account ON order_history (account_id, submitted_at)",
    "CREATE INDEX order_history_cl_ord_id ON order_history (account_id, cl_ord_id)",
    """
    CREATE TABLE fills (
        account_id text NOT NULL,
        ts_event timestamptz NOT NULL,
        order_id text NOT NULL,
        symbol text NOT NULL,
        side text NOT NULL,
        last_px numeric(18,4) NOT NULL,
        last_qty numeric(28,8) NOT NULL,
        notional numeric(20,2) NOT NULL,
        fee numeric(20,2) NOT NULL,
        liquidity text NOT NULL,
        trade_id bigint NOT NULL,
        record jsonb NOT NULL,
        PRIMARY KEY (account_id, ts_event, order_id)
    )
    """,
    """
    CREATE TABLE cash_movements (
        activity_id text PRIMARY KEY,
        account_id text NOT NULL,
        activity_type text NOT NULL,
        amount numeric(20,2) NOT NULL,
        description text NOT NULL DEFAULT '',
        ts_event timestamptz NOT NULL
    )
    """,
    "CREATE INDEX cash_movements_account ON cash_movements (account_id, ts_event)",
    """
    CREATE TABLE account_equity (
        account_id text NOT NULL,
        ts timestamptz NOT NULL,
        equity numeric(20,2) NOT NULL,
        PRIMARY KEY (account_id, ts)
    )
    """,
    # How far each projection has read each stream; written with what it wrote.
    """
    CREATE TABLE projection_checkpoint (
        name text NOT NULL,
        shard text NOT NULL,
        last_seq bigint NOT NULL,
        PRIMARY KEY (name, shard)
    ) WITH (fillfactor = 10)
    """,
)

TABLES = (
    "projection_checkpoint",
    "account_equity",
    "cash_movements",
    "fills",
    "order_history",
    "instruments",
    "watchlists",
    "api_keys",
    "accounts",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all they hold."""
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
