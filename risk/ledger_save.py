"""Keeping the ledger: a batch of events from the journals, what it changes, and the places in the journals, at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from base.errors import BusError, CorruptError
from ipc.ledger_db import FIRST_KEY, LedgerDb
from ipc.ledger_records import BookRecord, BreakRecord, SourceRecord
from ipc.ledger_source import JournalSource
from risk.ledger import MARK_EVERY, Ledger
from risk.ledger_parts import Source, Start, copy_book
from risk.ledger_positions import add_fill, clear, may_mark, open_value

BATCH: Final = 4_000  # events in a transaction, about
PRUNED_AT_ONCE: Final = 2_000


class Progress(NamedTuple):
    """What one step did. `more`: there is more to read at once. `gaps`: journals that lost what was not read yet."""

    events: int
    more: bool
    gaps: list[BreakRecord]
    faults: dict[str, str]  # journals that cannot be read, by session


class Keeper:
    """Reads the journals into the store, batch by batch. After a StoreError call `reopen`: nothing is lost."""

    def __init__(self, path: Path, journals: dict[Source, Path], break_after_ns: int, batch: int = BATCH) -> None:
        """`journals`: where each session's journal lies. StoreError, SchemaError: the store cannot be opened."""
        # Order entry first: whose an order is is then known when the drop copy tells of it.
        self._journals = dict(sorted(journals.items(), key=lambda item: item[0].view))
        self._break_after_ns = break_after_ns
        self._batch = batch
        self.store = LedgerDb(path)
        self.ledger: Ledger
        self._sources: dict[Source, JournalSource] = {}
        self._begin()

    def reopen(self) -> None:
        """Go on from what the store has; what was read since is read again."""
        self._end()
        self._begin()

    def step(self, now_ns: int) -> Progress:
        """Take a batch in and store it; at the end of all journals, look for views that differ for too long.

        StoreError: nothing of it is stored.
        """
        with self.store.errors():
            return self._step(now_ns)

    def _step(self, now_ns: int) -> Progress:
        events, more = 0, False
        gaps: list[BreakRecord] = []
        faults: dict[str, str] = {}
        for source in self._journals:
            try:
                batch = self._journal(source).read(self._batch - events)
            except (CorruptError, BusError) as e:
                faults[source.session] = str(e)
                self._sources.pop(source).close()  # the next step tries again from the stored place
                continue
            self.ledger.expect(source, batch.events)
            for event in batch.events:
                self.ledger.take(source, event)
            gaps += [self._gap(source, text, now_ns) for text in batch.gaps]
            events += len(batch.events)
            if batch.more:
                more = True
                break
        if not more:
            self.ledger.tick(now_ns)
        if events or gaps or self.ledger.changed:
            self.save()
        return Progress(events, more, gaps, faults)

    def unsaid(self) -> list[BreakRecord]:
        """Breaks that are stored and not published in their present state."""
        return [b for b in self.ledger.watch.unsaid.values() if not b.said]

    def said(self, found: BreakRecord) -> None:
        """A break was published; stored with the next batch, so that a death may say it twice but not never."""
        found.said = True
        self.ledger.watch.changed[found.id] = found
        self.ledger.watch.unsaid.pop(found.id, None)

    def accept(self, break_id: int, reason: str, now_ns: int) -> bool:
        """A person closes a break; False when none of that number is open."""
        done = self.ledger.watch.accept(break_id, reason, now_ns)
        if done:
            self.save()
        return done

    def prune(self, before_ns: int) -> int:
        """Drop some orders that ended before that without a fill; how many."""
        with self.store.transaction():
            gone = self.store.prune(before_ns, PRUNED_AT_ONCE)
        for order in gone:
            self.ledger.forget(order)
        return len(gone)

    def save(self) -> None:
        """Store what changed."""
        places = [journal.place for journal in self._sources.values()]
        save(self.ledger, self.store, places)

    def close(self) -> None:
        """Release journals and store."""
        self._end()
        self.store.close()

    def _begin(self) -> None:
        store = self.store
        two = frozenset((s.venue, s.account) for s in self._journals if s.two_views)
        with store.errors():
            start = Start(*store.next_ids(), store.books(), store.open_breaks(), store.due())
        self.ledger = Ledger(store, start, self._break_after_ns, two)

    def _end(self) -> None:
        for journal in self._sources.values():
            journal.close()
        self._sources.clear()

    def _journal(self, source: Source) -> JournalSource:
        journal = self._sources.get(source)
        if journal is None:
            place = self.store.source(source.session) or SourceRecord(session=source.session)
            journal = JournalSource(self._journals[source], f"exec.{source.session}", place)
            self._sources[source] = journal
        return journal

    def _gap(self, source: Source, text: str, now_ns: int) -> BreakRecord:
        return self.ledger.watch.gap(source.session, source.venue, source.account, text, now_ns)


def save(ledger: Ledger, store: LedgerDb, places: Iterable[SourceRecord]) -> None:
    """One transaction. StoreError: nothing was written, and the ledger in memory is ahead of the store: begin anew."""
    with store.transaction():
        store.put_orders(ledger.orders.values(), ledger.names.items())
        store.drop_orders(ledger.gone_orders.items(), ledger.gone_fills)
        store.put_fills(ledger.fills.values())
        store.put_marks(ledger.marks)
        _count_anew(ledger, store)
        store.put_books((book, open_value(book)) for book in ledger.changed_books.values())
        store.put_breaks(ledger.watch.changed.values())
        store.put_balances(ledger.balances.values())
        store.put_next_ids(*ledger.next_ids())
        store.put_sources(places)
    ledger.saved()


def _count_anew(ledger: Ledger, store: LedgerDb) -> None:
    """Positions that a late, corrected or busted fill, or one that changed hands, is to be counted into."""
    books = {book.id: book for book in ledger.books.values()} if ledger.spoiled else {}
    for book_id, key in ledger.spoiled.items():
        book = books[book_id]
        mark = store.mark_before(book_id, key)
        if mark is None:
            clear(book)
        else:
            for field in mark.__struct_fields__:
                setattr(book, field, getattr(mark, field))
        store.drop_marks(book_id, key)
        marks: list[BookRecord] = []
        for fill in store.fills_after(book_id, FIRST_KEY if mark is None else mark.last):
            if may_mark(book, fill, MARK_EVERY):
                marks.append(copy_book(book))
            add_fill(book, fill)
        store.put_marks(marks)
        ledger.changed_books[book_id] = book
