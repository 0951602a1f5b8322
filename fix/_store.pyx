# cython: language_level=3, boundscheck=False, wraparound=False
"""What a file store does once a message; see _store.pyi."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from base._segments cimport Appender

from base.errors import StoreError

cdef enum:
    RUN = 4096
    SENT_KIND = 2
    NEXT_IN_KIND = 3
    NEXT_OUT_KIND = 4

SENT, NEXT_IN, NEXT_OUT = SENT_KIND, NEXT_IN_KIND, NEXT_OUT_KIND

cdef extern from *:
    """
    #include <endian.h>
    #include <stdint.h>
    static inline uint64_t qd_little(uint64_t v) { return htole64(v); }
    """
    uint64_t qd_little(uint64_t v) nogil


@cython.final
cdef class _Run:
    """Places of consecutive numbers: segment number << 32 | offset."""

    cdef uint64_t first
    cdef uint32_t begin  # those before were forgotten
    cdef uint32_t end
    cdef uint64_t places[RUN]


@cython.final
cdef class Places:
    # Short runs: growing a long array copies it, in the middle of a send.
    cdef list _runs
    cdef _Run _last

    def __init__(self):
        self._runs = []
        self._last = None

    cpdef int add(self, uint64_t seq, uint64_t number, uint64_t offset) except -1:
        cdef _Run run = self._last
        if run is None or run.first + run.end != seq or run.end == RUN:
            run = self._last = _Run.__new__(_Run)
            run.first = seq
            self._runs.append(run)
        run.places[run.end] = number << 32 | offset
        run.end += 1
        return 0

    def following(self, uint64_t seq):
        cdef Py_ssize_t low = 0, high = len(self._runs), middle
        cdef _Run run
        cdef uint64_t wanted, place
        while low < high:  # the first run that reaches `seq`
            middle = (low + high) // 2
            run = self._runs[middle]
            if run.first + run.end <= seq:
                low = middle + 1
            else:
                high = middle
        if low == len(self._runs):
            return None
        run = self._runs[low]
        wanted = max(seq, run.first + run.begin)
        place = run.places[wanted - run.first]
        return wanted, place >> 32, place & 0xFFFFFFFF

    def forget(self, uint64_t number):
        cdef uint64_t limit = number << 32
        cdef Py_ssize_t gone = 0
        cdef _Run run
        for run in self._runs:
            if run.places[run.end - 1] >= limit:
                break
            gone += 1
        del self._runs[:gone]
        if not self._runs:
            self._last = None
            return
        run = self._runs[0]
        while run.places[run.begin] < limit:
            run.begin += 1

    def clear(self):
        self._runs.clear()
        self._last = None


cdef class Numbers:
    cdef readonly uint64_t next_out
    cdef readonly uint64_t next_in
    cdef readonly Places _places
    cdef public Appender _log
    cdef public bint _sync_every

    def __cinit__(self, *_, **__):
        self.next_out = self.next_in = 1
        self._places = Places()

    def _set_numbers(self, uint64_t next_out, uint64_t next_in):
        self.next_out, self.next_in = next_out, next_in

    def sent(self, uint64_t seq, bytes message not None):
        if seq != self.next_out:
            raise StoreError(f"outgoing MsgSeqNum {seq}: {self.next_out} is next")
        self.put(SENT_KIND, seq, message)
        self._places.add(seq, self._log.number, self._log.last_offset)
        self.next_out = seq + 1

    def advance_in(self, uint64_t seq):
        if seq != self.next_in:
            raise StoreError(f"incoming MsgSeqNum {seq}: {self.next_in} is expected")
        self.put(NEXT_IN_KIND, seq + 1, b"")
        self.next_in = seq + 1

    def set_next_in(self, uint64_t next_in):
        if next_in < self.next_in:
            raise StoreError(f"expected MsgSeqNum cannot go back from {self.next_in} to {next_in}")
        self.put(NEXT_IN_KIND, next_in, b"")
        self.next_in = next_in

    def set_next_out(self, uint64_t next_out):
        if next_out < self.next_out:
            raise StoreError(f"outgoing MsgSeqNum cannot go back from {self.next_out} to {next_out}")
        self.put(NEXT_OUT_KIND, next_out, b"")
        self.next_out = next_out

    cdef int put(self, uint32_t kind, uint64_t number, bytes rest) except -1:
        if self._log is None:
            raise StoreError("the store was not opened")
        number = qd_little(number)
        self._log.put(kind, &number, sizeof(number), PyBytes_AS_STRING(rest), <size_t>PyBytes_GET_SIZE(rest))
        if self._sync_every:
            self._log.sync()
        return 0
