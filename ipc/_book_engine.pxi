# Books: the engine as Python sees it.


cdef class Book:
    cdef qd_engine e
    cdef void *owned  # the memory of a private book
    cdef object keep  # what a region's book points into

    def __init__(self, *, bint l3=False, uint32_t levels=4096, uint32_t orders=0, uint32_t max_depth=0, bint top_only=False,
                 bint ignore_unknown=False, bint rise_requeues=False):
        if self.e.book is not NULL:
            raise BookError("a book is made once")
        if levels < 1 or (l3 and orders < 1) or (l3 and top_only):
            raise BookError(f"a book needs room: levels={levels}, orders={orders} (L3), and top_only is of L2")
        cdef uint32_t kind = 3 if l3 else 2
        cdef size_t size = qd_extent_size(kind, qd_side_levels(levels), orders)
        self.owned = calloc(1, sizeof(qd_book) + size)
        if self.owned is NULL:
            raise MemoryError
        if qd_init(&self.e, <qd_book *>self.owned, <char *>self.owned + sizeof(qd_book), kind, levels, orders, max_depth, 0):
            raise MemoryError
        self.e.top_only = top_only
        self.e.ignore_unknown = ignore_unknown
        self.e.rise_requeues = rise_requeues
        self.e.base = QD_LIVE  # a private book by itself starts as an empty market; in a BookSet it waits for a snapshot
        self.e.reason = QD_OK

    def __dealloc__(self):
        free(self.e.table)
        free(self.e.cuts.data)
        free(self.owned)

    @property
    def l3(self):
        return self.e.kind == 3

    @property
    def max_depth(self):
        return self.e.max_depth

    def apply(self, int64_t what, int64_t px, int64_t qty, uint64_t key=0, int64_t time_ns=0):
        cdef int reason
        if self.e.base != QD_LIVE:
            return QD_SNAPSHOT
        qd_begin(&self.e)
        reason = qd_change(&self.e, what, px, qty, key, time_ns)
        if reason != QD_OK:
            return qd_fail(&self.e, reason)
        qd_message_end(&self.e)
        return reason

    def apply_changes(self, changes, int64_t last_seq=0, int64_t venue_ns=0, int64_t recv_ns=0):
        cdef Py_buffer b
        cdef int reason
        PyObject_GetBuffer(changes, &b, PyBUF_SIMPLE)
        reason = qd_apply_packed(&self.e, <const char *>b.buf, <size_t>b.len, last_seq, venue_ns, recv_ns)
        PyBuffer_Release(&b)
        return reason

    def replace(self, bids, asks, int64_t last_seq=0, int64_t venue_ns=0, int64_t recv_ns=0):
        cdef _Memory b = _Memory(bids, False), a = _Memory(asks, False)
        return qd_replace(&self.e, b.at, b.size, a.at, a.size, last_seq, venue_ns, recv_ns)

    def apply_record(self, records, size_t offset=0):
        cdef _Memory r = _Memory(records, False)
        if offset > r.size // 8 or qd_record_words(r.at + 8 * offset, r.size // 8 - offset) == 0:
            raise SchemaError(f"no whole market-data record at word {offset} of {r.size // 8}")
        return qd_apply_record(&self.e, r.at + 8 * offset)

    def clear(self):
        qd_clear(&self.e)
        qd_message_end(&self.e)

    cdef bytes packed_side(self, int side):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>qd_packed_side_size(&self.e, side))
        qd_pack_side(&self.e, side, PyBytes_AS_STRING(out))
        return out

    def pack(self):
        return self.packed_side(0), self.packed_side(1)

    cdef void best(self, int64_t *words):
        cdef int side
        for side in range(2):
            words[2 * side] = words[2 * side + 1] = 0
            if self.e.n[side]:
                memcpy(words + 2 * side, qd_at(&self.e, side, self.e.n[side] - 1), 16)

    def bbo(self):
        cdef int64_t words[4]
        self.best(words)
        return _ints(words, 4)

    def top(self, uint32_t levels=10):
        cdef int64_t *words
        cdef uint32_t i
        cdef int side
        if levels > 1_000_000:
            raise BookError(f"top({levels}): at most 1000000 levels")
        words = <int64_t *>calloc(4 * levels + 1, 8)
        if words is NULL:
            raise MemoryError
        try:
            for side in range(2):
                for i in range(min(levels, self.e.n[side])):
                    memcpy(words + 2 * (levels * side + i), qd_at(&self.e, side, self.e.n[side] - 1 - i), 16)
            return _ints(words, 4 * levels)
        finally:
            free(words)

    def side(self, int side):
        cdef list out = []
        cdef uint32_t i
        cdef int64_t *level
        side = _side(side)
        for i in range(self.e.n[side], 0, -1):
            level = qd_at(&self.e, side, i - 1)
            out.append((level[0], level[1], level[2] if self.e.kind == 3 else 0))
        return out

    def orders(self, int side):
        cdef bytes packed = self.packed_side(_side(side))
        cdef const int64_t *w = <const int64_t *>PyBytes_AS_STRING(packed)
        if self.e.kind != 3:
            return []
        return [_order(w + 4 * i) for i in range(len(packed) // 32)]

    def crc32_top(self, uint32_t levels=10, int px_drop=0, int qty_drop=0):
        return qd_crc32_top(&self.e, levels, _power_of_ten(px_drop), _power_of_ten(qty_drop))

    @property
    def n_levels(self):
        return self.e.n[0], self.e.n[1]

    @property
    def n_orders(self):
        return self.e.n_orders

    @property
    def messages(self):
        return self.e.messages

    @property
    def crossed(self):
        return qd_is_crossed(&self.e) != 0


cdef int _side(int side) except -1:
    if side not in (0, 1):
        raise BookError(f"a side is 0 (bids) or 1 (offers), not {side}")
    return side


cdef tuple _order(const int64_t *w):
    return (w[0], w[1], <uint64_t>w[2], w[3])
