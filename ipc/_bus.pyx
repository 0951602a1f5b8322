# cython: language_level=3, boundscheck=False, wraparound=False
"""The two paths of the bus that run once a frame: stamping one on its way out, checking one on its way in.

What is out of the ordinary goes to the Python above: ipc/bus.py and ipc/sequence.py.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from ipc._metrics cimport Histogram

from zmq import Again

from base.errors import SchemaError

cdef enum:
    NUMBERS = 23  # 0xcf first_seq, 0xcf sent_ns, 0xdd n_events


cdef inline void put64(unsigned char *at, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(8):
        at[i] = <unsigned char>(value >> (56 - 8 * i))


cdef inline uint64_t get64(const unsigned char *at) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value = value << 8 | at[i]
    return value


cdef inline uint64_t now() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_REALTIME, &at)
    return <uint64_t>at.tv_sec * 1000000000 + at.tv_nsec


cdef class Outlet:
    """One topic of a publisher. `prefix`: what all its frames begin with, up to the first number's marker."""

    cdef readonly bytes prefix
    cdef public uint64_t next_seq
    cdef public bint idle
    cdef readonly object journal

    def __init__(self, bytes prefix not None, journal):
        self.prefix = prefix
        self.next_seq = 1
        self.idle = True
        self.journal = journal

    cpdef bytes frame(self, uint64_t sent_ns, uint32_t n_events, packed):
        """A whole frame with the topic's next number, which stays the next one."""
        cdef Py_buffer view
        cdef Py_ssize_t head = PyBytes_GET_SIZE(self.prefix)
        PyObject_GetBuffer(packed, &view, PyBUF_SIMPLE)
        cdef bytes out
        cdef unsigned char *at
        try:
            out = PyBytes_FromStringAndSize(NULL, head + NUMBERS + view.len)
            at = <unsigned char *>PyBytes_AS_STRING(out)
            memcpy(at, PyBytes_AS_STRING(self.prefix), head)
            at += head
            at[0] = 0xCF
            put64(at + 1, self.next_seq)
            at[9] = 0xCF
            put64(at + 10, sent_ns)
            at[18] = 0xDD
            at[19] = <unsigned char>(n_events >> 24)
            at[20] = <unsigned char>(n_events >> 16)
            at[21] = <unsigned char>(n_events >> 8)
            at[22] = <unsigned char>n_events
            memcpy(at + NUMBERS, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return out


cdef class PublisherCore:
    """publish_raw, over a socket's `send` and a clock's `wall_ns`; None is the system's clock, read without a call."""

    cdef readonly dict outlets
    cdef object _send, _wall_ns, _flags

    def __init__(self, send, wall_ns, flags):
        self.outlets = {}
        self._send = send
        self._wall_ns = wall_ns
        self._flags = flags

    def publish_raw(self, str topic not None, uint32_t n_events, packed):
        """Publish `n_events` events that are packed already (MessagePack, one after the other) as one frame.

        Returns the number of the first. StoreError: the journal could not take it and nothing was sent.
        """
        cdef Outlet outlet = self.outlets.get(topic)
        if outlet is None:
            self.declare(topic)
            outlet = self.outlets[topic]
        cdef uint64_t first = outlet.next_seq
        cdef bytes data = outlet.frame(now() if self._wall_ns is None else self._wall_ns(), n_events, packed)
        if outlet.journal is not None:
            outlet.journal.frame(data)
        outlet.next_seq = first + n_events
        outlet.idle = False
        self._send(data, self._flags)
        return first


cdef class Topic:
    """What a subscriber knows of one topic. `prefix`: what frames of the present epoch begin with."""

    cdef readonly str name
    cdef readonly bytes key
    cdef public bytes prefix
    cdef public object epoch
    cdef public uint64_t next_seq
    cdef public tuple retired
    cdef public bint heard
    cdef public bint silent
    cdef public object heard_ns

    def __init__(self, str name not None, mono_ns):
        self.name = name
        self.key = name.encode()
        self.prefix = b""
        self.epoch = 0
        self.retired = ()
        self.heard_ns = mono_ns

    cdef bint begins(self, const unsigned char *start, Py_ssize_t size):
        """Whether a frame is long enough and of this topic's present epoch."""
        cdef Py_ssize_t head = PyBytes_GET_SIZE(self.prefix)
        return head and size >= head + NUMBERS and not memcmp(start, PyBytes_AS_STRING(self.prefix), head)


@cython.final
@cython.freelist(64)
cdef class Tail:
    """The end of a frame as a buffer: slicing a memoryview takes twice as long."""

    cdef bytes data
    cdef Py_ssize_t start

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef char *at = PyBytes_AS_STRING(self.data)
        PyBuffer_FillInfo(view, self, at + self.start, PyBytes_GET_SIZE(self.data) - self.start, 1, flags)


cdef class TrackerCore:
    """take, for a frame that continues its topic; the rest is the subclass's."""

    cdef readonly dict topics
    cdef public uint64_t frames, events, heartbeats
    cdef public Histogram delay  # from an event's publication to its receipt; None: not counted
    cdef Topic _last

    def __init__(self):
        self.topics = {}

    cpdef take(self, bytes data):
        """Check one frame. None: nothing to deliver (heartbeat, duplicate, malformed). SchemaError: another schema."""
        cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Topic topic = self._last  # frames of one topic come in rows
        cdef Py_ssize_t head
        if topic is None or not topic.begins(start, size):
            topic = self._find(start, size)
            if topic is None or not topic.begins(start, size):
                return self.unusual(data)
            self._last = topic
        head = PyBytes_GET_SIZE(topic.prefix)
        cdef const unsigned char *at = start + head
        if at[0] != 0xCF or at[9] != 0xCF or at[18] != 0xDD:
            return self.unusual(data)
        cdef uint64_t sent, received
        cdef uint64_t first = get64(at + 1)
        cdef uint64_t n = (<uint64_t>at[19] << 24) | (<uint64_t>at[20] << 16) | (<uint64_t>at[21] << 8) | at[22]
        if first != topic.next_seq or n > <uint64_t>size:
            return self.unusual(data)
        topic.heard = True
        self.frames += 1
        if not n:
            self.heartbeats += 1
            return None
        self.events += n
        topic.next_seq = first + n
        if self.delay is not None:
            sent, received = get64(at + 10), now()
            self.delay.note(received - sent if received > sent else 0)
        cdef Tail tail = Tail.__new__(Tail)
        tail.data, tail.start = data, head + NUMBERS
        return topic.key, topic.epoch, first, n, PyMemoryView_FromObject(tail), None

    cdef Topic _find(self, const unsigned char *start, Py_ssize_t size):
        cdef const unsigned char *nul = <const unsigned char *>memchr(start, 0, size)
        if nul == NULL:
            return None
        return self.topics.get(PyBytes_FromStringAndSize(<const char *>start, nul - start))


cdef class SubscriberCore:
    """receive_raw, over a socket's `recv`."""

    cdef object _recv, _flags
    cdef public object _held  # a SchemaError to be raised once what came before it was handed out
    cdef TrackerCore _core

    def __init__(self, recv, flags, TrackerCore tracker not None):
        self._recv = recv
        self._flags = flags
        self._core = tracker

    def receive_raw(self):
        """The next frame that brings something, unparsed: topic, epoch, first_seq, n_events, packed events, gap.

        None when nothing waits. n_events is 0 when there is only a gap to tell. SchemaError for another schema.
        """
        while True:
            try:
                data = self._recv(self._flags)
            except Again:
                return None
            raw = self._core.take(data)
            if raw is not None:
                return raw

    def receive_raws(self, Py_ssize_t limit):
        """Up to `limit` such frames at once, without Python between them; [] when nothing waits.

        SchemaError for another schema when it is met first; otherwise the next call raises it.
        """
        cdef list out = []
        if self._held is not None:
            held, self._held = self._held, None
            raise held
        while len(out) < limit:
            try:
                raw = self._core.take(self._recv(self._flags))
            except Again:
                break
            except SchemaError as e:
                if not out:
                    raise
                self._held = e
                break
            if raw is not None:
                out.append(raw)
        return out
