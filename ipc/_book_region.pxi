# The writer's side of a region. Files, locks and names are ipc/books.py's business.


def region_size(specs):
    """Bytes of a region with these books: (venue, instrument, px_scale, qty_scale, kind, levels, orders) each."""
    cdef size_t size = _books_at(len(specs))
    for spec in specs:
        size = _after_book(size, spec[4], spec[5], spec[6])
    return size


cdef size_t _round(size_t n):
    return (n + 63) & ~<size_t>63


cdef size_t _books_at(size_t n):
    return _round(sizeof(qd_region) + n * sizeof(qd_entry))


cdef size_t _after_book(size_t at, uint32_t kind, uint32_t levels, uint32_t orders):
    return at + sizeof(qd_book) + _round(qd_extent_size(kind, qd_side_levels(levels), orders if kind == 3 else 0))


cdef int _put_name(char *to, size_t room, str name, str field) except -1:
    cdef bytes b = name.encode()
    if not b or <size_t>len(b) >= room or 0 in b:
        raise RegionError(f"{field}: {name!r} is not a name of 1 to {room - 1} bytes")
    memcpy(to, PyBytes_AS_STRING(b), len(b))
    return 0


def format_region(memory, specs, uint64_t generation, uint64_t heartbeat_limit_ns, uint64_t created_ns, uint64_t mono_ns):
    """Lays out an empty region in zeroed memory of exactly region_size(specs) bytes."""
    cdef _Memory m = _Memory(memory, True)
    cdef qd_region *r = <qd_region *>m.at
    cdef qd_entry *e
    cdef size_t at = _books_at(len(specs))
    if m.size != region_size(specs) or generation == 0:
        raise RegionError(f"a region of {len(specs)} books takes {region_size(specs)} bytes, not {m.size}; generation > 0")
    for i, (venue, instrument, px_scale, qty_scale, kind, levels, orders) in enumerate(specs):
        if kind not in (2, 3) or not 1 <= levels < 1 << 26 or (kind == 3 and not 1 <= orders < 1 << 30):
            raise RegionError(f"{venue} {instrument}: L{kind} with room for {levels} levels and {orders} orders")
        e = <qd_entry *>(m.at + sizeof(qd_region)) + <size_t>i
        _put_name(e.venue, sizeof(e.venue), venue, "venue")
        _put_name(e.instrument, sizeof(e.instrument), instrument, "instrument")
        e.px_scale, e.qty_scale, e.kind, e.levels = px_scale, qty_scale, kind, levels
        e.orders = orders if kind == 3 else 0
        e.side_levels = qd_side_levels(levels)
        e.extent_size = qd_extent_size(e.kind, e.side_levels, e.orders)
        e.book, e.extent = at, at + sizeof(qd_book)
        at = _after_book(at, kind, levels, orders)
    r.layout, r.header_size, r.generation, r.file_size = QD_BOOK_LAYOUT, sizeof(qd_region), generation, m.size
    r.n_books, r.entry_size, r.directory = <uint32_t>len(specs), sizeof(qd_entry), sizeof(qd_region)
    r.heartbeat_limit_ns, r.created_ns, r.heartbeat_mono_ns, r.state = heartbeat_limit_ns, created_ns, mono_ns, QD_ACTIVE
    memcpy(r.magic, QD_BOOK_MAGIC, 8)


def retire_region(memory):
    """Marks a region that another one has replaced; RegionError when it is none."""
    cdef _Memory m = _Memory(memory, True)
    cdef const char *wrong = qd_region_check(m.at, m.size)
    if wrong is not NULL:
        raise RegionError(f"{wrong.decode()} is not that of a book region")
    _atomic_store(&(<qd_region *>m.at).state, QD_RETIRED)


cdef class RegionWriter:
    cdef _Memory memory
    cdef qd_region *region
    cdef list made

    def __init__(self, memory, str name):
        cdef const char *wrong
        self.memory = _Memory(memory, True)
        wrong = qd_region_check(self.memory.at, self.memory.size)
        if wrong is not NULL:
            raise RegionError(f"{name}: {wrong.decode()} is not that of a book region of layout {QD_BOOK_LAYOUT}")
        self.region = <qd_region *>self.memory.at
        self.made = [self.make(i) for i in range(self.region.n_books)]

    def heartbeat(self, uint64_t mono_ns):
        _atomic_store(&self.region.heartbeat_mono_ns, mono_ns)

    def retire(self):
        _atomic_store(&self.region.state, QD_RETIRED)

    @property
    def generation(self):
        return self.region.generation

    cdef SharedBook make(self, uint32_t index):
        cdef const qd_entry *d = qd_entry_at(self.memory.at, index)
        cdef SharedBook b = SharedBook.__new__(SharedBook)
        b.keep = self.memory
        if qd_init(&b.e, <qd_book *>(self.memory.at + d.book), self.memory.at + d.extent, d.kind, d.levels, d.orders, 0, 1):
            raise MemoryError
        qd_set_state(&b.e, QD_RECOVERING, QD_START, <int64_t>self.region.created_ns)
        return b

    def book(self, uint32_t index, *, uint32_t max_depth=0, bint top_only=False):
        cdef SharedBook b
        if index >= self.region.n_books:
            raise RegionError(f"no book {index} in a region of {self.region.n_books}")
        b = self.made[index]
        b.e.max_depth, b.e.top_only = max_depth, top_only
        return b


cdef class SharedBook(Book):
    def __init__(self, *args, **kwargs):
        raise BookError("a shared book comes from its region: RegionWriter.book")

    def set_status(self, int state, int reason, int64_t since_ns):
        if state == QD_CROSSED:
            state = QD_LIVE  # shown as CROSSED while it is
        if state not in (QD_RECOVERING, QD_LIVE, QD_STALE, QD_HALTED) or not 0 <= reason < QD_N_REASONS:
            raise BookError(f"state {state}, reason {reason}: RECOVERING, LIVE, STALE or HALTED with a reason of ipc/book.h")
        if state == QD_LIVE and self.e.base != QD_LIVE:
            raise BookError(f"a book that is {STATES[self.e.base]} becomes LIVE by a snapshot only")
        qd_set_state(&self.e, state, 0 if state == QD_LIVE else reason, since_ns)

    @property
    def status(self):
        return self.e.shown, self.e.shown_reason, self.e.since_ns


cdef extern from *:
    """
    static inline void qd_atomic_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    """
    void _atomic_store "qd_atomic_store"(uint64_t *p, uint64_t v) nogil
