"""The ledger's tables. Script n brings a file of version n to version n + 1; those that were released never change."""

from typing import Final

APPLICATION_ID: Final = 0x51444C47  # "QDLG"

# Columns without a type keep what they are given: whole numbers, and decimal text of those beyond 64 bits.
_FIRST: Final = (
    """CREATE TABLE orders (
        id INTEGER PRIMARY KEY, venue TEXT NOT NULL, account TEXT NOT NULL, instrument TEXT NOT NULL,
        order_id TEXT NOT NULL, cl_ord_id TEXT NOT NULL, session TEXT NOT NULL, strategy TEXT NOT NULL,
        client_id TEXT NOT NULL, command_id TEXT NOT NULL, known INTEGER NOT NULL, side TEXT NOT NULL,
        ord_type TEXT NOT NULL, time_in_force TEXT NOT NULL, px_scale INTEGER NOT NULL, qty_scale INTEGER NOT NULL,
        order_qty, price, stop_px, state TEXT NOT NULL, ord_status TEXT NOT NULL, cum_qty NOT NULL, text TEXT NOT NULL,
        first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, pending BLOB, due_ns INTEGER NOT NULL,
        fills INTEGER NOT NULL)""",
    "CREATE INDEX orders_due ON orders (due_ns) WHERE due_ns > 0",
    "CREATE INDEX orders_first ON orders (first_ns)",
    "CREATE INDEX orders_unfilled ON orders (last_ns) WHERE fills = 0",
    "CREATE TABLE order_names (name TEXT PRIMARY KEY, order_row INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX order_names_of ON order_names (order_row)",
    """CREATE TABLE fills (
        id INTEGER PRIMARY KEY, order_row INTEGER NOT NULL, book INTEGER NOT NULL, side TEXT NOT NULL,
        px_scale INTEGER NOT NULL, qty_scale INTEGER NOT NULL, qty NOT NULL, px NOT NULL, first_qty NOT NULL,
        first_px NOT NULL, transact_ns INTEGER NOT NULL, trade_id TEXT NOT NULL, cum_qty, names TEXT NOT NULL,
        channels INTEGER NOT NULL, entry_qty, entry_px, entry_session TEXT, entry_amended_ns INTEGER,
        copy_qty, copy_px, copy_session TEXT, copy_amended_ns INTEGER, liquidity TEXT NOT NULL, fees TEXT,
        rank INTEGER NOT NULL, recv_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL)""",
    "CREATE INDEX fills_of_order ON fills (order_row)",
    "CREATE INDEX fills_of_book ON fills (book, transact_ns)",
    "CREATE INDEX fills_time ON fills (transact_ns)",
    "CREATE INDEX fills_due ON fills (due_ns) WHERE due_ns > 0",
    """CREATE TABLE positions (
        id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL,
        instrument TEXT NOT NULL, px_scale INTEGER NOT NULL, qty_scale INTEGER NOT NULL, position TEXT NOT NULL,
        realised TEXT NOT NULL, bought TEXT NOT NULL, sold TEXT NOT NULL, bought_value TEXT NOT NULL,
        sold_value TEXT NOT NULL, open_value TEXT NOT NULL, fees TEXT NOT NULL, fills INTEGER NOT NULL,
        last_ns INTEGER NOT NULL, state TEXT NOT NULL, UNIQUE (strategy, venue, account, instrument))""",
    """CREATE TABLE position_marks (
        book INTEGER NOT NULL, sort_ns INTEGER NOT NULL, sort_length INTEGER NOT NULL, sort_id TEXT NOT NULL,
        sort_cum NOT NULL, state TEXT NOT NULL, PRIMARY KEY (book, sort_ns, sort_length, sort_id, sort_cum)
        ) WITHOUT ROWID""",
    """CREATE TABLE breaks (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, lacks TEXT NOT NULL, order_row INTEGER NOT NULL,
        fill_row INTEGER NOT NULL, venue TEXT NOT NULL, account TEXT NOT NULL, instrument TEXT NOT NULL,
        order_id TEXT NOT NULL, cl_ord_id TEXT NOT NULL, trade_id TEXT NOT NULL, strategy TEXT NOT NULL,
        order_entry TEXT NOT NULL, drop_copy TEXT NOT NULL, text TEXT NOT NULL, opened_ns INTEGER NOT NULL,
        closed_ns INTEGER NOT NULL, closed_by TEXT NOT NULL, said INTEGER NOT NULL)""",
    "CREATE INDEX breaks_open ON breaks (id) WHERE closed_ns = 0",
    """CREATE TABLE balances (
        venue TEXT NOT NULL, account TEXT NOT NULL, currency TEXT NOT NULL, session TEXT NOT NULL, total TEXT NOT NULL,
        available TEXT NOT NULL, held TEXT NOT NULL, buying_power TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        origin TEXT NOT NULL, PRIMARY KEY (venue, account, currency)) WITHOUT ROWID""",
    """CREATE TABLE sources (
        session TEXT PRIMARY KEY, epoch INTEGER NOT NULL, next_seq INTEGER NOT NULL, record INTEGER NOT NULL,
        events INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
)

SCRIPTS: Final = (_FIRST,)
