# Records to verified, packed changes.


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
