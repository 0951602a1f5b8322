"""Reading the ledger's file while its process writes it, or while it is down: what people and exports ask for.

Numbers come back as exact Decimals; times as UTC nanoseconds. Every reader sees one state of the file: that of its
last transaction when the question began.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from base.decimals import from_scaled
from base.errors import StoreError
from ipc.ledger_db import BOOK_SORT, FILL_COLUMNS, connect, fill_of
from ipc.ledger_records import BookRecord, Fill

Row = dict[str, Any]
SIDES = {"1": "buy", "2": "sell"}


class Filter(NamedTuple):
    """What is asked for; "" and 0 stand for everything. Times are UTC ns, `until_ns` not included."""

    strategy: str = ""
    venue: str = ""
    instrument: str = ""
    since_ns: int = 0
    until_ns: int = 0


class LedgerReader:
    """One open file, read only."""

    def __init__(self, path: str | Path) -> None:
        """StoreError when there is no ledger, SchemaError when another version wrote it."""
        self.path = Path(path)
        if not self.path.exists():
            raise StoreError(f"{self.path}: no ledger there; it is made by the ledger process, see [ledger]")
        self.database = connect(self.path, write=False)

    def __enter__(self) -> "LedgerReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @contextmanager
    def one_state(self) -> Iterator[None]:
        """All questions within see the same state of the file."""
        self.database.execute("BEGIN")
        try:
            yield
        finally:
            self.database.execute("ROLLBACK")

    def positions(self, asked: Filter) -> list[Row]:
        """Positions and realised profit as they stand."""
        where, values = _where(asked, "", "")
        return [
            book_row(BookRecord(**_book_fields(row)), int(row["open_value"]))
            for row in self._rows(f"SELECT * FROM positions WHERE fills > 0 AND {where} ORDER BY {_KEY}", values)
        ]

    def fills(self, asked: Filter, limit: int = 0) -> Iterator[Row]:
        """Fills of record in the order in which they count; the last `limit` of them (0: all)."""
        columns = ", ".join(f"fills.{c}" for c in FILL_COLUMNS)
        where, values = _where(asked, "positions.", "fills.transact_ns")
        text = (
            f"SELECT {columns}, positions.strategy, positions.venue, positions.account, positions.instrument,"
            " orders.order_id, orders.cl_ord_id, orders.known FROM fills"
            " JOIN positions ON positions.id = fills.book JOIN orders ON orders.id = fills.order_row"
            f" WHERE {where} ORDER BY fills.transact_ns{{0}}, length(trade_id){{0}}, trade_id{{0}}, fills.id{{0}}"
        )
        rows = self._rows(text.format(" DESC") + f" LIMIT {limit}" if limit else text.format(""), values)
        for row in reversed(list(rows)) if limit else rows:
            yield fill_row(fill_of(tuple(row)[: len(FILL_COLUMNS)]), row)

    def orders(self, asked: Filter, limit: int = 0) -> list[Row]:
        """Orders of record, by when they were first heard of; the last `limit` of them."""
        where, values = _where(asked, "", "first_ns")
        order = f"first_ns DESC, id DESC LIMIT {limit}" if limit else "first_ns, id"
        rows = self._rows(f"SELECT * FROM orders WHERE {where} ORDER BY {order}", values)
        found = [order_row(row) for row in rows]
        return found[::-1] if limit else found

    def breaks(self, asked: Filter, *, closed: bool) -> list[Row]:
        """Breaks that are open, or (with `closed`) all of them, by number."""
        where, values = _where(asked, "", "opened_ns")
        also = "" if closed else "AND closed_ns = 0"
        names = "id kind lacks venue account instrument order_id cl_ord_id trade_id strategy order_entry drop_copy"
        columns = f"{names} text opened_ns closed_ns closed_by".replace(" ", ", ")
        return [dict(r) for r in self._rows(f"SELECT {columns} FROM breaks WHERE {where} {also} ORDER BY id", values)]

    def balances(self, asked: Filter) -> list[Row]:
        """What the venues told last of each account's currencies."""
        where, values = _where(Filter(venue=asked.venue), "", "")
        return [dict(r) for r in self._rows(f"SELECT * FROM balances WHERE {where}", values)]

    def counts(self) -> dict[str, int]:
        """Fills that count, breaks that are open, and what waits for the other view or for a missing report."""
        questions = {
            "fills": "SELECT count(*) FROM fills WHERE qty <> 0",
            "breaks": "SELECT count(*) FROM breaks WHERE closed_ns = 0",
            "waiting": "SELECT (SELECT count(*) FROM fills WHERE due_ns > 0)"
            " + (SELECT count(*) FROM orders WHERE due_ns > 0)",
        }
        return {name: int(self.database.execute(text).fetchone()[0]) for name, text in questions.items()}

    def books(self) -> list[BookRecord]:
        """Every position, with nothing counted: whose fills `fills_of` gives."""
        rows = self._rows(f"SELECT * FROM positions WHERE fills > 0 ORDER BY {_KEY}", [])
        return [BookRecord(**{k: row[k] for k in ("id", "strategy", "venue", "account", "instrument")}) for row in rows]

    def fills_of(self, book: int, until_ns: int) -> Iterator[Fill]:
        """A position's fills before a time, in the order in which they count."""
        columns = ", ".join(FILL_COLUMNS)
        text = f"SELECT {columns} FROM fills WHERE book=? AND transact_ns<? ORDER BY {BOOK_SORT}, id"
        return (fill_of(tuple(row)) for row in self._rows(text, [book, until_ns]))

    def _rows(self, text: str, values: list[Any]) -> Iterator[sqlite3.Row]:
        cursor = self.database.cursor()
        cursor.row_factory = sqlite3.Row
        try:
            yield from cursor.execute(text, values)
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: {e}") from None


_KEY = "strategy, venue, account, instrument"


def _where(asked: Filter, prefix: str, time: str) -> tuple[str, list[Any]]:
    parts: list[str] = ["1"]
    values: list[Any] = []
    for name in ("strategy", "venue", "instrument"):
        if value := getattr(asked, name):
            parts.append(f"{prefix}{name} = ?")
            values.append(value)
    for value, sign in ((asked.since_ns, ">="), (asked.until_ns, "<")):
        if value and time:
            parts.append(f"{time} {sign} ?")
            values.append(value)
    return " AND ".join(parts), values


def _book_fields(row: sqlite3.Row) -> Row:
    same = ("id", "strategy", "venue", "account", "instrument", "px_scale", "qty_scale", "fills")
    big = ("position", "realised", "bought", "sold", "bought_value", "sold_value")
    fields: Row = {k: row[k] for k in same} | {k: int(row[k]) for k in big}
    return {**fields, "fees": json.loads(row["fees"]), "last": (row["last_ns"], 0, "", 0)}


def book_row(book: BookRecord, open_value: int) -> Row:
    """A position in decimals; `open_px` is the average price of its open lots, rounded for people to px_scale + 2."""
    money, qty = book.px_scale + book.qty_scale, book.qty_scale
    average = from_scaled(open_value, money) / from_scaled(abs(book.position), qty) if book.position else None
    return {
        "strategy": book.strategy, "venue": book.venue, "account": book.account, "instrument": book.instrument,
        "position": from_scaled(book.position, qty),
        "open_px": None if average is None else round(average, book.px_scale + 2),
        "open_value": from_scaled(open_value, money), "realised": from_scaled(book.realised, money),
        "currency": quote_of(book.instrument), "fees": {c: Decimal(a) for c, a in sorted(book.fees.items())},
        "bought": from_scaled(book.bought, qty), "sold": from_scaled(book.sold, qty),
        "bought_value": from_scaled(book.bought_value, money), "sold_value": from_scaled(book.sold_value, money),
        "fills": book.fills, "last_ns": book.last[0],
    }  # fmt: skip


def quote_of(instrument: str) -> str:
    """The currency that prices are in: BTC-USD and BTC-USD-PERP are in USD; "" for what is no name of ours."""
    parts = instrument.split("-")
    return parts[1] if len(parts) > 1 else ""


def fill_row(f: Fill, row: Any) -> Row:
    """A fill in decimals; `state` is "", "corrected" or "busted"; `views` says which views told it."""
    said = [name for name, view in (("order_entry", f.entry), ("drop_copy", f.copy)) if view is not None]
    state = "busted" if not f.qty else "corrected" if (f.qty, f.px) != (f.first_qty, f.first_px) else ""
    return {
        "id": f.id, "transact_ns": f.transact_ns, "strategy": row["strategy"], "venue": row["venue"],
        "account": row["account"], "instrument": row["instrument"], "order_id": row["order_id"],
        "cl_ord_id": row["cl_ord_id"], "trade_id": f.trade_id or _other_name(f, "r"),
        "exec_ids": [n.partition(":")[2] for n in f.names if n[0] == "x"], "side": SIDES.get(f.side, f.side),
        "qty": from_scaled(f.qty, f.qty_scale), "px": from_scaled(f.px, f.px_scale),
        "liquidity": f.liquidity, "fees": [(c, Decimal(a)) for c, a in f.fees], "views": said, "state": state,
        "first_qty": from_scaled(f.first_qty, f.qty_scale), "first_px": from_scaled(f.first_px, f.px_scale),
        "recv_ns": f.recv_ns,
    }  # fmt: skip


def _other_name(f: Fill, kind: str) -> str:
    return next((n[1:] for n in f.names if n[0] == kind), "")


def order_row(row: Any) -> Row:
    """An order in decimals."""
    px, qty = row["px_scale"], row["qty_scale"]

    def scaled(name: str, scale: int) -> Decimal | None:
        return None if row[name] is None else from_scaled(int(row[name]), scale)

    texts = (
        "venue",
        "account",
        "instrument",
        "order_id",
        "cl_ord_id",
        "session",
        "strategy",
        "client_id",
        "command_id",
    )
    return {
        "id": row["id"], **{name: row[name] for name in texts}, "known": bool(row["known"]),
        "side": SIDES.get(row["side"], row["side"]), "ord_type": row["ord_type"],
        "time_in_force": row["time_in_force"], "order_qty": scaled("order_qty", qty), "price": scaled("price", px),
        "stop_px": scaled("stop_px", px), "cum_qty": scaled("cum_qty", qty), "state": row["state"],
        "ord_status": row["ord_status"], "text": row["text"], "first_ns": row["first_ns"], "last_ns": row["last_ns"],
        "fills": row["fills"],
    }  # fmt: skip
