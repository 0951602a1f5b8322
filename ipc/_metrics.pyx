# cython: language_level=3, boundscheck=False, wraparound=False
"""Counters, gauges and histograms in mapped memory; see _metrics.pyi and docs/metrics.md for the layout."""

import os

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.fcntl cimport posix_fallocate
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from base.errors import RegionError

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t qd_get(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static inline void qd_put(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static inline uint64_t qd_get_first(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void qd_put_last(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline void qd_fence(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
    /* base/histogram.py's bucket_of with bits = 2. */
    static inline unsigned qd_bucket(uint64_t ns) {
        if (ns < 4) return (unsigned)ns;
        unsigned octave = 64 - (unsigned)__builtin_clzll(ns);
        return ((octave - 2) << 2) + (unsigned)((ns >> (octave - 3)) & 3);
    }
    static inline uint64_t qd_bits(double v) { uint64_t w; memcpy(&w, &v, 8); return w; }
    static inline double qd_double(uint64_t w) { double v; memcpy(&v, &w, 8); return v; }
    """
    uint64_t qd_get(const uint64_t *p) nogil
    void qd_put(uint64_t *p, uint64_t v) nogil
    uint64_t qd_get_first(const uint64_t *p) nogil
    void qd_put_last(uint64_t *p, uint64_t v) nogil
    void qd_fence() nogil
    unsigned qd_bucket(uint64_t ns) nogil
    uint64_t qd_bits(double v) nogil
    double qd_double(uint64_t w) nogil

cdef enum:
    COUNT = 0  # of a histogram's words
    SUM = 1
    LARGEST = 2
    FIRST_BUCKET = 8
    BUCKETS = 248
    WORDS = 256
    TRIES = 4

HISTOGRAM_WORDS = WORDS
N_BUCKETS = BUCKETS


cdef inline uint64_t mono_ns() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return <uint64_t>at.tv_sec * 1000000000 + at.tv_nsec


@cython.final
cdef class Cells:
    """64-bit words: a mapped file."""

    def __cinit__(self):
        self._at = NULL

    def __init__(self):
        raise TypeError("use Cells.create or Cells.open")

    def __dealloc__(self):
        if self._at != NULL:
            munmap(self._at, self._bytes)
            self._at = NULL

    @staticmethod
    def create(path, bytes head not None, Py_ssize_t words, *, int mode=0o640):
        path = os.fspath(path)
        cdef size_t size = words * 8
        if <size_t>len(head) > size or not words:
            raise RegionError(f"{path}: {len(head)} bytes do not fit {words} words")
        temporary = f"{path}.{os.getpid()}.new"
        cdef int fd = -1
        cdef int err
        cdef Cells cells
        cdef bint done = False
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            err = posix_fallocate(fd, 0, size)
            if err:
                raise RegionError(f"{path}: cannot set aside {size} bytes: {os.strerror(err)}")
            os.fchmod(fd, mode)
            cells = _mapped(path, fd, size, True)
            memcpy(cells._at, <const char *>head, len(head))
            done = True
            return cells, temporary
        except OSError as e:
            raise RegionError(f"{path}: cannot be made: {e.strerror}") from None
        finally:
            if fd >= 0:
                os.close(fd)
                if not done:
                    os.unlink(temporary)

    @staticmethod
    def open(path):
        path = os.fspath(path)
        cdef int fd
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            raise RegionError(f"{path}: cannot be opened: {e.strerror}") from None
        try:
            size = os.fstat(fd).st_size
            if size < 128 or size % 8:
                raise RegionError(f"{path}: {size} bytes is no file of metrics")
            return _mapped(path, fd, size, False)
        finally:
            os.close(fd)

    def load(self, Py_ssize_t index):
        self._check(index, 1)
        return qd_get_first(self._at + index)

    def load_double(self, Py_ssize_t index):
        self._check(index, 1)
        return qd_double(qd_get(self._at + index))

    def store(self, Py_ssize_t index, uint64_t value):
        if not self._writable:
            raise RegionError(f"{self.path}: opened for reading only")
        self._check(index, 1)
        qd_put_last(self._at + index, value)

    def raw(self, Py_ssize_t index, Py_ssize_t size):
        self._check(index, (size + 7) // 8)
        return (<char *>(self._at + index))[:size]

    def histogram(self, Py_ssize_t index):
        self._check(index, WORDS)
        return _reading(self._at + index)

    cdef int _check(self, Py_ssize_t index, Py_ssize_t n) except -1:
        if index < 0 or n < 0 or index + n > self.count:
            raise RegionError(f"{self.path}: no words {index} to {index + n}; there are {self.count}")
        return 0


cdef Cells _mapped(str path, int fd, size_t size, bint writable):
    cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
    cdef void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0)
    if at == MAP_FAILED:
        raise RegionError(f"{path}: cannot be mapped")
    cdef Cells cells = Cells.__new__(Cells)
    cells._at = <uint64_t *>at
    cells._bytes = size
    cells._writable = writable
    cells.count = <Py_ssize_t>(size // 8)
    cells.path = path
    stat = os.fstat(fd)
    cells.inode, cells.device = stat.st_ino, stat.st_dev
    return cells


cdef tuple _reading(const uint64_t *at):
    """(sum, largest, buckets); read again while observations come in between, at most TRIES times."""
    cdef uint64_t found[BUCKETS]
    cdef uint64_t before, total, added, largest
    cdef int i, tries
    for tries in range(TRIES):
        before = qd_get_first(at + COUNT)
        added = 0
        for i in range(BUCKETS):
            found[i] = qd_get(at + FIRST_BUCKET + i)
            added += found[i]
        total = qd_get(at + SUM)
        largest = qd_get(at + LARGEST)
        qd_fence()
        if qd_get(at + COUNT) == before and added == before:
            break
    return total, largest, [found[i] for i in range(BUCKETS)]


cdef class Instrument:
    """One writer's words: of its own until they are those of a file."""

    def __cinit__(self):
        self._at = <uint64_t *>calloc(self.words(), 8)
        if self._at == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._cells is None:
            free(self._at)

    @staticmethod
    def words():
        return 1

    def attach(self, Cells cells not None, Py_ssize_t index):
        if self._cells is not None:
            raise RegionError(f"{cells.path}: attached to {self._cells.path} before")
        if not cells._writable:
            raise RegionError(f"{cells.path}: opened for reading only")
        cdef Py_ssize_t words = self.words()
        cells._check(index, words)
        memcpy(cells._at + index, self._at, words * 8)
        free(self._at)
        self._at = cells._at + index
        self._cells = cells


@cython.final
cdef class Counter(Instrument):
    def add(self, uint64_t n=1):
        qd_put(self._at, qd_get(self._at) + n)

    def set(self, uint64_t total):
        if total > qd_get(self._at):
            qd_put(self._at, total)

    @property
    def value(self):
        return qd_get(self._at)


@cython.final
cdef class Gauge(Instrument):
    def set(self, double value):
        qd_put(self._at, qd_bits(value))

    @property
    def value(self):
        return qd_double(qd_get(self._at))


@cython.final
cdef class Stamp:
    """A moment that something is counted from."""

    cdef uint64_t _ns

    def mark(self):
        self._ns = mono_ns()

    @property
    def ns(self):
        return self._ns

    def clear(self):
        self._ns = 0


@cython.final
cdef class Histogram(Instrument):
    @staticmethod
    def words():
        return WORDS

    cdef void note(self, uint64_t ns) noexcept:
        cdef uint64_t *at = self._at
        cdef uint64_t *bucket = at + FIRST_BUCKET + qd_bucket(ns)
        qd_put(bucket, qd_get(bucket) + 1)
        qd_put(at + SUM, qd_get(at + SUM) + ns)
        if ns > qd_get(at + LARGEST):
            qd_put(at + LARGEST, ns)
        qd_put_last(at + COUNT, qd_get(at + COUNT) + 1)

    def record(self, int64_t ns):
        self.note(ns if ns > 0 else 0)

    def since(self, Stamp stamp):
        if stamp._ns:
            self.note(mono_ns() - stamp._ns)

    def since_ns(self, uint64_t began_ns):
        cdef uint64_t now_ns = mono_ns()
        self.note(now_ns - began_ns if now_ns > began_ns else 0)

    @property
    def count(self):
        return qd_get(self._at + COUNT)

    def reading(self):
        return _reading(self._at)


@cython.final
cdef class CountedWrite:
    """A function that takes bytes, with a count of them."""

    cdef object _write
    cdef Counter _bytes

    def __init__(self, write, Counter counter not None):
        self._write = write
        self._bytes = counter

    def __call__(self, data):
        cdef Py_ssize_t n = len(data)
        done = self._write(data)
        qd_put(self._bytes._at, qd_get(self._bytes._at) + n)
        return done
