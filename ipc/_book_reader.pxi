# The readers' side: nothing here writes to a region.

import os as _os
import time as _time

cdef extern from "unistd.h":
    int close(int fd)

cdef int TRIES = 64  # a try of best or top fails only when 7 versions were published during it


cdef class RegionView:
    cdef _Memory memory
    cdef int fd
    cdef readonly str name

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)

    def __init__(self, memory, str name, int fd):
        cdef const char *wrong
        self.memory, self.name = _Memory(memory, False), name
        if self.fd < 0:
            self.fd = _os.dup(fd)
        wrong = qd_region_check(self.memory.at, self.memory.size)
        if wrong is not NULL:
            raise RegionError(f"{name}: {wrong.decode()} is not that of a book region of layout {QD_BOOK_LAYOUT} "
                              f"({self.memory.size} bytes)")

    cdef const qd_region *header(self):
        return <const qd_region *>self.memory.at

    @property
    def generation(self):
        return self.header().generation

    @property
    def retired(self):
        return self.header().state != QD_ACTIVE

    @property
    def heartbeat_mono_ns(self):
        return self.header().heartbeat_mono_ns

    @property
    def writer_state(self):
        return qd_writer_state(self.memory.at, self.fd)

    def instruments(self):
        cdef uint32_t i
        cdef const qd_entry *e
        out = []
        for i in range(self.header().n_books):
            e = qd_entry_at(self.memory.at, i)
            out.append(((<const char *>e.venue).decode(), (<const char *>e.instrument).decode(), e.px_scale, e.qty_scale, e.kind, e.levels, e.orders))
        return out


cdef class BookReader:
    cdef object region
    cdef RegionView view
    cdef const char *base
    cdef const qd_entry *entry
    cdef const qd_book *book
    cdef readonly str venue, instrument
    cdef int kind
    cdef public int tries
    cdef readonly int worst_tries

    def __init__(self, region, str venue, str instrument, int kind=0):
        self.region, self.venue, self.instrument, self.kind, self.tries = region, venue, instrument, kind, TRIES
        self.bind(region.view)

    cdef int bind(self, RegionView view) except -1:
        cdef bytes venue = self.venue.encode(), instrument = self.instrument.encode()
        cdef const qd_entry *e = qd_find_entry(view.memory.at, venue, instrument, self.kind)
        if e is NULL:
            raise RegionError(f"{view.name}: no book of {self.venue} {self.instrument}"
                              + (f" at level {self.kind}" if self.kind else ""))
        self.kind = e.kind  # whichever level stood first is the one that is followed
        self.view, self.base, self.entry = view, view.memory.at, e
        self.book = qd_book_at(self.base, e)
        return 0

    @property
    def level(self):
        return self.entry.kind

    @property
    def px_scale(self):
        return self.entry.px_scale

    @property
    def qty_scale(self):
        return self.entry.qty_scale

    cdef int attend(self) except -1:
        """0, or the reason why nobody stands behind the region, after having looked for a successor."""
        if not qd_unattended(self.base):
            return QD_OK
        view = self.region.follow()
        if view is not self.view:
            self.bind(view)
        return qd_writer_state(self.base, self.view.fd)

    cdef int done(self, int tries, str area) except -1:
        if tries < 1:
            raise BookBusyError(f"{self.view.name}: {self.venue} {self.instrument}: {area} changed during each of "
                                f"{self.tries} tries")
        if tries > self.worst_tries:
            self.worst_tries = tries
        return 0

    cdef int raise_stale(self, const int64_t *word, int reason) except -1:
        state, why, since_ns = self.status_of(word, reason)
        raise StaleBookError(f"{self.venue} {self.instrument}: {STATES[state]} ({REASONS[why]})", STATES[state], REASONS[why],
                             since_ns)

    cdef tuple status_of(self, const int64_t *word, int reason):
        cdef const qd_region *r = self.view.header()
        if reason != QD_OK:
            since = _time.time_ns() - max(_time.monotonic_ns() - r.heartbeat_mono_ns, 0)
            return QD_STALE, reason, since
        return word[QD_W_STATE] & 255, word[QD_W_STATE] >> 8 & 255, word[QD_W_SINCE_NS]

    cdef int read_best(self, int64_t *word) except -1:
        cdef int reason = QD_OK, tries
        if qd_unattended(self.base):
            reason = self.attend()
        tries = qd_read_best(self.book, word, self.tries)
        if tries != 1:
            self.done(tries, "best bid and offer")
        return reason

    def bbo(self):
        cdef int64_t word[QD_N_WORDS]
        cdef int reason = self.read_best(word)
        if reason != QD_OK or word[QD_W_STATE] != QD_LIVE:
            self.raise_stale(word, reason)
        return word[QD_W_BID_PX], word[QD_W_BID_QTY], word[QD_W_ASK_PX], word[QD_W_ASK_QTY]

    def bbo_any(self):
        cdef int64_t word[QD_N_WORDS]
        cdef int reason = self.read_best(word)
        return (QD_STALE if reason else word[QD_W_STATE] & 255, word[QD_W_BID_PX], word[QD_W_BID_QTY], word[QD_W_ASK_PX],
                word[QD_W_ASK_QTY])

    def status(self):
        cdef int64_t word[QD_N_WORDS]
        cdef int reason = self.read_best(word)
        return self.status_of(word, reason)

    def times(self):
        cdef int64_t word[QD_N_WORDS]
        self.read_best(word)
        return word[QD_W_LAST_SEQ], word[QD_W_VENUE_NS], word[QD_W_RECV_NS], word[QD_W_MESSAGES]

    cdef int read_top(self, int64_t *word, int64_t *level, int levels) except -1:
        cdef int reason = QD_OK, tries
        if not 0 < levels <= QD_TOP_LEVELS:
            raise BookError(f"top({levels}): 1 to {QD_TOP_LEVELS} levels; depth() reads more")
        if qd_unattended(self.base):
            reason = self.attend()
        tries = qd_read_top(self.book, word, level, NULL, levels, self.tries)
        if tries != 1:
            self.done(tries, "top of the book")
        return reason

    def top(self, int levels=10):
        cdef int64_t word[QD_N_WORDS]
        cdef int64_t level[200]
        cdef int reason = self.read_top(word, level, levels)
        if reason != QD_OK or word[QD_W_STATE] != QD_LIVE:
            self.raise_stale(word, reason)
        return _ints(level, 4 * levels)

    def top_any(self, int levels=10):
        cdef int64_t word[QD_N_WORDS]
        cdef int64_t level[201]
        cdef int reason = self.read_top(word, level + 1, levels)
        level[0] = QD_STALE if reason else word[QD_W_STATE] & 255
        return _ints(level, 4 * levels + 1)

    cdef tuple read_depth(self, int64_t *word, size_t levels):
        cdef int reason = self.attend(), tries, side
        cdef size_t n[2]
        cdef size_t room = levels if levels else self.entry.levels
        cdef int64_t *sides[2]
        cdef int64_t *memory
        room = min(room, <size_t>self.entry.levels)
        memory = <int64_t *>malloc(48 * room)
        if memory is NULL:
            raise MemoryError
        try:
            sides[0], sides[1] = memory, memory + 3 * room
            tries = qd_read_depth(self.base, self.entry, word, sides, room, 1, n, self.tries)
            if tries < 1 and not reason:
                reason = self.attend()
            if tries < 1 and reason:
                self.raise_stale(word, reason)
            self.done(tries, "depth")
            return reason, [_triples(sides[side], n[side]) for side in range(2)]
        finally:
            free(memory)

    def depth(self, size_t levels=0):
        cdef int64_t word[QD_N_WORDS]
        reason, sides = self.read_depth(word, levels)
        if reason or word[QD_W_STATE] != QD_LIVE:
            self.raise_stale(word, reason)
        return sides[0], sides[1]

    def depth_any(self, size_t levels=0):
        cdef int64_t word[QD_N_WORDS]
        reason, sides = self.read_depth(word, levels)
        return QD_STALE if reason else word[QD_W_STATE] & 255, sides[0], sides[1]

    cdef list read_side_orders(self, int64_t *word, int side, size_t levels, int reason):
        cdef size_t n = 0, i, room = self.entry.orders
        cdef int64_t *memory
        cdef int tries
        if self.entry.kind != 3:
            raise BookError(f"{self.venue} {self.instrument} is an L2 book: it has no orders")
        memory = <int64_t *>malloc(32 * room)
        if memory is NULL:
            raise MemoryError
        try:
            tries = qd_read_orders(self.base, self.entry, word, side, levels, memory, room, &n, self.tries)
            if tries < 1 and not reason:
                reason = self.attend()
            if tries < 1 and reason:
                self.raise_stale(word, reason)
            self.done(tries, "queue of orders")
            return [_order(memory + 4 * i) for i in range(n)]
        finally:
            free(memory)

    def orders(self, size_t levels=0):
        cdef int64_t word[QD_N_WORDS]
        cdef int64_t again[QD_N_WORDS]
        cdef int reason = self.attend()
        for _ in range(self.tries):
            bids = self.read_side_orders(word, 0, levels, reason)
            asks = self.read_side_orders(again, 1, levels, reason)
            if word[QD_W_MESSAGES] == again[QD_W_MESSAGES] and word[QD_W_STATE] == again[QD_W_STATE]:
                if reason or word[QD_W_STATE] != QD_LIVE:
                    self.raise_stale(word, reason)
                return bids, asks
        return self.done(QD_BUSY, "queue of orders")


cdef list _triples(const int64_t *w, size_t n):
    cdef size_t i
    return [(w[3 * i], w[3 * i + 1], w[3 * i + 2]) for i in range(n)]
