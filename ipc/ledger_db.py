"""The ledger's SQLite file: what is written to it, by one process, and how it is opened.

Write-ahead log, so that others read while the process writes. The place in each journal is written in the transaction
that writes what was read there: whatever instant the process dies at, both are there or neither. Columns are in
docs/ledger.md.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from base.errors import SchemaError, StoreError
from ipc.ledger_records import (
    Amendment,
    BalanceRecord,
    BookRecord,
    BreakRecord,
    Fill,
    OrderRecord,
    Said,
    SourceRecord,
)  # fmt: skip
from ipc.ledger_schema import APPLICATION_ID, SCRIPTS

VERSION: Final = len(SCRIPTS)
FIRST_KEY: Final = (-(1 << 62), 0, "", 0)
_BIG: Final = 1 << 63

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_names = msgspec.json.Decoder(list[str]).decode
_fees = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode
_pending = msgspec.msgpack.Decoder(list[Amendment]).decode

_ORDER = list(OrderRecord.__struct_fields__)
_BREAK = list(BreakRecord.__struct_fields__)
_BALANCE = list(BalanceRecord.__struct_fields__)
_SOURCE = list(SourceRecord.__struct_fields__)
FILL_COLUMNS = [
    "id", "order_row", "book", "side", "px_scale", "qty_scale", "qty", "px", "first_qty", "first_px", "transact_ns",
    "trade_id", "cum_qty", "names", "channels", "entry_qty", "entry_px", "entry_session", "entry_amended_ns",
    "copy_qty", "copy_px", "copy_session", "copy_amended_ns", "liquidity", "fees", "rank", "recv_ns", "changed_ns",
    "due_ns",
]  # fmt: skip
_BOOKS = [
    "id", "strategy", "venue", "account", "instrument", "px_scale", "qty_scale", "position", "realised", "bought",
    "sold", "bought_value", "sold_value", "open_value", "fees", "fills", "last_ns", "state",
]  # fmt: skip


def _json(value: object) -> str:
    return _encode(value).decode()


def _put(table: str, columns: list[str]) -> str:
    """A row in the place of the one with its key."""
    marks = ",".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({','.join(columns)}) VALUES ({marks})"


_PUT_ORDER, _PUT_FILL, _PUT_BOOK = _put("orders", _ORDER), _put("fills", FILL_COLUMNS), _put("positions", _BOOKS)
_PUT_BREAK, _PUT_BALANCE, _PUT_SOURCE = _put("breaks", _BREAK), _put("balances", _BALANCE), _put("sources", _SOURCE)
BOOK_SORT: Final = "transact_ns, length(trade_id), trade_id, coalesce(cum_qty, 0)"


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the file. StoreError names it when it cannot be opened, SchemaError when another version wrote it."""
    try:
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}", uri=True, isolation_level=None
        )
    except sqlite3.Error as e:
        raise StoreError(f"{path}: cannot be opened: {e}") from None
    try:
        database.execute("PRAGMA busy_timeout=5000")
        if write:
            database.execute("PRAGMA journal_mode=WAL")
            # Power may take the last transactions, places and rows alike: they are read from the journals again.
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute("PRAGMA cache_size=-65536")
            database.execute("PRAGMA wal_autocheckpoint=4000")
        _check_version(database, path, write)
    except sqlite3.Error as e:
        database.close()
        raise StoreError(f"{path}: {e}") from None
    except SchemaError:
        database.close()
        raise
    return database


def _check_version(database: sqlite3.Connection, path: Path, write: bool) -> None:
    """A file of an older version is brought up to this one by its writer; one of a newer version is left alone."""
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    owner = int(database.execute("PRAGMA application_id").fetchone()[0])
    empty = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and not empty:
        raise SchemaError(f"{path}: not a ledger: application_id {owner}, expected {APPLICATION_ID}")
    if found > VERSION or (found < VERSION and not write):
        raise SchemaError(f"{path}: schema version {found}, this build has version {VERSION}")
    if found == VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    for script in SCRIPTS[found:]:
        for statement in script:
            database.execute(statement)
    database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    database.execute(f"PRAGMA user_version={VERSION}")
    database.execute("COMMIT")


class LedgerDb:
    """The writer's side. One per file: the process holds its role's lock."""

    def __init__(self, path: str | Path) -> None:
        """Open or begin it. StoreError and SchemaError name the file."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.database = connect(self.path, write=True)

    def close(self) -> None:
        """Release it; what was not committed is gone."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. StoreError when it cannot be written: a full disk, say."""
        run = self.database.execute
        with self.errors():
            try:
                run("BEGIN IMMEDIATE")
                yield
                run("COMMIT")
            finally:
                if self.database.in_transaction:
                    run("ROLLBACK")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What SQLite says as a StoreError that names the file."""
        try:
            yield
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: {e}") from None

    # -- reading what is not in memory -----------------------------------------------------------------------------

    def names_known(self, names: list[str]) -> set[str]:
        """Those of them that lead to an order."""
        text = "SELECT name FROM order_names WHERE name IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self.database.execute(text, (_json(names),))}

    def order_named(self, name: str) -> int:
        """The order that goes by a name; 0 when there is none."""
        row = self.database.execute("SELECT order_row FROM order_names WHERE name=?", (name,)).fetchone()
        return row[0] if row else 0

    def order(self, order: int) -> tuple[OrderRecord, list[Fill]] | None:
        """An order with its fills."""
        row = self.database.execute(f"SELECT {','.join(_ORDER)} FROM orders WHERE id=?", (order,)).fetchone()
        if row is None:
            return None
        fields = dict(zip(_ORDER, row, strict=True))
        fields["pending"] = _pending(fields["pending"]) if fields["pending"] else []
        for name in ("order_qty", "price", "stop_px", "cum_qty"):
            fields[name] = _whole(fields[name])
        fields["known"] = bool(fields["known"])
        record = OrderRecord(**fields)
        return record, list(self._fills("order_row=? ORDER BY id", (order,))) if record.fills else []

    def fills_after(self, book: int, key: tuple[int, int, str, int]) -> Iterator[Fill]:
        """A position's fills that come after a place, in the order in which they count."""
        return self._fills(f"book=? AND ({BOOK_SORT}) > (?,?,?,?) ORDER BY {BOOK_SORT}, id", (book, *key))

    def mark_before(self, book: int, key: tuple[int, int, str, int]) -> BookRecord | None:
        """The last kept state of a position that none of the fills from `key` on is in."""
        row = self.database.execute(
            "SELECT state FROM position_marks WHERE book=? AND (sort_ns, sort_length, sort_id, sort_cum) < (?,?,?,?)"
            " ORDER BY sort_ns DESC, sort_length DESC, sort_id DESC, sort_cum DESC LIMIT 1", (book, *key)
        ).fetchone()  # fmt: skip
        return book_of(row[0]) if row else None

    def next_ids(self) -> tuple[int, int, int]:
        """Numbers that the next order, fill and break get."""
        tables = ("orders", "fills", "breaks")
        found = [self.database.execute(f"SELECT value FROM counters WHERE name='{t}'").fetchone() for t in tables]
        orders, fills, breaks = (row[0] if row else 1 for row in found)
        return orders, fills, breaks

    def books(self) -> list[BookRecord]:
        """Every position."""
        return [book_of(row[0]) for row in self.database.execute("SELECT state FROM positions ORDER BY id")]

    def open_breaks(self) -> list[BreakRecord]:
        """Breaks that are open, or not published in their present state."""
        rows = self.database.execute(f"SELECT {','.join(_BREAK)} FROM breaks WHERE closed_ns=0 OR said=0 ORDER BY id")
        return [break_of(row) for row in rows]

    def due(self) -> list[tuple[int, int, int]]:
        """(when, order, fill) of everything whose views are still to be compared."""
        fills = self.database.execute("SELECT due_ns, order_row, id FROM fills WHERE due_ns > 0").fetchall()
        return fills + self.database.execute("SELECT due_ns, id, 0 FROM orders WHERE due_ns > 0").fetchall()

    def source(self, session: str) -> SourceRecord | None:
        """How far a journal is read; None when it never was."""
        row = self.database.execute(f"SELECT {','.join(_SOURCE)} FROM sources WHERE session=?", (session,)).fetchone()
        return SourceRecord(**dict(zip(_SOURCE, row, strict=True))) if row else None

    def _fills(self, where: str, values: tuple[object, ...]) -> Iterator[Fill]:
        with closing(
            self.database.execute(f"SELECT {','.join(FILL_COLUMNS)} FROM fills WHERE {where}", values)
        ) as rows:
            yield from map(fill_of, rows)

    # -- writing, inside a transaction -----------------------------------------------------------------------------

    def put_orders(self, orders: Iterable[OrderRecord], names: Iterable[tuple[str, int]]) -> None:
        """New or changed orders, and by which names they are found."""
        self._many(_PUT_ORDER, map(_order_row, orders))
        self.database.executemany("INSERT OR REPLACE INTO order_names VALUES (?, ?)", names)

    def drop_orders(self, merged: Iterable[tuple[int, int]], fills: Iterable[int]) -> None:
        """Orders that turned out to be another one, as (gone, kept), and fills that are another one."""
        for gone, kept in merged:
            self.database.execute("UPDATE order_names SET order_row=? WHERE order_row=?", (kept, gone))
            self.database.execute("DELETE FROM orders WHERE id=?", (gone,))
        self.database.executemany("DELETE FROM fills WHERE id=?", ((f,) for f in fills))

    def put_fills(self, fills: Iterable[Fill]) -> None:
        """New or changed fills."""
        self._many(_PUT_FILL, map(_fill_row, fills))

    def put_books(self, books: Iterable[tuple[BookRecord, int]]) -> None:
        """Positions, each with what its open lots cost."""
        self._many(_PUT_BOOK, (_book_row(book, value) for book, value in books))

    def put_marks(self, marks: Iterable[BookRecord]) -> None:
        """States of positions from which they can be counted on."""
        rows = ((m.id, *m.last, _book_text(m)) for m in marks)
        self.database.executemany("INSERT OR REPLACE INTO position_marks VALUES (?,?,?,?,?,?)", rows)

    def drop_marks(self, book: int, key: tuple[int, int, str, int]) -> None:
        """Kept states that a fill at `key` would have changed."""
        self.database.execute(
            "DELETE FROM position_marks WHERE book=? AND (sort_ns, sort_length, sort_id, sort_cum) >= (?,?,?,?)",
            (book, *key),
        )

    def put_breaks(self, breaks: Iterable[BreakRecord]) -> None:
        """New or changed breaks."""
        self.database.executemany(_PUT_BREAK, (tuple(getattr(b, f) for f in _BREAK) for b in breaks))

    def put_balances(self, balances: Iterable[BalanceRecord]) -> None:
        """What the venues told last."""
        self.database.executemany(_PUT_BALANCE, (tuple(getattr(b, f) for f in _BALANCE) for b in balances))

    def put_sources(self, sources: Iterable[SourceRecord]) -> None:
        """Places in the journals."""
        self.database.executemany(_PUT_SOURCE, (tuple(getattr(s, f) for f in _SOURCE) for s in sources))

    def put_next_ids(self, orders: int, fills: int, breaks: int) -> None:
        """Numbers are never given twice, whatever was dropped."""
        rows = (("orders", orders), ("fills", fills), ("breaks", breaks))
        self.database.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?)", rows)

    def prune(self, before_ns: int, limit: int) -> list[int]:
        """Drop up to `limit` orders that ended before that without a fill; their numbers."""
        rows = self.database.execute(
            "SELECT id FROM orders WHERE fills=0 AND due_ns=0 AND last_ns<?"
            " AND state IN ('FILLED','CANCELED','REJECTED','EXPIRED','') LIMIT ?", (before_ns, limit)
        ).fetchall()  # fmt: skip
        self.database.executemany("DELETE FROM order_names WHERE order_row=?", rows)
        self.database.executemany("DELETE FROM orders WHERE id=?", rows)
        return [row[0] for row in rows]

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Numbers beyond 64 bits, which the scales of an unconfigured instrument can lead to, are kept as text."""
        kept = list(rows)
        try:
            self.database.executemany(statement, kept)
        except OverflowError:
            big = [tuple(_text_if_big(v) for v in row) for row in kept]
            self.database.executemany(statement, big)


def _text_if_big(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not -_BIG <= value < _BIG else value


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, str) else value


def _order_row(o: OrderRecord) -> tuple[Any, ...]:
    return (
        o.id, o.venue, o.account, o.instrument, o.order_id, o.cl_ord_id, o.session, o.strategy, o.client_id,
        o.command_id, o.known, o.side, o.ord_type, o.time_in_force, o.px_scale, o.qty_scale, o.order_qty, o.price,
        o.stop_px, o.state, o.ord_status, o.cum_qty, o.text, o.first_ns, o.last_ns,
        _pack(o.pending) if o.pending else None, o.due_ns, o.fills,
    )  # fmt: skip


def _fill_row(f: Fill) -> tuple[Any, ...]:
    e, c = f.entry, f.copy
    entry = (None, None, None, None) if e is None else (e.qty, e.px, e.session, e.amended_ns)
    copy = (None, None, None, None) if c is None else (c.qty, c.px, c.session, c.amended_ns)
    return (
        f.id, f.order, f.book, f.side, f.px_scale, f.qty_scale, f.qty, f.px, f.first_qty, f.first_px, f.transact_ns,
        f.trade_id, f.cum_qty, _json(f.names), f.channels, *entry, *copy, f.liquidity,
        _json(f.fees) if f.fees else None, f.rank, f.recv_ns, f.changed_ns, f.due_ns,
    )  # fmt: skip


def fill_of(row: tuple[Any, ...]) -> Fill:
    """A fill out of a row with the columns of `FILL_COLUMNS`."""
    whole = _whole
    return Fill(
        id=row[0], order=row[1], book=row[2], side=row[3], px_scale=row[4], qty_scale=row[5], qty=int(row[6]),
        px=int(row[7]), first_qty=int(row[8]), first_px=int(row[9]), transact_ns=row[10], trade_id=row[11],
        cum_qty=whole(row[12]), names=_names(row[13]), channels=row[14],
        entry=None if row[15] is None else Said(int(row[15]), int(row[16]), row[17], row[18]),
        copy=None if row[19] is None else Said(int(row[19]), int(row[20]), row[21], row[22]), liquidity=row[23],
        fees=_fees(row[24]) if row[24] else (), rank=row[25], recv_ns=row[26], changed_ns=row[27], due_ns=row[28],
    )  # fmt: skip


def break_of(row: tuple[Any, ...]) -> BreakRecord:
    """A break out of a row with the columns of its record."""
    fields = dict(zip(_BREAK, row, strict=True))
    return BreakRecord(**{**fields, "said": bool(fields["said"])})


def _book_row(b: BookRecord, open_value: int) -> tuple[Any, ...]:
    return (
        b.id, b.strategy, b.venue, b.account, b.instrument, b.px_scale, b.qty_scale, str(b.position), str(b.realised),
        str(b.bought), str(b.sold), str(b.bought_value), str(b.sold_value), str(open_value), _json(b.fees), b.fills,
        b.last[0], _book_text(b),
    )  # fmt: skip


def _book_text(book: BookRecord) -> str:
    """A position as JSON text: its sums of money may be beyond 64 bits."""
    return json.dumps([getattr(book, f) for f in BookRecord.__struct_fields__])


def book_of(text: str) -> BookRecord:
    """A position out of its text."""
    fields = dict(zip(BookRecord.__struct_fields__, json.loads(text), strict=True))
    sort_ns, length, name, cum = fields.pop("last")
    lots = [(qty, px) for qty, px in fields.pop("lots")]
    return BookRecord(**fields, lots=lots, last=(sort_ns, length, name, cum))
