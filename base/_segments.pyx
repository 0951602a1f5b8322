# cython: language_level=3, boundscheck=False, wraparound=False
"""Appending to a mapped segment, and checking what lies there; see _segments.pyi and docs/store.md for the layout."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from base.errors import StoreError

cdef extern from "base/crc32.h":
    void qd_crc_prepare() nogil
    uint32_t qd_crc32(uint32_t crc, const void *bytes, size_t n) nogil

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define QD_HEADER_SIZE 128
    #define QD_HEAD_SIZE 24
    #define QD_COMMITTED 120 /* offset of the committed word */

    /* Stores may not be merged or moved across: a crash between any two must leave what the reader expects. */
    static inline void qd_then(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

    static inline void qd_commit(unsigned char *map, uint64_t end)
    {
        __atomic_store_n((uint64_t *)(map + QD_COMMITTED), end, __ATOMIC_RELEASE);
    }

    typedef struct { uint64_t index; uint32_t kind, length; } qd_covered;
    typedef struct { uint32_t length, crc; uint64_t index; uint32_t kind, zero; } qd_head;
    """
    enum:
        QD_HEADER_SIZE
        QD_HEAD_SIZE
    void qd_then() nogil
    void qd_commit(unsigned char *map, uint64_t end) nogil
    ctypedef struct qd_covered:
        uint64_t index
        uint32_t kind
        uint32_t length
    ctypedef struct qd_head:
        uint32_t length
        uint32_t crc
        uint64_t index
        uint32_t kind
        uint32_t zero

qd_crc_prepare()


def crc32(data, uint32_t value=0):
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    value = qd_crc32(value, view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return value


cdef bint _whole(const unsigned char *at, uint64_t room, uint32_t seed, qd_head *head) noexcept nogil:
    """Whether a record begins at `at`, of which `room` bytes are there, that matches its CRC; its head is copied."""
    cdef qd_covered covered
    if room < QD_HEAD_SIZE:
        return False
    memcpy(head, at, sizeof(qd_head))
    if head.kind == 0 or head.length > room - QD_HEAD_SIZE:
        return False
    covered.index, covered.kind, covered.length = head.index, head.kind, head.length
    return qd_crc32(qd_crc32(seed, &covered, sizeof(covered)), at + QD_HEAD_SIZE, head.length) == head.crc


def read_record(mapped, uint64_t offset, uint32_t seed):
    cdef Py_buffer view
    cdef qd_head head
    cdef qd_covered covered
    cdef bytes payload
    PyObject_GetBuffer(mapped, &view, PyBUF_SIMPLE)
    try:
        if offset + QD_HEAD_SIZE > <uint64_t>view.len:
            return None
        memcpy(&head, <unsigned char *>view.buf + offset, sizeof(head))
        if head.kind == 0 or head.length > <uint64_t>view.len - offset - QD_HEAD_SIZE:
            return None
        # Copied first, then checked: a file may be recycled under a reader's eyes.
        payload = PyBytes_FromStringAndSize(<char *>view.buf + offset + QD_HEAD_SIZE, <Py_ssize_t>head.length)
    finally:
        PyBuffer_Release(&view)
    covered.index, covered.kind, covered.length = head.index, head.kind, head.length
    if qd_crc32(qd_crc32(seed, &covered, sizeof(covered)), PyBytes_AS_STRING(payload), head.length) != head.crc:
        return None
    return head.index, head.kind, payload, (offset + QD_HEAD_SIZE + head.length + 7) & ~<uint64_t>7


def scan(mapped, uint64_t offset, uint64_t until, uint64_t index, uint32_t seed, uint64_t kinds):
    cdef Py_buffer view
    cdef qd_head head
    cdef const unsigned char *base
    cdef uint64_t size, last = 0
    cdef list places = []
    PyObject_GetBuffer(mapped, &view, PyBUF_SIMPLE)
    try:
        base, size = <const unsigned char *>view.buf, <uint64_t>view.len
        while offset < until and offset < size:
            if not _whole(base + offset, size - offset, seed, &head) or head.index != index:
                break
            if head.kind < 64 and kinds >> head.kind & 1:
                places.append(offset)
            last = offset
            offset = (offset + QD_HEAD_SIZE + head.length + 7) & ~<uint64_t>7
            index += 1
    finally:
        PyBuffer_Release(&view)
    return places, last, offset, index


cdef class Appender:
    def __cinit__(self):
        self._bytes = NULL

    def __dealloc__(self):
        if self._bytes != NULL:
            PyBuffer_Release(&self._view)

    def _use(self, mapped, uint64_t number, uint32_t seed):
        self._leave()
        PyObject_GetBuffer(mapped, &self._view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._bytes = <unsigned char *>self._view.buf
        self._size = <uint64_t>self._view.len
        self._half = self._size // 2
        self._seed = seed
        self.number = number

    def _leave(self):
        self._size = 0
        if self._bytes != NULL:
            self._bytes = NULL
            PyBuffer_Release(&self._view)

    def append(self, uint32_t kind, payload):
        cdef Py_buffer view
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            return self.put(kind, NULL, 0, view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)

    cdef uint64_t put(
        self, uint32_t kind, const void *first, size_t first_size, const void *rest, size_t rest_size
    ) except 0:
        """One record whose payload is `first` and `rest`."""
        cdef size_t length = first_size + rest_size
        cdef uint64_t stop = self._end + QD_HEAD_SIZE + length
        if stop > self._size:
            self.rotate(length)
            stop = self._end + QD_HEAD_SIZE + length
            if stop > self._size:
                raise StoreError(f"{self.path}: a record of {length} bytes does not fit behind the first")
        cdef uint64_t offset = self._end, index = self.next_index
        cdef object hook = self._hook
        cdef unsigned char *at = self._bytes + offset
        cdef qd_covered covered
        cdef qd_head head
        covered.index, covered.kind, covered.length = index, kind, <uint32_t>length
        cdef uint32_t crc = qd_crc32(self._seed, &covered, sizeof(covered))
        if first_size:
            crc = qd_crc32(crc, first, first_size)
        crc = qd_crc32(crc, rest, rest_size)
        if hook is not None:
            hook("append")
        if first_size:
            memcpy(at + QD_HEAD_SIZE, first, first_size)
        memcpy(at + QD_HEAD_SIZE + first_size, rest, rest_size)
        qd_then()
        if hook is not None:
            hook("payload written")
        head.length, head.crc, head.index, head.kind, head.zero = <uint32_t>length, crc, index, kind, 0
        memcpy(at, &head, sizeof(head))
        qd_then()
        if hook is not None:
            hook("head written")
        self._end = (stop + 7) & ~<uint64_t>7
        qd_commit(self._bytes, self._end)
        if hook is not None:
            hook("committed")
        self.next_index = index + 1
        self.last_offset = offset
        if offset > self._half and not self._tried_spare:
            self._prepare_spare()
        return index
