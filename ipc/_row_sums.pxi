# Sums over exposure rows of status pages (ipc/exposure.py), and limits on them; see _words.pyi.

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc

cdef extern from *:
    """
    typedef __int128 qd_wide;  /* quantities at 18 decimals do not fit 64 bits */
    """
    ctypedef long long qd_wide

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

cdef int ROW_BYTES = 144  # of a row's record: 9 words of names and scales, 9 of figures
cdef int IDENTITY = 9
cdef object WIDEST = 1 << 126


cdef qd_wide wide_of(object number) except? -1:
    """Saturates."""
    cdef int overflow = 0
    cdef long long small = PyLong_AsLongLongAndOverflow(number, &overflow)
    cdef int64_t high
    cdef uint64_t low
    if not overflow:
        return small
    number = max(-WIDEST, min(WIDEST, number))
    high, low = number >> 64, number & 0xFFFFFFFFFFFFFFFF
    return <qd_wide>high * (<qd_wide>(<uint64_t>1 << 63) * 2) + low


cdef object number_of(qd_wide wide):
    cdef int64_t high = <int64_t>(wide >> 64)
    cdef uint64_t low = <uint64_t>wide
    return ((<object>high) << 64) + low


@cython.final
cdef class RowSums:
    cdef qd_wide *at
    cdef int n

    def __dealloc__(self):
        free(self.at)

    def add(self, int many=1):
        cdef qd_wide *at = <qd_wide *>realloc(self.at, (self.n + many) * sizeof(qd_wide))
        cdef int first = self.n
        cdef int i
        if at == NULL:
            raise MemoryError
        self.at = at
        for i in range(many):
            at[first + i] = 0
        self.n += many
        return first

    def value(self, int i):
        self.check(i, 1)
        return number_of(self.at[i])

    cdef int check(self, int i, int many) except -1:
        if i < 0 or i + many > self.n:
            raise IndexError(f"no sum {i}; there are {self.n}")
        return 0


@cython.final
cdef class RowShare:
    cdef RowSums sums
    cdef qd_wide unit, worth
    cdef int64_t open_orders, buys, sells, position
    cdef int n_counts, n_held, n_gross
    cdef int *targets

    def __dealloc__(self):
        free(self.targets)

    def __init__(self, RowSums sums not None, unit, counts, held, gross):
        cdef int i = 0
        self.sums, self.unit = sums, wide_of(unit)
        self.n_counts, self.n_held, self.n_gross = len(counts), len(held), len(gross)
        free(self.targets)
        self.targets = <int *>calloc(self.n_counts + self.n_held + self.n_gross + 1, sizeof(int))
        if self.targets == NULL:
            raise MemoryError
        for many, indexes in ((1, counts), (3, held), (1, gross)):
            for index in indexes:
                sums.check(index, many)
                self.targets[i] = index
                i += 1

    def now(self, int64_t open_orders, int64_t buys, int64_t sells, int64_t position, notional):
        self.take(open_orders, buys, sells, position, wide_of(notional))

    cdef void take(self, int64_t open_orders, int64_t buys, int64_t sells, int64_t position, qd_wide worth) noexcept:
        cdef qd_wide *at = self.sums.at
        cdef int *target = self.targets
        cdef qd_wide more_buys = (<qd_wide>buys - self.buys) * self.unit
        cdef qd_wide more_sells = (<qd_wide>sells - self.sells) * self.unit
        cdef qd_wide more_position = (<qd_wide>position - self.position) * self.unit
        cdef int i
        for i in range(self.n_counts):
            at[target[i]] += <qd_wide>open_orders - self.open_orders
        target += self.n_counts
        for i in range(self.n_held):
            at[target[i]] += more_position
            at[target[i] + 1] += more_buys
            at[target[i] + 2] += more_sells
        target += self.n_held
        for i in range(self.n_gross):
            at[target[i]] += worth - self.worth
        self.open_orders, self.buys, self.sells, self.position, self.worth = open_orders, buys, sells, position, worth


@cython.final
cdef class RowPage:
    cdef Words words
    cdef Py_ssize_t first, stride, rows_at, moved_at
    cdef uint64_t moved
    cdef int room
    cdef uint64_t *versions
    cdef uint64_t *identities
    cdef list shares

    def __dealloc__(self):
        free(self.versions)
        free(self.identities)

    def __init__(self, Words words not None, Py_ssize_t first, Py_ssize_t stride, Py_ssize_t rows_at,
                 Py_ssize_t moved_at):
        if self.versions != NULL or stride * 8 < ROW_BYTES + 16:
            raise RegionError(f"{words.path}: rows of {stride} words")
        self.words, self.first, self.stride, self.rows_at, self.moved_at = words, first, stride, rows_at, moved_at
        self.room = max((words.count - first) // stride, 0)
        words.load(rows_at)
        words.load(moved_at)
        self.versions = <uint64_t *>calloc(self.room + 1, sizeof(uint64_t))
        self.identities = <uint64_t *>calloc((self.room + 1) * IDENTITY, sizeof(uint64_t))
        if self.versions == NULL or self.identities == NULL:
            raise MemoryError
        self.shares = [None] * self.room

    cpdef int refresh(self) except -1:
        cdef uint64_t moved = qd_load(self.words._data + self.moved_at)
        cdef uint64_t before = self.moved
        cdef uint64_t i = moved & 0xFFFF
        if moved == before:
            return 0
        self.moved = moved
        if moved >> 16 == (before >> 16) + 1 and i < <uint64_t>self.room and self.shares[i] is not None:
            return self.row(i)
        return self.scan()

    cpdef int scan(self) except -1:
        cdef uint64_t rows = qd_load(self.words._data + self.rows_at)
        cdef int count = self.room if rows > <uint64_t>self.room else <int>rows
        cdef int i
        cdef int strange = 0
        self.moved = qd_load(self.words._data + self.moved_at)
        for i in range(count):
            if qd_load(self.words._data + self.first + i * self.stride) != self.versions[i] or self.shares[i] is None:
                strange |= self.row(i)
        return strange

    def strange(self):
        cdef uint64_t rows = qd_load(self.words._data + self.rows_at)
        cdef int count = self.room if rows > <uint64_t>self.room else <int>rows
        return [i for i in range(count) if self.row(i)]

    def place(self, int i, bytes identity, RowShare share not None):
        if i < 0 or i >= self.room or len(identity) != IDENTITY * 8:
            raise RegionError(f"{self.words.path}: no row {i} of {self.room}, or no identity of one")
        memcpy(self.identities + i * IDENTITY, <const char *>identity, IDENTITY * 8)
        self.versions[i] = 0
        self.shares[i] = share
        self.row(i)

    cdef int row(self, int i) except -1:
        """0, or 1 when the row is another's than the share that was placed for it (or nobody's yet)."""
        cdef uint64_t *p = self.words._data + self.first + i * self.stride
        cdef uint64_t *identity = self.identities + i * IDENTITY
        cdef uint64_t buffer[18]
        cdef int64_t *figures = <int64_t *>buffer + IDENTITY
        cdef uint64_t before
        cdef int k, tries
        cdef RowShare share
        for tries in range(RECORD_TRIES):
            before = qd_load(p)
            if before & 1:
                continue
            for k in range(18):
                buffer[k] = qd_relaxed_load(p + 2 + k)
            qd_fence_acquire()
            if qd_relaxed_load(p) == before:
                break
        else:
            return self.shares[i] is None  # its writer stopped inside: what it said before goes on counting
        share = self.shares[i]
        if share is None:
            return 1
        for k in range(IDENTITY):
            if identity[k] != buffer[k]:
                return 1
        self.versions[i] = before
        share.take(figures[0], figures[2], figures[3], figures[4],
                   <qd_wide>figures[5] + figures[6] + figures[7])
        return 0


@cython.final
cdef class RowLimits:
    cdef RowSums sums
    cdef qd_wide unit
    cdef int n_counts, n_gross, n_held
    cdef int *at
    cdef qd_wide *most

    def __dealloc__(self):
        free(self.at)
        free(self.most)

    def __init__(self, RowSums sums not None, unit, counts, gross, held):
        cdef int i = 0
        cdef int n = len(counts) + len(gross) + len(held)
        if self.at != NULL:
            raise ValueError("made already")
        self.sums, self.unit = sums, wide_of(unit)
        self.n_counts, self.n_gross, self.n_held = len(counts), len(gross), len(held)
        self.at, self.most = <int *>calloc(n + 1, sizeof(int)), <qd_wide *>calloc(n + 1, sizeof(qd_wide))
        if self.at == NULL or self.most == NULL:
            raise MemoryError
        for many, limits in ((1, counts), (1, gross), (3, held)):
            for index, limit in limits:
                sums.check(index, many)
                self.at[i], self.most[i] = index, wide_of(limit)
                i += 1

    def over(self, bint buys, qty, worth, int orders):
        cdef int huge_qty = 0, huge_worth = 0, i
        cdef int *at = self.at
        cdef qd_wide *most = self.most
        cdef qd_wide *sums = self.sums.at
        cdef qd_wide more = <qd_wide>PyLong_AsLongLongAndOverflow(qty, &huge_qty) * self.unit
        cdef qd_wide value = PyLong_AsLongLongAndOverflow(worth, &huge_worth)
        cdef qd_wide after
        if orders:
            for i in range(self.n_counts):
                if sums[at[i]] + orders > most[i]:
                    return i
        at += self.n_counts
        most += self.n_counts
        if value > 0 or huge_worth > 0:
            for i in range(self.n_gross):
                if huge_worth or sums[at[i]] + value > most[i]:
                    return self.n_counts + i
        at += self.n_gross
        most += self.n_gross
        if more > 0 or huge_qty > 0:
            for i in range(self.n_held):
                # Worst cases apart: all that works on this side trades, and nothing of the other.
                after = sums[at[i]] + sums[at[i] + 1] if buys else sums[at[i] + 2] - sums[at[i]]
                if huge_qty or after + more > most[i]:
                    return self.n_counts + self.n_gross + i
        return -1
