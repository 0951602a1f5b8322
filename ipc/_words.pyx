# cython: language_level=3, boundscheck=False, wraparound=False
"""Memory-mapped files of 64-bit words; see _words.pyi and docs/kill-switch.md for the layout."""

import os

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset
from posix.fcntl cimport posix_fallocate
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from base.errors import RegionError

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t qd_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void qd_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint64_t qd_relaxed_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static inline void qd_relaxed_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static inline uint64_t qd_add(uint64_t *p, uint64_t v) { return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL); }
    static inline void qd_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
    static inline void qd_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
    /* What was stored before is seen by all before anything that is read after. */
    static inline void qd_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    """
    uint64_t qd_load(const uint64_t *p) nogil
    void qd_store(uint64_t *p, uint64_t v) nogil
    uint64_t qd_relaxed_load(const uint64_t *p) nogil
    void qd_relaxed_store(uint64_t *p, uint64_t v) nogil
    uint64_t qd_add(uint64_t *p, uint64_t v) nogil
    void qd_fence_release() nogil
    void qd_fence_acquire() nogil
    void qd_fence_full() nogil

cdef uint64_t MAGIC = 0x31534452574451  # "QDWRDS1\0" little-endian
cdef uint64_t LAYOUT = 1
cdef int HEADER = 8  # words
cdef int RECORD_TRIES = 2000

HEADER_WORDS = HEADER
LAYOUT_VERSION = LAYOUT


def boot_id():
    """This boot of the host, 128 bits."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        return int(f.read().strip().replace("-", ""), 16)


def _kind_word(kind):
    raw = kind.encode("ascii")
    if not 0 < len(raw) <= 8:
        raise RegionError(f"kind {kind!r} is not 1 to 8 ASCII characters")
    return int.from_bytes(raw, "little")


@cython.final
cdef class Words:
    cdef uint64_t *_map
    cdef uint64_t *_data
    cdef size_t _size
    cdef readonly Py_ssize_t count
    cdef readonly bint writable
    cdef readonly bint fresh
    cdef readonly str path
    cdef readonly unsigned long long inode
    cdef readonly unsigned long long device
    cdef readonly unsigned long long created_ns

    def __cinit__(self):
        self._map = NULL
        self._data = NULL

    def __init__(self):
        raise TypeError("use Words.create or Words.open")

    def __dealloc__(self):
        if self._map != NULL:
            munmap(self._map, self._size)
            self._map = NULL

    @staticmethod
    def create(path, str kind, Py_ssize_t count, *, int mode=0o640, bint fresh=False):
        path = os.fspath(path)
        if count <= 0:
            raise RegionError(f"{path}: {count} words is no region")
        if not fresh:
            try:
                found = Words.open(path, kind, writable=True)
                if found.count == count:
                    return found
            except RegionError:
                pass
        temporary = f"{path}.{os.getpid()}.new"
        cdef size_t size = (HEADER + count) * 8
        cdef int fd = -1
        cdef int err
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            err = posix_fallocate(fd, 0, size)
            if err:
                raise RegionError(f"{path}: cannot set aside {size} bytes: {os.strerror(err)}")
            os.fchmod(fd, mode)
            words = _mapped(path, fd, size, True)
            _init(words, kind, count)
            os.rename(temporary, path)
            return words
        except OSError as e:
            raise RegionError(f"{path}: cannot be made: {e.strerror}") from None
        finally:
            if fd >= 0:
                os.close(fd)
            if os.path.exists(temporary):
                os.unlink(temporary)

    @staticmethod
    def open(path, str kind, *, bint writable=False):
        path = os.fspath(path)
        cdef int fd
        try:
            fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except OSError as e:
            raise RegionError(f"{path}: cannot be opened: {e.strerror}") from None
        try:
            size = os.fstat(fd).st_size
            if size < HEADER * 8 + 8 or size % 8:
                raise RegionError(f"{path}: {size} bytes is no region of words")
            words = _mapped(path, fd, size, writable)
            _verify(words, kind)
            return words
        finally:
            os.close(fd)

    cpdef uint64_t load(self, Py_ssize_t index) except? 0xFFFFFFFFFFFFFFFE:
        if index < 0 or index >= self.count:
            raise RegionError(f"{self.path}: no word {index}; there are {self.count}")
        return qd_load(self._data + index)

    cpdef int store(self, Py_ssize_t index, uint64_t value) except -1:
        self._writable_at(index, 1)
        qd_store(self._data + index, value)
        return 0

    cpdef uint64_t add(self, Py_ssize_t index, uint64_t value) except? 0xFFFFFFFFFFFFFFFE:
        self._writable_at(index, 1)
        return qd_add(self._data + index, value)

    def fence(self):
        qd_fence_full()

    cdef int _writable_at(self, Py_ssize_t index, Py_ssize_t n) except -1:
        if not self.writable:
            raise RegionError(f"{self.path}: opened for reading only")
        if index < 0 or n < 0 or index + n > self.count:
            raise RegionError(f"{self.path}: no words {index} to {index + n}; there are {self.count}")
        return 0

    def write_record(self, Py_ssize_t index, Py_ssize_t capacity, bytes data):
        self._writable_at(index, capacity)
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t n = (size + 7) // 8
        if n + 2 > capacity or n > 512:
            raise RegionError(f"{self.path}: {size} bytes do not fit a record of {capacity} words")
        cdef uint64_t *p = self._data + index
        cdef const char *src = data
        cdef uint64_t word
        cdef Py_ssize_t i, left
        # A version left odd by a writer that died inside is taken over by making it odd again.
        cdef uint64_t version = qd_relaxed_load(p) | 1
        qd_relaxed_store(p, version)
        qd_fence_release()
        qd_relaxed_store(p + 1, size)
        for i in range(n):
            word = 0
            left = size - i * 8
            memcpy(&word, src + i * 8, 8 if left > 8 else left)
            qd_relaxed_store(p + 2 + i, word)
        qd_store(p, version + 1)

    def read_record(self, Py_ssize_t index, Py_ssize_t capacity):
        if index < 0 or capacity < 2 or index + capacity > self.count:
            raise RegionError(f"{self.path}: no words {index} to {index + capacity}; there are {self.count}")
        cdef uint64_t *p = self._data + index
        cdef uint64_t buffer[512]
        cdef uint64_t before, size
        cdef Py_ssize_t i, n
        cdef int tries
        for tries in range(RECORD_TRIES):
            before = qd_load(p)
            if before & 1:
                continue
            size = qd_relaxed_load(p + 1)
            n = <Py_ssize_t>((size + 7) // 8)
            if n > capacity - 2 or n > 512:
                n = 0
                size = 0xFFFFFFFFFFFFFFFF
            for i in range(n):
                buffer[i] = qd_relaxed_load(p + 2 + i)
            qd_fence_acquire()
            if qd_relaxed_load(p) == before:
                if size == 0xFFFFFFFFFFFFFFFF:
                    raise RegionError(f"{self.path}: record at word {index} is longer than its {capacity} words")
                return (<char *>buffer)[:size]
        return None


cdef Words _mapped(str path, int fd, size_t size, bint writable):
    cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
    cdef void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0)
    if at == MAP_FAILED:
        raise RegionError(f"{path}: cannot be mapped")
    cdef Words words = Words.__new__(Words)
    words._map = <uint64_t *>at
    words._data = words._map + HEADER
    words._size = size
    words.count = <Py_ssize_t>(size // 8) - HEADER
    words.writable = writable
    words.fresh = False
    words.path = path
    stat = os.fstat(fd)
    words.inode = stat.st_ino
    words.device = stat.st_dev
    return words


cdef _init(Words words, str kind, Py_ssize_t count):
    import time

    cdef uint64_t *h = words._map
    boot = boot_id()
    memset(words._map, 0, words._size)
    h[1] = LAYOUT
    h[2] = _kind_word(kind)
    h[3] = count
    h[4] = boot & 0xFFFFFFFFFFFFFFFF
    h[5] = boot >> 64
    h[6] = time.time_ns()
    words.created_ns = h[6]
    words.fresh = True
    qd_store(h, MAGIC)


cdef _verify(Words words, str kind):
    cdef uint64_t *h = words._map
    path = words.path
    if qd_load(h) != MAGIC:
        raise RegionError(f"{path}: magic is {h[0]:#x}, expected {MAGIC:#x}")
    if h[1] != LAYOUT:
        raise RegionError(f"{path}: layout {h[1]}, this build reads {LAYOUT}")
    if h[2] != _kind_word(kind):
        found = int(h[2]).to_bytes(8, "little").rstrip(b"\0")
        raise RegionError(f"{path}: a region of kind {found!r}, expected {kind!r}")
    if h[3] != <uint64_t>words.count:
        raise RegionError(f"{path}: {words.count} words in the file, {h[3]} in its header")
    boot = boot_id()
    if h[4] != boot & 0xFFFFFFFFFFFFFFFF or h[5] != boot >> 64:
        raise RegionError(f"{path}: written in another boot of this host")
    words.created_ns = h[6]


@cython.final
cdef class GateCheck:
    cdef Words _gate
    cdef Words _operator
    cdef Py_ssize_t _lease
    cdef Py_ssize_t _version
    cdef uint64_t _seen
    cdef uint64_t _open
    cdef int _n
    cdef Py_ssize_t _words[16]

    def __init__(self, Words gate not None, Words operator not None, Py_ssize_t lease, Py_ssize_t version,
                 uint64_t seen_version, uint64_t open_state, indexes):
        if len(indexes) > 16:
            raise RegionError(f"{gate.path}: {len(indexes)} gate words for one order, at most 16")
        for i in (lease, version, *indexes):
            gate.load(i)
        self._gate, self._operator = gate, operator
        self._lease, self._version, self._seen, self._open = lease, version, seen_version, open_state
        self._n = len(indexes)
        for i, index in enumerate(indexes):
            self._words[i] = index

    cpdef int closed(self, uint64_t mono_ns) noexcept:
        cdef uint64_t *p = self._gate._data
        cdef int i
        if qd_load(p + self._version) != self._seen:
            return 1
        if qd_load(p + self._lease) < mono_ns:
            return 2
        if qd_load(self._operator._data):
            return 3
        for i in range(self._n):
            if qd_load(p + self._words[i]) & 0xFF != self._open:
                return 4 + i
        return 0


include "_row_sums.pxi"
