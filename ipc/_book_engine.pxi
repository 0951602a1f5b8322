# Private books and their verification.


cdef class Book:
    cdef qd_engine e
    cdef void *owned  # the memory of a private book
    cdef object keep  # what a region's book points into

    def __init__(self, *, bint l3=False, uint32_t levels=4096, uint32_t orders=0, uint32_t max_depth=0, bint top_only=False):
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
        self.e.base = QD_LIVE  # a private book by itself starts as an empty market; in a BookSet it waits for a snapshot
        self.e.reason = QD_OK

    def __dealloc__(self):
        free(self.e.table)
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


cdef class Verdict:
    cdef readonly int instrument, reason
    cdef readonly bint snapshot
    cdef readonly bytes changes, bids, asks
    cdef readonly int64_t first_id, last_id, n_messages, seq_num, sending_ns, recv_ns, n_trades, defect_tag

    def __repr__(self):
        return (f"Verdict(instrument={self.instrument}, reason={REASONS[self.reason] or 'OK'}, snapshot={self.snapshot}, "
                f"messages={self.n_messages}, ids={self.first_id}..{self.last_id}, seq_num={self.seq_num})")


cdef class BookSet:
    cdef qd_checked *checked
    cdef int room, n_touched
    cdef int *touched
    cdef list books

    def __cinit__(self):
        self.books = []

    def __dealloc__(self):
        cdef int i
        for i in range(self.room):
            free(self.checked[i].changes.data)
        free(self.checked)
        free(self.touched)

    cdef int grow(self, int room) except -1:
        cdef qd_checked *checked = <qd_checked *>calloc(room, sizeof(qd_checked))
        cdef int *touched = <int *>calloc(room, sizeof(int))
        if checked is NULL or touched is NULL:
            free(checked)
            free(touched)
            raise MemoryError
        if self.room:
            memcpy(checked, self.checked, self.room * sizeof(qd_checked))
        free(self.checked)
        free(self.touched)
        self.checked, self.touched, self.room = checked, touched, room
        return 0

    def add(self, int instrument, Book book not None, *, int continuity=0, int checksum_levels=10, int px_drop=0,
            int qty_drop=0, bint crossed_is_stale=False):
        cdef qd_checked *c
        if not 0 <= instrument < 1 << 20:
            raise BookError(f"instrument index {instrument} is not in 0..{(1 << 20) - 1}")
        if not 0 <= continuity < QD_N_RULES:
            raise BookError(f"continuity {continuity} is not in 0..{QD_N_RULES - 1}")
        if instrument < self.room and self.checked[instrument].book is not NULL:
            raise BookError(f"instrument index {instrument} has a book already")
        if instrument >= self.room:
            self.grow(max(2 * self.room, instrument + 1, 16))
        c = &self.checked[instrument]
        c.px_div, c.qty_div = _power_of_ten(px_drop), _power_of_ten(qty_drop)
        c.book, c.continuity, c.checksum_levels = &book.e, continuity, checksum_levels
        c.crossed_is_stale = crossed_is_stale
        book.e.base, book.e.reason = QD_RECOVERING, QD_SNAPSHOT
        self.books.extend([None] * (instrument + 1 - len(self.books)))
        self.books[instrument] = book

    cdef qd_checked *at(self, int instrument) except NULL:
        if not 0 <= instrument < self.room or self.checked[instrument].book is NULL:
            raise BookError(f"no book for instrument index {instrument}")
        return &self.checked[instrument]

    def book(self, int instrument):
        self.at(instrument)
        return self.books[instrument]

    def expect(self, int instrument, req_key):
        self.at(instrument).req_key = <int64_t><uint64_t>(req_key & 0xFFFFFFFFFFFFFFFF)

    def invalidate(self, int instrument, int reason=QD_SNAPSHOT):
        cdef qd_engine *e = self.at(instrument).book
        qd_set_state(e, QD_RECOVERING, reason, e.recv_ns)

    def is_live(self, int instrument):
        return self.at(instrument).book.base == QD_LIVE

    def last_id(self, int instrument):
        return self.at(instrument).book.last_seq

    cdef Verdict close(self, int i):
        cdef qd_checked *c = &self.checked[i]
        cdef Verdict v = Verdict.__new__(Verdict)
        cdef Book book
        v.instrument, v.reason, v.snapshot = i, c.reason, c.snapshot
        v.first_id, v.last_id, v.n_messages, v.seq_num = c.first_id, c.last_id, c.n_messages, c.seq_num
        v.sending_ns, v.recv_ns, v.n_trades, v.defect_tag = c.sending_ns, c.recv_ns, c.n_trades, c.defect_tag
        v.changes = PyBytes_FromStringAndSize(c.changes.data, <Py_ssize_t>c.changes.size)
        v.bids = v.asks = b""
        if c.snapshot and c.reason == QD_OK:
            book = self.books[i]
            v.bids, v.asks = book.pack()
        c.open, c.changes.size = 0, 0
        return v

    cdef int note(self, int i, const char *r, int64_t trades, int reason, bint snapshot) except -1:
        """Adds a record to the open verdict of its instrument, opening one where there is none."""
        cdef qd_checked *c = &self.checked[i]
        cdef int64_t flags = qd_load64(r + 8 * QD_MD_FLAGS)
        if not c.open:
            c.open, c.reason, c.snapshot = 1, reason, snapshot
            c.n_messages = c.n_trades = c.defect_tag = 0
            c.first_id = qd_load64(r + 8 * (QD_MD_FIRST_ID if flags & QD_MD_HAS_FIRST_ID else QD_MD_SEQ_NUM))
            self.touched[self.n_touched] = i
            self.n_touched += 1
        c.last_id = qd_load64(r + 8 * (QD_MD_LAST_ID if flags & QD_MD_HAS_LAST_ID else QD_MD_SEQ_NUM))
        c.n_messages += reason != QD_DROP
        c.n_trades += trades
        c.seq_num = qd_load64(r + 8 * QD_MD_SEQ_NUM)
        c.sending_ns = qd_load64(r + 8 * QD_MD_SENDING_NS)
        c.recv_ns = qd_load64(r + 8 * QD_MD_RECV_NS)
        return 0

    cdef int flush(self, int i, list out) except -1:
        """Closes the open verdict of one instrument, if any, and takes it off the list of touched ones."""
        cdef int k
        if not self.checked[i].open:
            return 0
        out.append(self.close(i))
        for k in range(self.n_touched - 1, -1, -1):
            if self.touched[k] == i:
                self.n_touched -= 1
                self.touched[k] = self.touched[self.n_touched]
                break
        return 0

    cdef int one(self, const char *r, list out) except -1:
        cdef int64_t i64 = qd_load64(r + 8 * QD_MD_INSTRUMENT), trades = 0
        cdef bint snapshot = qd_load64(r + 8 * QD_MD_KIND) == 1
        cdef qd_checked *c
        cdef size_t changes
        cdef int reason, i
        if not 0 <= i64 < self.room or self.checked[i64].book is NULL:
            return 0
        i = <int>i64
        c = &self.checked[i]
        changes = qd_count_book_changes(r, &trades)
        reason = qd_verify(c, r, changes)
        if reason == QD_DROP:
            if trades:
                if c.open and c.reason != QD_OK:
                    self.flush(i, out)
                if c.open:
                    c.n_trades += trades
                else:
                    self.note(i, r, trades, QD_DROP, False)
                    c.reason = QD_OK
            return 0
        if c.open and (snapshot or c.reason != reason):
            self.flush(i, out)
        self.note(i, r, trades, reason, snapshot)
        if reason != QD_OK:
            c.defect_tag = qd_load64(r + 8 * QD_MD_DEFECT_TAG)
            if reason != QD_SNAPSHOT:
                self.flush(i, out)
        elif snapshot:
            self.flush(i, out)
        elif qd_pack_record(c.book, r, &c.changes):
            raise MemoryError
        return 0

    def verify_and_pack(self, records, Py_ssize_t n_words=-1):
        cdef _Memory m = _Memory(records, False)
        cdef size_t n = m.size // 8, at = 0, words
        cdef list out = []
        if n_words >= 0:
            if <size_t>n_words > n:
                raise SchemaError(f"{n_words} words of records in a buffer of {n}")
            n = <size_t>n_words
        self.n_touched = 0
        while at < n:
            words = qd_record_words(m.at + 8 * at, n - at)
            if words == 0:
                self.close_all(out)
                raise SchemaError(f"no whole market-data record at word {at} of {n}")
            self.one(m.at + 8 * at, out)
            at += words
        self.close_all(out)
        return out

    cdef int close_all(self, list out) except -1:
        cdef int k
        for k in range(self.n_touched):
            out.append(self.close(self.touched[k]))
        self.n_touched = 0
        return 0

    def trades(self, records, Py_ssize_t n_words=-1):
        cdef _Memory m = _Memory(records, False)
        cdef size_t n = m.size // 8 if n_words < 0 else min(<size_t>n_words, m.size // 8), at = 0, words, k
        cdef const char *r
        cdef const char *p
        cdef list out = []
        while at < n:
            words = qd_record_words(m.at + 8 * at, n - at)
            if words == 0:
                raise SchemaError(f"no whole market-data record at word {at} of {n}")
            r = m.at + 8 * at
            for k in range(<size_t>qd_load64(r)):
                p = r + 8 * (QD_MD_HEADER + k * QD_MD_CHANGE)
                if qd_load64(p) & 255 == 2:
                    out.append((qd_load64(r + 8 * QD_MD_INSTRUMENT), qd_load64(p + 8), qd_load64(p + 16),
                                qd_load64(p) >> 16 & 255, qd_load64(p + 24), qd_load64(p + 32),
                                qd_load64(r + 8 * QD_MD_SEQ_NUM)))
            at += words
        return out
