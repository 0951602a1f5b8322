"""When a book may be believed: the state machine between decoded records and published books. No I/O.

    RECOVERING --snapshot--> LIVE --rule broken, session lost, silence--> STALE --snapshot asked for--> RECOVERING

Records and times go in; actions come out: verified changes to publish, statuses to tell, snapshots to ask the venue
for. A snapshot replaces the book, it is never merged. CROSSED and HALTED are states of a book that is being kept.
"""

import random
from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from base.errors import BookError
from ipc._book import Book, BookSet, Verdict
from ipc.books import BookReason, BookState

_NEVER = (1 << 63) - 1


class Continuity(StrEnum):
    """How a venue lets a hole in its feed be seen, beside the session's own sequence numbers."""

    NONE = "none"
    CHECKSUM = "checksum"  # CRC-32 over the top levels after each message
    UPDATE_IDS = "update_ids"  # first id (or the only one) <= last id seen + 1; older messages are dropped
    NEWEST = "newest"  # ids only rise: older messages are dropped, holes do not matter (top of book alone)


_CODE = {c: i for i, c in enumerate(Continuity)}


class BookRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a venue promises of its books, and how patient to be. Times in ns of the monotonic clock."""

    continuity: Continuity = Continuity.NONE
    checksum_levels: int = 10
    depth_window: int = 0  # levels a side that the venue keeps us informed of; 0 = all
    top_only: bool = False  # a level replaces its side
    ignore_unknown: bool = False  # L3: changes of orders that are not in the book are passed over
    rise_requeues: bool = False  # L3: an order whose quantity rises goes behind the others of its price
    crossed_grace_ns: int = 0  # how long a book may stay crossed before it is STALE; 0 = not one message
    stall_ns: int = 0  # silence after which a book is STALE; 0 = silence is normal
    snapshot_timeout_ns: int = 10_000_000_000  # an asked-for snapshot that has not come is asked for again
    retry_min_ns: int = 500_000_000  # backoff between snapshots of a book that keeps breaking: full jitter
    retry_max_ns: int = 30_000_000_000
    stable_ns: int = 10_000_000_000  # a book that lived this long asks at once when it breaks


class Changes(msgspec.Struct, frozen=True, gc=False):
    """Verified increments to publish: `verdict.changes`, of `verdict.n_messages` messages."""

    instrument: int
    verdict: Verdict


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole book to publish: `verdict.bids` and `verdict.asks`."""

    instrument: int
    verdict: Verdict


class Status(msgspec.Struct, frozen=True, gc=False):
    """The state of a book changed. since_ns is UTC."""

    instrument: int
    state: BookState
    reason: BookReason
    since_ns: int


class AskSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Subscribe anew (or ask for a snapshot), then call expect() with the key of the request. attempt counts from 1."""

    instrument: int
    attempt: int
    reason: BookReason


Action: TypeAlias = Changes | Snapshot | Status | AskSnapshot


class _Slot:
    """State of one book."""

    def __init__(self, rule: BookRule) -> None:
        self.rule = rule
        self.state = BookState.RECOVERING
        self.reason = BookReason.START
        self.attempt = 0
        self.halted = False
        self.heard_at = 0
        self.live_at = 0
        self.asked_at = _NEVER  # when the snapshot that is awaited was asked for
        self.retry_at = _NEVER  # when to ask again
        self.crossed_at = _NEVER

    def deadline(self) -> int:
        """Next monotonic time at which something is due."""
        due = self.retry_at
        if self.asked_at != _NEVER:
            due = min(due, self.asked_at + self.rule.snapshot_timeout_ns)
        if self.state in _TICKING and self.rule.stall_ns:
            due = min(due, self.heard_at + self.rule.stall_ns)
        if self.crossed_at != _NEVER:
            due = min(due, self.crossed_at + self.rule.crossed_grace_ns)
        return due


_TICKING = frozenset({BookState.LIVE, BookState.CROSSED})  # a halted market may be silent
_KEPT = _TICKING | {BookState.HALTED}


class BookBuilder:
    """The books of one market-data session. Instruments are the codec's indexes.

    Feed it every record; do what the actions say; call on_time() at deadline(). `jitter` gives numbers in [0, 1).
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.books = BookSet()
        self._slots: dict[int, _Slot] = {}
        self._jitter = jitter
        self._due = _NEVER  # never later than any slot's deadline
        self._ready = False

    def add(
        self,
        instrument: int,
        rule: BookRule,
        *,
        level: int = 2,
        levels: int = 10_000,
        orders: int = 0,
        px_drop: int = 0,
        qty_drop: int = 0,
    ) -> Book:
        """A book with room for `levels` a side and `orders` (L3). *_drop: decimals that the venue does not have."""
        book = Book(
            l3=level == 3, levels=levels, orders=orders, max_depth=rule.depth_window, top_only=rule.top_only,
            ignore_unknown=rule.ignore_unknown, rise_requeues=rule.rise_requeues,
        )  # fmt: skip
        self.books.add(
            instrument,
            book,
            continuity=_CODE[rule.continuity],
            checksum_levels=rule.checksum_levels,
            px_drop=px_drop,
            qty_drop=qty_drop,
            crossed_is_stale=rule.crossed_grace_ns == 0,
        )
        self._slots[instrument] = _Slot(rule)
        return book

    def state(self, instrument: int) -> tuple[BookState, BookReason]:
        """What readers of this book are to be told."""
        slot = self._slot(instrument)
        return slot.state, slot.reason

    def expect(self, instrument: int, req_key: int) -> None:
        """Only records of this request count from now on (qd_key64 of MDReqID)."""
        self._slot(instrument)
        self.books.expect(instrument, req_key)

    def feed(self, records: bytes | bytearray | memoryview, n_words: int, mono_ns: int, wall_ns: int) -> list[Action]:
        """Records of base/md_record.h, as one socket read brought them. SchemaError when they are malformed."""
        actions: list[Action] = []
        for verdict in self.books.verify_and_pack(records, n_words):
            self._take(verdict, mono_ns, wall_ns, actions)
        return actions

    def session_ready(self, mono_ns: int, wall_ns: int) -> list[Action]:
        """The session is logged on: every book asks for its snapshot."""
        self._ready = True
        actions: list[Action] = []
        for i, slot in self._slots.items():
            slot.attempt = 0
            self._ask(i, slot, mono_ns, wall_ns, actions)
        return actions

    def session_lost(self, wall_ns: int) -> list[Action]:
        """The session is gone, and with it its subscriptions."""
        self._ready = False
        return self.invalidate_all(BookReason.SESSION, 0, wall_ns)

    def invalidate_all(self, reason: BookReason, mono_ns: int, wall_ns: int) -> list[Action]:
        """No book is to be believed, e.g. because the session's sequence numbers have a hole (GAP)."""
        actions: list[Action] = []
        for i in self._slots:
            self._break(i, reason, mono_ns, wall_ns, actions)
        return actions

    def invalidate(self, instrument: int, reason: BookReason, mono_ns: int, wall_ns: int) -> list[Action]:
        """This book is not to be believed: the venue refused its subscription, an operator asked for a fresh one."""
        self._slot(instrument)
        actions: list[Action] = []
        self._break(instrument, reason, mono_ns, wall_ns, actions)
        return actions

    def halt(self, instrument: int, halted: bool, wall_ns: int) -> list[Action]:
        """The venue halted or resumed trading; the book is kept meanwhile."""
        slot = self._slot(instrument)
        slot.halted = halted
        actions: list[Action] = []
        if slot.state in _KEPT:
            self._show(instrument, slot, wall_ns, actions)
        return actions

    def deadline(self) -> int | None:
        """Monotonic time of the next on_time() call; it may turn out to be early."""
        return None if self._due == _NEVER else self._due

    def on_time(self, mono_ns: int, wall_ns: int) -> list[Action]:
        """Silence, overdue snapshots, backoffs that have run out, books that stayed crossed."""
        actions: list[Action] = []
        if mono_ns < self._due:
            return actions
        self._due = _NEVER
        for i, slot in self._slots.items():
            if slot.deadline() <= mono_ns:
                self._overdue(i, slot, mono_ns, wall_ns, actions)
            self._due = min(self._due, slot.deadline())
        return actions

    def _slot(self, instrument: int) -> _Slot:
        slot = self._slots.get(instrument)
        if slot is None:
            raise BookError(f"no book for instrument index {instrument}")
        return slot

    def _take(self, verdict: Verdict, mono_ns: int, wall_ns: int, actions: list[Action]) -> None:
        i = verdict.instrument
        slot = self._slots[i]
        slot.heard_at = mono_ns
        if verdict.reason == BookReason.SNAPSHOT:
            return  # increments of a book that waits; the rule for what follows the snapshot is the continuity's
        if verdict.reason:
            self._break(i, BookReason(verdict.reason), mono_ns, wall_ns, actions)
            return
        if not verdict.snapshot and slot.state not in _KEPT:
            return  # trades of a stream beside the book: they tell nothing of a book that is out
        if verdict.snapshot:
            slot.asked_at = slot.retry_at = _NEVER
            slot.live_at = mono_ns
            actions.append(Snapshot(i, verdict))
        elif verdict.changes:
            actions.append(Changes(i, verdict))
        self._keep(i, slot, mono_ns, wall_ns, actions)

    def _keep(self, i: int, slot: _Slot, mono_ns: int, wall_ns: int, actions: list[Action]) -> None:
        crossed = slot.rule.crossed_grace_ns != 0 and self.books.book(i).crossed
        if not crossed:
            slot.crossed_at = _NEVER
        elif slot.crossed_at == _NEVER:
            slot.crossed_at = mono_ns
        if slot.state not in _KEPT or crossed != (slot.state is BookState.CROSSED):
            self._show(i, slot, wall_ns, actions)
            self._due = min(self._due, slot.deadline())

    def _show(self, i: int, slot: _Slot, wall_ns: int, actions: list[Action]) -> None:
        if slot.halted:
            self._tell(i, slot, BookState.HALTED, BookReason.VENUE_HALT, wall_ns, actions)
        elif slot.crossed_at != _NEVER:
            self._tell(i, slot, BookState.CROSSED, BookReason.CROSSED, wall_ns, actions)
        else:
            self._tell(i, slot, BookState.LIVE, BookReason.OK, wall_ns, actions)

    def _tell(
        self, i: int, slot: _Slot, state: BookState, reason: BookReason, wall_ns: int, actions: list[Action]
    ) -> None:
        if (slot.state, slot.reason) != (state, reason):
            slot.state, slot.reason = state, reason
            actions.append(Status(i, state, reason, wall_ns))

    def _break(self, i: int, reason: BookReason, mono_ns: int, wall_ns: int, actions: list[Action]) -> None:
        slot = self._slots[i]
        if slot.state in _KEPT and mono_ns - slot.live_at >= slot.rule.stable_ns:
            slot.attempt = 0  # it held: this break asks at once
        slot.asked_at = slot.retry_at = slot.crossed_at = _NEVER
        self.books.invalidate(i)
        self._tell(i, slot, BookState.STALE, reason, wall_ns, actions)
        if not self._ready:
            return
        if slot.attempt == 0:
            self._ask(i, slot, mono_ns, wall_ns, actions)
        else:
            slot.retry_at = mono_ns + self._backoff(slot)
            self._due = min(self._due, slot.retry_at)

    def _backoff(self, slot: _Slot) -> int:
        most = min(slot.rule.retry_min_ns << min(slot.attempt - 1, 20), slot.rule.retry_max_ns)
        return int(most * self._jitter())

    def _ask(self, i: int, slot: _Slot, mono_ns: int, wall_ns: int, actions: list[Action]) -> None:
        slot.attempt += 1
        slot.asked_at, slot.retry_at = mono_ns, _NEVER
        self.books.invalidate(i)
        self._tell(i, slot, BookState.RECOVERING, slot.reason, wall_ns, actions)
        actions.append(AskSnapshot(i, slot.attempt, slot.reason))
        self._due = min(self._due, slot.deadline())

    def _overdue(self, i: int, slot: _Slot, mono_ns: int, wall_ns: int, actions: list[Action]) -> None:
        if not self._ready:
            slot.asked_at = slot.retry_at = slot.crossed_at = _NEVER
            slot.heard_at = mono_ns
        elif slot.retry_at <= mono_ns:
            self._ask(i, slot, mono_ns, wall_ns, actions)
        elif slot.asked_at != _NEVER:
            self._break(i, BookReason.SNAPSHOT, mono_ns, wall_ns, actions)
        elif slot.crossed_at != _NEVER and slot.crossed_at + slot.rule.crossed_grace_ns <= mono_ns:
            self._break(i, BookReason.CROSSED, mono_ns, wall_ns, actions)
        else:
            self._break(i, BookReason.STALL, mono_ns, wall_ns, actions)
