"""A ledger on a store of its own, as tests use it."""

from pathlib import Path
from typing import Any

from ipc.ledger_db import LedgerDb
from ipc.ledger_records import BreakRecord, Fill
from risk.ledger import Ledger
from risk.ledger_parts import Source, Start
from risk.ledger_save import save
from tests.risk.ledger_world import AFTER_NS

TWO = frozenset({("v", "main")})


class Kept:
    """A ledger on its store, opened anew whenever a test likes."""

    def __init__(self, folder: Path, kept: int = 50_000) -> None:
        self.store = LedgerDb(folder / "ledger.db")
        self.kept = kept
        self.open()

    def open(self) -> None:
        store = self.store
        start = Start(*store.next_ids(), store.books(), store.open_breaks(), store.due())
        self.ledger = Ledger(store, start, AFTER_NS, TWO, self.kept)

    def take(self, source: Source, *events: Any) -> "Kept":
        for event in events:
            self.ledger.take(source, event)
        return self

    def save(self, *, reopen: bool = False) -> "Kept":
        save(self.ledger, self.store, [])
        if reopen:
            self.open()
        return self

    def tick(self, now_ns: int) -> "Kept":
        self.ledger.tick(now_ns)
        return self.save()

    def fills(self) -> list[Fill]:
        self.save()
        orders = [row[0] for row in self.store.database.execute("SELECT id FROM orders ORDER BY id")]
        found = [self.store.order(order) for order in orders]
        return [fill for kept in found if kept is not None for fill in kept[1]]

    def breaks(self) -> list[BreakRecord]:
        self.save()
        return [b for b in self.store.open_breaks() if not b.closed_ns]

    def close(self) -> None:
        self.store.close()
