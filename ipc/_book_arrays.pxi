# Books for arrays: copies in one piece, and pins, which show a reader's mapping itself and say whether it still holds.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.buffer cimport PyBuffer_FillInfo

cdef extern from "ipc/book.h" nogil:
    uint64_t qd_acquire(const uint64_t *p)
    int qd_unchanged(const uint64_t *seq, uint64_t seen)
    int64_t qd_ld(const int64_t *p)
    void qd_copy(int64_t *to, const int64_t *start, size_t n)
    uint32_t qd_level_words(uint32_t kind)
    enum:
        QD_VERSIONS
    ctypedef struct qd_top:
        uint64_t seq
        int64_t word[QD_N_WORDS]
        int64_t level[2][50][2]
        int64_t orders[2][50]
    ctypedef struct qd_whole "qd_book":
        uint64_t head, depth_seq
        int64_t word[QD_N_WORDS]
        int64_t start[2]
        qd_top top[QD_VERSIONS]


cdef int demand_live(BookReader r, const int64_t *word, int reason) except -1:
    if reason != QD_OK or word[QD_W_STATE] != QD_LIVE:
        r.raise_stale(word, reason)
    return 0


cdef int read_all_of_top(BookReader r, int64_t *word, int64_t *level, int64_t *orders, int levels) except -1:
    cdef int reason = QD_OK, tries
    if not 0 < levels <= QD_TOP_LEVELS:
        raise BookError(f"{levels} levels: 1 to {QD_TOP_LEVELS} stand at the top; the depth has more")
    if qd_unattended(r.base):
        reason = r.attend()
    tries = qd_read_top(r.book, word, level, orders, levels, r.tries)
    if tries != 1:
        r.done(tries, "top of the book")
    return demand_live(r, word, reason)


def copy_top(BookReader r, int levels):
    """(words of enum qd_word, levels x (px, qty) of bids then of offers, levels counts of orders of each): one version."""
    cdef int64_t word[QD_N_WORDS]
    cdef int64_t level[200]
    cdef int64_t orders[100]
    read_all_of_top(r, word, level, orders, levels)
    return _ints(word, QD_N_WORDS), _ints(level, 4 * levels), _ints(orders, 2 * levels)


def depth_words(BookReader r, size_t levels):
    """(words of enum qd_word, ((px, qty, orders) of bids, of offers)): one version of the full depth; 0: all of it."""
    cdef int64_t word[QD_N_WORDS]
    reason, sides = r.read_depth(word, levels)
    demand_live(r, word, reason)
    return _ints(word, QD_N_WORDS), sides


def top_bytes(BookReader r, int levels):
    """Bids, then offers: levels x (px, qty, orders) of int64 each, zeros where there is none."""
    cdef int64_t word[QD_N_WORDS]
    cdef int64_t level[200]
    cdef int64_t orders[100]
    cdef int64_t *to
    cdef int i
    read_all_of_top(r, word, level, orders, levels)
    out = PyByteArray_FromStringAndSize(NULL, 48 * levels)
    to = <int64_t *>PyByteArray_AS_STRING(out)
    for i in range(2 * levels):
        to[3 * i], to[3 * i + 1], to[3 * i + 2] = level[2 * i], level[2 * i + 1], orders[i]
    return out


def depth_bytes(BookReader r, size_t levels):
    """(bids, offers): (px, qty, orders) of int64 of each level, best first, of one version of the full depth; 0: all."""
    cdef int64_t word[QD_N_WORDS]
    cdef int reason = r.attend(), tries
    cdef size_t n[2]
    cdef size_t room = min(levels, <size_t>r.entry.levels) if levels else r.entry.levels
    cdef int64_t *sides[2]
    cdef int64_t *memory = <int64_t *>malloc(48 * room)
    if memory is NULL:
        raise MemoryError
    try:
        sides[0], sides[1] = memory, memory + 3 * room
        tries = qd_read_depth(r.base, r.entry, word, sides, room, 1, n, r.tries)
        if tries < 1 and not reason:
            reason = r.attend()
        if tries < 1 and reason:
            r.raise_stale(word, reason)
        r.done(tries, "depth")
        demand_live(r, word, reason)
        return (PyByteArray_FromStringAndSize(<char *>sides[0], 24 * n[0]),
                PyByteArray_FromStringAndSize(<char *>sides[1], 24 * n[1]))
    finally:
        free(memory)


cdef object side_orders_bytes(BookReader r, int64_t *word, int side, size_t levels, int reason):
    cdef size_t n = 0, room = r.entry.orders
    cdef int tries
    cdef int64_t *memory = <int64_t *>malloc(32 * room)
    if memory is NULL:
        raise MemoryError
    try:
        tries = qd_read_orders(r.base, r.entry, word, side, levels, memory, room, &n, r.tries)
        if tries < 1 and not reason:
            reason = r.attend()
        if tries < 1 and reason:
            r.raise_stale(word, reason)
        r.done(tries, "queue of orders")
        return PyByteArray_FromStringAndSize(<char *>memory, 32 * n)
    finally:
        free(memory)


def order_bytes(BookReader r, size_t levels):
    """L3, (bids, offers): (px, qty, key, time_ns) of int64 of each order, in queue order; of the best levels, 0: all."""
    cdef int64_t word[QD_N_WORDS]
    cdef int64_t again[QD_N_WORDS]
    cdef int reason
    if r.entry.kind != 3:
        raise BookError(f"{r.venue} {r.instrument} is an L2 book: it has no orders")
    reason = r.attend()
    for _ in range(r.tries):
        bids = side_orders_bytes(r, word, 0, levels, reason)
        asks = side_orders_bytes(r, again, 1, levels, reason)
        if word[QD_W_MESSAGES] == again[QD_W_MESSAGES] and word[QD_W_STATE] == again[QD_W_STATE]:
            demand_live(r, word, reason)
            return bids, asks
    return r.done(QD_BUSY, "queue of orders")


cdef class Pin:
    """A piece of a region as it stands there, read-only, and the sequence word that tells whether it still holds."""

    cdef RegionView view
    cdef const uint64_t *seq
    cdef uint64_t seen
    cdef const void *at
    cdef Py_ssize_t size
    cdef readonly tuple words

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, <void *>self.at, self.size, 1, flags)

    def valid(self):
        """Whether nothing of it has been written since it was pinned; what was read before a True was whole."""
        return qd_unchanged(self.seq, self.seen) != 0


def pin_top(BookReader r):
    """(pin, bids, offers): the newest version of the top; 50 x (px, qty) of bids, as many of offers, 50 + 50 counts of
    orders (int64). How many levels of a side count is told beside it.
    """
    cdef int64_t word[QD_N_WORDS]
    cdef const qd_whole *b = <const qd_whole *>r.book
    cdef const qd_top *slot
    cdef uint64_t version, seq
    cdef int reason = QD_OK
    cdef Pin pin = Pin.__new__(Pin)
    if qd_unattended(r.base):
        reason = r.attend()
        b = <const qd_whole *>r.book
    for _ in range(r.tries):
        version = qd_acquire(&b.head)
        slot = &b.top[version % QD_VERSIONS]
        seq = qd_acquire(&slot.seq)
        if seq == 2 * version:
            qd_copy(word, slot.word, QD_N_WORDS)
            if qd_unchanged(&slot.seq, seq):
                demand_live(r, word, reason)
                pin.view, pin.seq, pin.seen = r.view, &slot.seq, seq
                pin.at, pin.size, pin.words = <const void *>&slot.level[0][0][0], 2400, _ints(word, QD_N_WORDS)
                return pin, min(word[QD_W_N_BIDS], QD_TOP_LEVELS), min(word[QD_W_N_ASKS], QD_TOP_LEVELS)
    return r.done(QD_BUSY, "top of the book")


def pin_depth(BookReader r):
    """(pin, words a level, (first level, levels) of bids, of offers): the extent of the full depth, each side worst first,
    levels of 2 words (px, qty), of an L3 book 4 (px, qty, orders, queue).
    """
    cdef int64_t word[QD_N_WORDS]
    cdef const qd_whole *b = <const qd_whole *>r.book
    cdef uint64_t seq
    cdef uint64_t start[2]
    cdef uint64_t held[2]
    cdef int reason = r.attend(), side
    cdef uint32_t width = qd_level_words(r.entry.kind)
    cdef Pin pin = Pin.__new__(Pin)
    b = <const qd_whole *>r.book
    for _ in range(r.tries):
        seq = qd_acquire(&b.depth_seq)
        if seq & 1:
            continue
        qd_copy(word, b.word, QD_N_WORDS)
        for side in range(2):
            start[side], held[side] = <uint64_t>qd_ld(&b.start[side]), <uint64_t>word[QD_W_N_BIDS + side]
        if qd_unchanged(&b.depth_seq, seq):
            demand_live(r, word, reason)
            pin.view, pin.seq, pin.seen = r.view, &b.depth_seq, seq
            pin.at, pin.size = r.base + r.entry.extent, <Py_ssize_t>(16 * <uint64_t>r.entry.side_levels * width)
            pin.words = _ints(word, QD_N_WORDS)
            return pin, width, (start[0], held[0]), (r.entry.side_levels + start[1], held[1])
    return r.done(QD_BUSY, "depth")
