# cython: language_level=3, boundscheck=False, wraparound=False
"""Lines of the FIX log between the session's thread and the one that writes; see _fixlog.pyi."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "fix/logline.h":
    int QD_MASKED
    ctypedef struct qd_mask:
        int n
    ctypedef struct qd_entry:
        int64_t wall_ns
        uint32_t length
        uint32_t incoming
    ctypedef struct qd_stamp:
        int64_t second
    size_t qd_line_room(size_t n) nogil
    size_t qd_message_end(const uint8_t *m, size_t n) nogil
    int qd_mask_add(qd_mask *mask, int tag) nogil
    size_t qd_mask_into(const qd_mask *mask, const uint8_t *m, size_t n, uint8_t *to) nogil
    size_t qd_line(const qd_mask *mask, qd_stamp *stamp, const qd_entry *entry, const uint8_t *m, uint8_t *to) nogil

cdef enum:
    KEEP = 1 << 20  # a buffer that a burst made larger is given back

SECRET_TAGS = (554, 96, 925)

ctypedef struct Buffer:
    uint8_t *bytes
    size_t n
    size_t room


cdef int _reserve(Buffer *buffer, size_t room) noexcept nogil:
    """Have `room` bytes behind what is there; -1 when there is no memory."""
    cdef size_t wanted = buffer.n + room, size = buffer.room or 4096
    cdef uint8_t *grown
    if wanted <= buffer.room:
        return 0
    while size < wanted:
        size *= 2
    grown = <uint8_t *>realloc(buffer.bytes, size)
    if grown is NULL:
        return -1
    buffer.bytes, buffer.room = grown, size
    return 0


cdef void _empty(Buffer *buffer) noexcept nogil:
    buffer.n = 0
    if buffer.room > KEEP:
        _free(buffer)


cdef void _free(Buffer *buffer) noexcept nogil:
    free(buffer.bytes)
    buffer.bytes, buffer.n, buffer.room = NULL, 0, 0


@cython.final
cdef class Masker:
    cdef qd_mask mask

    def __init__(self, tags=()):
        self.mask.n = 0
        for tag in sorted({*SECRET_TAGS, *tags}):
            if qd_mask_add(&self.mask, tag):
                raise ValueError(f"{tag}: the log can mask {QD_MASKED} tags")

    def __call__(self, bytes message not None):
        cdef Buffer out = Buffer(NULL, 0, 0)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(message)
        if _reserve(&out, qd_line_room(size)):
            raise MemoryError
        size = qd_mask_into(&self.mask, <const uint8_t *>PyBytes_AS_STRING(message), size, out.bytes)
        masked = PyBytes_FromStringAndSize(<char *>out.bytes, <Py_ssize_t>size)
        _free(&out)
        return masked


cdef class LogQueue:
    cdef Masker _masker
    cdef Buffer _filled  # by `put`
    cdef Buffer _taken  # by `take`, up to _at
    cdef Buffer _lines
    cdef size_t _at
    cdef qd_stamp _stamp
    cdef readonly size_t waiting
    cdef readonly size_t refused
    cdef size_t _most

    def __cinit__(self, *_, **__):
        self._masker = Masker()
        self._stamp.second = INT64_MIN

    def __dealloc__(self):
        _free(&self._filled)
        _free(&self._taken)
        _free(&self._lines)

    def _begin(self, Masker masker not None, size_t most):
        self._masker = masker
        self._most = most

    def put(self, int64_t wall_ns, bint incoming, bytes message not None):
        self._put(wall_ns, incoming, <const uint8_t *>PyBytes_AS_STRING(message), <size_t>PyBytes_GET_SIZE(message))

    def put_run(self, int64_t wall_ns, bint incoming, bytes run not None):
        cdef const uint8_t *bytes = <const uint8_t *>PyBytes_AS_STRING(run)
        cdef size_t left = <size_t>PyBytes_GET_SIZE(run), size
        while left:
            size = qd_message_end(bytes, left)
            self._put(wall_ns, incoming, bytes, size)
            bytes += size
            left -= size

    cdef void _put(self, int64_t wall_ns, bint incoming, const uint8_t *message, size_t size) noexcept:
        cdef qd_entry entry
        if self.waiting > self._most or size >= 1 << 31 or _reserve(&self._filled, sizeof(entry) + size):
            self.refused += 1
            return
        entry.wall_ns, entry.length, entry.incoming = wall_ns, <uint32_t>size, incoming
        memcpy(self._filled.bytes + self._filled.n, &entry, sizeof(entry))
        memcpy(self._filled.bytes + self._filled.n + sizeof(entry), message, size)
        self._filled.n += sizeof(entry) + size
        self.waiting += size

    def turn(self):
        """With the interpreter's lock held, so never at the same time as `put`."""
        if self._at < self._taken.n:
            return
        self._at = 0
        _empty(&self._taken)
        self._taken, self._filled = self._filled, self._taken

    def take(self, size_t limit):
        cdef size_t lines = 0, size = 0
        cdef int failed
        with nogil:
            failed = self._format(limit, &lines, &size)
        if failed:
            raise MemoryError
        text = PyBytes_FromStringAndSize(<char *>self._lines.bytes, <Py_ssize_t>self._lines.n)
        _empty(&self._lines)
        return text, lines, size

    def done(self, size_t size):
        self.waiting -= size

    cdef int _format(self, size_t limit, size_t *lines, size_t *size) noexcept nogil:
        cdef qd_entry entry
        cdef size_t room
        while self._at < self._taken.n:
            memcpy(&entry, self._taken.bytes + self._at, sizeof(entry))
            room = qd_line_room(entry.length)
            if lines[0] and self._lines.n + room > limit:
                return 0
            if _reserve(&self._lines, room):
                return -1
            self._lines.n += qd_line(
                &self._masker.mask, &self._stamp, &entry, self._taken.bytes + self._at + sizeof(entry),
                self._lines.bytes + self._lines.n,
            )
            self._at += sizeof(entry) + entry.length
            lines[0] += 1
            size[0] += entry.length
        return 0
