"""The ledger's file: all or nothing, read while it is written, refused when another version wrote it."""

import sqlite3
from pathlib import Path

import pytest

from base.errors import SchemaError, StoreError
from ipc import ledger_db
from ipc.ledger_db import LedgerDb, connect
from ipc.ledger_read import Filter, LedgerReader
from ipc.ledger_records import Amendment, BookRecord, BreakRecord, Fill, OrderRecord, Said, SourceRecord
from ipc.ledger_schema import SCRIPTS

BIG = 10**25


def order(**fields: object) -> OrderRecord:
    base = {"id": 1, "venue": "v", "account": "a", "instrument": "BTC-USD", "qty_scale": 4, "px_scale": 2, "fills": 1}
    return OrderRecord(**{**base, **fields})  # type: ignore[arg-type]


def fill(**fields: object) -> Fill:
    base = {"id": 1, "order": 1, "book": 1, "side": "1", "px_scale": 2, "qty_scale": 4, "first_qty": 5, "first_px": 7,
            "qty": 5, "px": 7, "transact_ns": 9}  # fmt: skip
    return Fill(**{**base, **fields})  # type: ignore[arg-type]


def test_what_is_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    store = LedgerDb(tmp_path / "x" / "ledger.db")
    waiting = Amendment("H", 0, 1, "ref", "e", "", 1, 2, 3, 4, "s")
    kept = order(order_id="o", strategy="s", known=True, order_qty=5, cum_qty=BIG, pending=[waiting], due_ns=4)
    told = fill(names=["t1", "x1:e"], entry=Said(5, 7, "trd"), copy=Said(0, 7, "dc", 8), fees=(("USD", "0.10"),),
                cum_qty=BIG, due_ns=3, trade_id="1")  # fmt: skip
    book = BookRecord(id=1, strategy="s", venue="v", account="a", instrument="BTC-USD", realised=-BIG, position=3,
                      lots=[(1, 2), (BIG, 3)], fees={"USD": "0.1"}, fills=1, last=(9, 1, "1", 5))  # fmt: skip
    found = BreakRecord(id=1, kind="missing", lacks="drop_copy", order_row=1, fill_row=1, opened_ns=5)
    place = SourceRecord(session="trd", epoch=1 << 62, next_seq=7, record=8, events=9)
    with store.transaction():
        store.put_orders([kept], [("n", 1)])
        store.put_fills([told])
        store.put_books([(book, BIG)])
        store.put_marks([book])
        store.put_breaks([found])
        store.put_sources([place])
        store.put_next_ids(2, 2, 2)
    store.close()
    store = LedgerDb(tmp_path / "x" / "ledger.db")
    assert store.order(store.order_named("n")) == (kept, [told])
    assert store.order_named("m") == 0
    assert (store.books(), store.open_breaks(), store.source("trd")) == ([book], [found], place)
    assert store.mark_before(1, (9, 1, "2", 0)) == book
    assert store.mark_before(1, (9, 1, "1", 5)) is None
    assert store.next_ids() == (2, 2, 2)
    assert sorted(store.due()) == [(3, 1, 1), (4, 1, 0)]
    store.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = LedgerDb(tmp_path / "ledger.db")

    def fails() -> None:
        with store.transaction():
            store.put_orders([order()], [])
            store.database.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(StoreError, match=r"ledger\.db"):
        fails()
    assert store.order(1) is None
    with store.transaction():
        store.put_orders([order()], [])
    assert store.order(1) is not None
    store.close()


def test_readers_see_the_last_transaction_while_the_next_is_written_and_hold_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = LedgerDb(path)
    with store.transaction():
        store.put_orders([order(fills=0)], [])
    with LedgerReader(path) as reader, reader.one_state():
        assert len(reader.orders(Filter())) == 1
        with store.transaction():
            store.put_orders([order(id=2, fills=0)], [])
            assert len(reader.orders(Filter())) == 1
        assert len(reader.orders(Filter())) == 1  # one state until the question is over
    with LedgerReader(path) as reader:
        assert len(reader.orders(Filter())) == 2
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.database.execute("DELETE FROM orders")
    store.close()


def test_a_file_of_a_newer_version_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = LedgerDb(path)
    store.database.execute(f"PRAGMA user_version={ledger_db.VERSION + 1}")
    store.close()
    before = path.read_bytes()
    for write in (True, False):
        with pytest.raises(SchemaError, match=rf"ledger\.db: schema version {ledger_db.VERSION + 1}"):
            connect(path, write=write)
    assert path.read_bytes() == before


def test_a_file_of_an_older_version_is_brought_up_by_its_writer_and_refused_by_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    store = LedgerDb(path)
    with store.transaction():
        store.put_orders([order(fills=0)], [])
    store.close()
    monkeypatch.setattr(ledger_db, "SCRIPTS", (*SCRIPTS, ("ALTER TABLE orders ADD COLUMN colour TEXT",)))
    monkeypatch.setattr(ledger_db, "VERSION", len(SCRIPTS) + 1)
    with pytest.raises(SchemaError, match="schema version 1, this build has version 2"):
        connect(path, write=False)
    store = LedgerDb(path)
    assert store.database.execute("SELECT id, colour FROM orders").fetchall() == [(1, None)]
    assert connect(path, write=False).execute("PRAGMA user_version").fetchone() == (2,)
    store.close()


def test_a_file_of_another_program_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(SchemaError, match=r"other\.db: not a ledger"):
        LedgerDb(path)
    (tmp_path / "junk.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"junk\.db"):
        LedgerDb(tmp_path / "junk.db")


def test_orders_that_ended_without_a_fill_go_with_age_and_nothing_else(tmp_path: Path) -> None:
    store = LedgerDb(tmp_path / "ledger.db")
    rows = [
        order(id=1, fills=0, state="CANCELED", last_ns=5), order(id=2, fills=1, state="CANCELED", last_ns=5),
        order(id=3, fills=0, state="NEW", last_ns=5), order(id=4, fills=0, state="REJECTED", last_ns=15),
        order(id=5, fills=0, state="CANCELED", last_ns=5, due_ns=9), order(id=6, fills=0, state="EXPIRED", last_ns=6),
    ]  # fmt: skip
    with store.transaction():
        store.put_orders(rows, [(f"n{r.id}", r.id) for r in rows])
        assert store.prune(10, 1) == [1]
        assert store.prune(10, 10) == [6]
        assert store.prune(10, 10) == []
    assert [store.order_named(f"n{n}") for n in range(1, 7)] == [0, 2, 3, 4, 5, 0]
    store.close()


def test_without_a_ledger_the_reader_says_who_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ledger process"):
        LedgerReader(tmp_path / "none.db")
