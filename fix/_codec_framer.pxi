# The framer. Its buffer is lent to fill()'s callback as a memoryview; while one is held the buffer stays put.


@cython.final
cdef class Framer:
    cdef qd_framer f
    cdef FieldRules rules
    cdef Py_ssize_t lent, exports

    def __cinit__(self, max_body_length=16 * 1024 * 1024, FieldRules rules=None):
        if not 64 <= max_body_length <= QD_MAX_BODY_LIMIT:
            raise CodecError(f"max_body_length must be 64 to {QD_MAX_BODY_LIMIT}, got {max_body_length}")
        qd_framer_init(&self.f, max_body_length)
        self.rules = _rules_or_standard(rules)

    def __dealloc__(self):
        qd_framer_free(&self.f)

    cdef uint8_t *reserve(self, size_t n) except NULL:
        if self.exports:
            raise BufferError("the framer's buffer is lent out: release the memoryview given to fill()'s callback")
        if qd_framer_full(&self.f):
            raise CodecError(f"{self.f.tail - self.f.head} bytes lie untaken: take messages before feeding more")
        cdef uint8_t *to = qd_framer_reserve(&self.f, n)
        if to is NULL:
            raise MemoryError
        return to

    def feed(self, data):
        cdef Py_buffer view
        cdef uint8_t *to
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len:
                to = self.reserve(<size_t>view.len)
                memcpy(to, view.buf, <size_t>view.len)
                qd_framer_commit(&self.f, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)

    def fill(self, recv_into, Py_ssize_t size=65536):
        if size < 1:
            raise CodecError(f"fill: size must be positive, got {size}")
        self.reserve(<size_t>size)
        self.lent = size
        view = memoryview(self)
        try:
            n = recv_into(view)
            if not 0 <= n <= size:
                raise CodecError(f"fill: the callback says {n} bytes of {size}")
            qd_framer_commit(&self.f, n)
            return n
        finally:
            self.lent = 0
            view.release()

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if not self.lent:
            raise BufferError("a framer lends its buffer only inside fill()")
        PyBuffer_FillInfo(buffer, self, qd_framer_reserve(&self.f, <size_t>self.lent), self.lent, 0, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1

    def next(self):
        return self.take()

    def skip(self):
        cdef qd_frame frame
        cdef int state
        cdef Py_ssize_t whole = 0
        while True:
            state = qd_framer_peek(&self.f, &frame)
            if state == QD_FRAME_MORE:
                return whole
            if state == QD_FRAME_READY:
                qd_framer_take(&self.f, &frame)
                whole += 1
            else:
                qd_framer_skip(&self.f, &frame)

    cdef take(self):
        cdef qd_frame frame
        cdef int state
        while True:
            state = qd_framer_peek(&self.f, &frame)
            if state == QD_FRAME_MORE:
                return None
            if state == QD_FRAME_READY:
                break
            qd_framer_skip(&self.f, &frame)
        data = PyBytes_FromStringAndSize(<const char *>frame.bytes, <Py_ssize_t>frame.total)
        qd_framer_take(&self.f, &frame)
        return _message(data, &frame, self.rules)

    def __iter__(self):
        return self

    def __next__(self):
        message = self.take()
        if message is None:
            raise StopIteration
        return message

    def give_up(self):
        return qd_framer_give_up(&self.f)

    def end(self):
        self.f.ended = True

    def reset(self):
        if self.exports:
            raise BufferError("the framer's buffer is lent out: reset() has to wait for fill()'s end")
        qd_framer_reset(&self.f)

    @property
    def pending(self):
        return self.f.tail - self.f.head

    @property
    def consumed(self):
        return self.f.base + self.f.head

    def since(self, uint64_t consumed):
        cdef uint64_t now = self.f.base + self.f.head
        if consumed < self.f.base or consumed > now:
            raise CodecError(f"since: the buffer holds what was taken from {self.f.base} to {now}, not from {consumed}")
        return PyBytes_FromStringAndSize(
            <const char *>self.f.buf + (consumed - self.f.base), <Py_ssize_t>(now - consumed)
        )

    @property
    def messages(self):
        return self.f.messages

    @property
    def garbled_bytes(self):
        return self.f.garbled_bytes

    @property
    def garbled_messages(self):
        return self.f.n_garbled

    @property
    def garbled(self):
        return {reason: self.f.garbled[int(reason)] for reason in _GARBLE_REASONS if self.f.garbled[int(reason)]}

    @property
    def last_garble(self):
        return Garble(_GARBLE_REASONS[self.f.last_reason], self.f.last_offset) if self.f.n_garbled else None
