# Market data: decoder and the words it writes.


@cython.final
cdef class MdRecords:
    cdef qd_words out
    cdef Py_ssize_t exports
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __dealloc__(self):
        free(self.out.words)

    def __len__(self):
        return self.out.n

    def clear(self):
        if self.exports:
            raise BufferError("records are being looked at: release the view before clear()")
        self.out.n = 0

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("records are read-only")
        self.shape[0] = <Py_ssize_t>self.out.n
        self.strides[0] = sizeof(int64_t)
        buffer.buf = self.out.words if self.out.words is not NULL else <void *>self.shape
        buffer.obj = self
        buffer.len = self.shape[0] * <Py_ssize_t>sizeof(int64_t)
        buffer.readonly = 1
        buffer.itemsize = sizeof(int64_t)
        buffer.format = "q"
        buffer.ndim = 1
        buffer.shape = self.shape
        buffer.strides = self.strides
        buffer.suboffsets = NULL
        buffer.internal = NULL
        self.exports += 1
        self.out.pinned = True

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1
        self.out.pinned = self.exports > 0


cdef int _set_id(uint8_t *to, size_t *length, object text, name) except -1:
    cdef bytes value = _as_bytes(text)
    if not 0 < len(value) <= QD_MAX_ID:
        raise CodecError(f"{name} must have 1 to {QD_MAX_ID} bytes, got {len(value)}")
    memcpy(to, PyBytes_AS_STRING(value), len(value))
    length[0] = len(value)
    return 0


@cython.final
cdef class MdDecoder:
    cdef qd_md *md
    cdef FieldRules rules
    cdef readonly MdRecords records

    def __cinit__(self, *, int order_key_tag=0, int queue_time_tag=0, int checksum_tag=0, int first_id_tag=0,
                  int last_id_tag=0, int trade_id_tag=1003, int trade_time_tag=60, int aggressor_tag=2446,
                  int last_fragment_tag=0, bint skip_unkeyed=False, bint trade_reduces=False,
                  FieldRules rules=None):
        cdef qd_md_tags tags
        tags.order_key, tags.queue_time, tags.checksum = order_key_tag, queue_time_tag, checksum_tag
        tags.first_id, tags.last_id, tags.trade_id = first_id_tag, last_id_tag, trade_id_tag
        tags.trade_time, tags.aggressor, tags.fragment = trade_time_tag, aggressor_tag, last_fragment_tag
        tags.skip_unkeyed, tags.trade_reduces = skip_unkeyed, trade_reduces
        self.rules = _rules_or_standard(rules)
        self.records = MdRecords()
        self.md = <qd_md *>malloc(sizeof(qd_md))
        if self.md is NULL:
            raise MemoryError
        if qd_md_init(self.md, &tags, self.rules.rules):
            raise CodecError("market-data tags: each must be 1 to 65535 (0: none) and have one meaning only")

    def __dealloc__(self):
        if self.md is not NULL:
            qd_md_free(self.md)
            free(self.md)

    def add_symbol(self, symbol, int64_t instrument, int px_scale, int qty_scale):
        cdef bytes text = _as_bytes(symbol)
        _check_scale(px_scale)
        _check_scale(qty_scale)
        if not text or b"\x01" in text or instrument < 0:
            raise CodecError(f"symbol {text!r} as instrument {instrument}: expected text and an index from 0")
        if qd_md_add_symbol(self.md, PyBytes_AS_STRING(text), len(text), instrument, px_scale, qty_scale):
            raise MemoryError

    def expect(self, begin_string, sender, target):
        _set_id(self.md.begin, &self.md.begin_len, begin_string, "BeginString")
        _set_id(self.md.sender, &self.md.sender_len, sender, "SenderCompID")
        _set_id(self.md.target, &self.md.target_len, target, "TargetCompID")

    cdef int check(self, int stop) except -1:
        """Raises what the words' buffer could not do."""
        if stop == QD_STOP_NO_MEMORY:
            raise MemoryError
        if stop == QD_STOP_PINNED:
            raise BufferError("records must grow but are being looked at: release the view before decoding")
        return 0

    def decode(self, Framer framer not None, int64_t expected_seq, int64_t recv_ns, uint32_t max_messages=4096):
        cdef uint32_t n = 0
        if not self.md.begin_len:
            raise CodecError("expect() must be called before decode()")
        cdef int64_t seq = expected_seq
        cdef int stop = qd_md_batch(self.md, &framer.f, &seq, recv_ns, max_messages, &self.records.out, &n)
        if n and stop in (QD_STOP_NO_MEMORY, QD_STOP_PINNED):
            stop = QD_STOP_LIMIT  # what was taken counts; the next call says what is wrong
        self.check(stop)
        return n, seq, _STOP_REASONS[stop]

    def decode_message(self, Message message not None, int64_t recv_ns):
        cdef uint32_t n = 0
        cdef int stop = qd_md_message(self.md, message.bytes, <size_t>len(message.raw), recv_ns, &self.records.out, &n)
        self.check(stop)
        if stop == QD_STOP_OTHER_TYPE:
            raise CodecError(f"MsgType(35) is {message.msg_type!r}, expected 'X' or 'W'")
        return n
