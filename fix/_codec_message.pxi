# Messages and their fields: a message owns its bytes and the index of its fields, a group entry looks at both.


cdef class FieldRules:
    cdef qd_rules *rules

    def __cinit__(self, data_tags=None, count_tags=()):
        self.rules = <qd_rules *>malloc(sizeof(qd_rules))
        if self.rules is NULL:
            raise MemoryError
        qd_rules_init(self.rules)
        for length_tag, data_tag in (data_tags or {}).items():
            if qd_rules_add_data(self.rules, length_tag, data_tag):
                raise CodecError(f"length tag {length_tag} with data tag {data_tag}: bad tag, or too many pairs")
        for tag in count_tags:
            if qd_rules_add_count(self.rules, tag):
                raise CodecError(f"count tag {tag}: expected 1 to 65535")

    def __dealloc__(self):
        free(self.rules)


cdef FieldRules _STANDARD = FieldRules()


cdef FieldRules _rules_or_standard(FieldRules rules):
    return _STANDARD if rules is None else rules


cdef class GroupSpec:
    cdef qd_group *group
    cdef readonly tuple nested

    def __cinit__(self, int count_tag, members, nested=()):
        cdef GroupSpec inner
        self.group = <qd_group *>malloc(sizeof(qd_group))
        if self.group is NULL:
            raise MemoryError
        self.group[0] = _EMPTY_GROUP
        self.group.count_tag = count_tag
        self.nested = tuple(nested)
        for tag in members:
            if qd_group_add(self.group, tag):
                raise CodecError(f"group {count_tag}: member tag {tag}: expected 1 to 65535")
        for inner in self.nested:
            qd_group_merge(self.group, inner.group)

    def __dealloc__(self):
        free(self.group)

    @property
    def count_tag(self):
        return self.group.count_tag


cdef qd_group _EMPTY_GROUP


cdef qd_index _NO_FIELDS
qd_index_init(&_NO_FIELDS)


cdef class _Fields:
    cdef const uint8_t *bytes
    cdef qd_index *index
    cdef uint32_t lo, hi

    def __cinit__(self):
        self.index = &_NO_FIELDS  # what a bare __new__ shows

    def __init__(self):
        raise TypeError("fields belong to a Message or a GroupEntry")

    cdef inline qd_span *find(self, int32_t tag):
        cdef uint32_t i = qd_index_find(self.index, tag, self.lo, self.hi)
        return &self.index.spans[i] if i < self.hi else NULL

    cdef object absent(self, int32_t tag):
        return CodecError(f"tag {tag} is missing")

    cdef object unreadable(self, int32_t tag, qd_span *span, what):
        value = _shown(self.bytes + span.off, span.len)
        return CodecError(f"tag {tag} at offset {span.off}: {value!r} is not {what}")

    cdef object value(self, qd_span *span):
        return PyBytes_FromStringAndSize(<const char *>self.bytes + span.off, <Py_ssize_t>span.len)

    cdef object text(self, qd_span *span):
        return PyUnicode_DecodeUTF8(<const char *>self.bytes + span.off, <Py_ssize_t>span.len, "backslashreplace")

    cdef int64_t integer(self, int32_t tag, qd_span *span) except? -1:
        cdef int64_t value = 0
        cdef int error = qd_parse_int(self.bytes + span.off, span.len, &value)
        if error:
            raise _number_error(error, f"tag {tag} at offset {span.off}: ", self.bytes + span.off, span.len, 0)
        return value

    cdef int64_t scaled(self, int32_t tag, qd_span *span, int scale) except? -1:
        cdef int64_t value = 0
        _check_scale(scale)
        cdef int error = qd_parse_scaled(self.bytes + span.off, span.len, scale, &value)
        if error:
            raise _number_error(error, f"tag {tag} at offset {span.off}: ", self.bytes + span.off, span.len, scale)
        return value

    cdef int64_t utc(self, int32_t tag, qd_span *span) except? -1:
        cdef int64_t ns = 0
        if qd_parse_utc(self.bytes + span.off, span.len, &ns):
            raise self.unreadable(tag, span, "a UTC timestamp")
        return ns

    def get(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        return None if span is NULL else self.value(span)

    def pick(self, tuple tags not None):
        cdef qd_span *span
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(tags)
        cdef tuple values = PyTuple_New(n)
        for i in range(n):
            span = self.find(<object>PyTuple_GET_ITEM(tags, i))
            value = None if span is NULL else self.value(span)
            Py_INCREF(value)
            PyTuple_SET_ITEM(values, i, value)
        return values

    def get_str(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        return None if span is NULL else self.text(span)

    def get_int(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        return None if span is NULL else self.integer(tag, span)

    def get_scaled(self, int32_t tag, int scale):
        cdef qd_span *span = self.find(tag)
        return None if span is NULL else self.scaled(tag, span, scale)

    def get_utc_ns(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        return None if span is NULL else self.utc(tag, span)

    def get_bool(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            return None
        cdef uint8_t c = self.bytes[span.off]
        if span.len != 1 or (c != b"Y" and c != b"N"):
            raise self.unreadable(tag, span, "Y or N")
        return c == b"Y"

    def get_char(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            return None
        if span.len != 1 or self.bytes[span.off] > 126:
            raise self.unreadable(tag, span, "one character")
        return self.text(span)

    def need(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            raise self.absent(tag)
        return self.value(span)

    def need_str(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            raise self.absent(tag)
        return self.text(span)

    def need_int(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            raise self.absent(tag)
        return self.integer(tag, span)

    def need_scaled(self, int32_t tag, int scale):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            raise self.absent(tag)
        return self.scaled(tag, span, scale)

    def need_utc_ns(self, int32_t tag):
        cdef qd_span *span = self.find(tag)
        if span is NULL:
            raise self.absent(tag)
        return self.utc(tag, span)

    def has(self, int32_t tag):
        return self.find(tag) is not NULL

    def fields(self):
        cdef uint32_t i
        return [(self.index.tags[i], self.value(&self.index.spans[i])) for i in range(self.lo, self.hi)]

    cdef Message owner(self):
        raise NotImplementedError

    def group(self, GroupSpec spec not None):
        cdef uint32_t at = qd_index_find(self.index, spec.group.count_tag, self.lo, self.hi)
        if at >= self.hi:
            return []
        return _entries(self.owner(), spec, at, self.hi)


cdef list _entries(Message message, GroupSpec spec, uint32_t at, uint32_t hi):
    """The entries of the group whose count field stands at `at`; a wrong count becomes a defect of the message."""
    cdef qd_index *index = &message.own
    cdef uint32_t n = 0, i, end
    cdef int64_t stated = -1
    cdef qd_span *count = &index.spans[at]
    end = qd_group_scan(index, spec.group, at, hi, NULL, 0, &n)
    qd_parse_int(message.bytes + count.off, count.len, &stated)
    if stated != n:
        qd_index_defect(index, QD_DEFECT_GROUP_COUNT, spec.group.count_tag, _field_offset(index, at))
    if not n:
        return []
    cdef uint32_t *starts = <uint32_t *>malloc((n + 1) * sizeof(uint32_t))
    if starts is NULL:
        raise MemoryError
    qd_group_scan(index, spec.group, at, hi, starts, n, &n)
    starts[n] = end
    try:
        return [_entry(message, starts[i], starts[i + 1]) for i in range(n)]
    finally:
        free(starts)


cdef uint32_t _field_offset(qd_index *index, uint32_t i):
    """Where field i begins: behind the SOH of the one before."""
    return index.spans[i - 1].off + index.spans[i - 1].len + 1 if i else 0


cdef GroupEntry _entry(Message message, uint32_t lo, uint32_t hi):
    cdef GroupEntry entry = GroupEntry.__new__(GroupEntry)
    entry.message = message
    entry.bytes = message.bytes
    entry.index = &message.own
    entry.lo = lo
    entry.hi = hi
    return entry


@cython.final
@cython.no_gc
cdef class Message(_Fields):
    cdef readonly bytes raw
    cdef qd_index own
    cdef uint32_t begin_len

    def __cinit__(self):
        qd_index_init(&self.own)
        self.index = &self.own

    def __init__(self):
        raise TypeError("use Message.parse or Framer.next")

    def __dealloc__(self):
        qd_index_free(&self.own)

    cdef Message owner(self):
        return self

    @staticmethod
    def parse(raw, FieldRules rules=None):
        cdef bytes data = raw if isinstance(raw, bytes) else bytes(raw)
        cdef qd_frame frame
        cdef int state = qd_frame_check(<const uint8_t *>PyBytes_AS_STRING(data), len(data), QD_MAX_BODY_LIMIT, &frame)
        if state == QD_FRAME_READY and frame.total != <size_t>len(data):
            raise CodecError(f"message ends at offset {frame.total}, {len(data) - frame.total} bytes before the data")
        if state == QD_FRAME_MORE:
            raise CodecError(f"message is incomplete: it goes on behind its {len(data)} bytes")
        if state != QD_FRAME_READY:
            raise CodecError(f"garbled message: {_GARBLE_REASONS[frame.garble].name}")
        return _message(data, &frame, _rules_or_standard(rules))

    @property
    def begin_string(self):
        return PyBytes_FromStringAndSize(<const char *>self.bytes + 2, <Py_ssize_t>self.begin_len)

    @property
    def msg_type(self):
        return self.text(&self.own.spans[2]) if self.hi > 2 else ""

    @property
    def seq_num(self):
        cdef int64_t value = 0
        cdef qd_span *span = self.find(34)
        if span is NULL or qd_parse_int(self.bytes + span.off, span.len, &value) or value < 1:
            return 0
        return value

    @property
    def poss_dup(self):
        cdef qd_span *span = self.find(43)
        return span is not NULL and span.len == 1 and self.bytes[span.off] == b"Y"

    def plain(
        self, bytes begin not None, bytes sender not None, bytes target not None, int64_t seq, int64_t wall_ns,
        int64_t latency_ns,
    ):
        cdef int64_t sent_ns
        cdef qd_span *span
        if self.own.n_defects or self.seq_num != seq or self.poss_dup or self.holds(97, b"Y"):
            return False
        if <uint32_t>PyBytes_GET_SIZE(begin) != self.begin_len or memcmp(
            self.bytes + 2, PyBytes_AS_STRING(begin), self.begin_len
        ):
            return False
        if not self.holds(49, sender) or not self.holds(56, target) or self.is_admin():
            return False
        span = self.find(52)
        if span is NULL or qd_parse_utc(self.bytes + span.off, span.len, &sent_ns):
            return False
        return latency_ns <= 0 or -latency_ns <= wall_ns - sent_ns <= latency_ns

    cdef bint is_admin(self):
        cdef qd_span *span = &self.own.spans[2]
        return self.hi <= 2 or (span.len == 1 and (b"0" <= self.bytes[span.off] <= b"5" or self.bytes[span.off] == b"A"))

    cdef bint holds(self, int32_t tag, bytes value):
        cdef qd_span *span = self.find(tag)
        return (
            span is not NULL
            and span.len == <uint32_t>PyBytes_GET_SIZE(value)
            and not memcmp(self.bytes + span.off, PyBytes_AS_STRING(value), span.len)
        )

    @property
    def defects(self):
        cdef qd_defect *d = self.own.defects
        cdef uint32_t i
        if not self.own.n_defects:
            return ()
        return tuple([Defect(_DEFECT_KINDS[d[i].kind], d[i].tag, d[i].offset) for i in range(self.own.n_defects)])

    def __len__(self):
        return self.own.n

    def __reduce__(self):
        raise TypeError("a Message cannot be pickled; send its raw bytes")

    def __repr__(self):
        if self.raw is None:
            return "<Message, empty>"
        return f"<Message {self.msg_type} seq_num={self.seq_num} {len(self.raw)} bytes>"


cdef Message _message(bytes data, qd_frame *frame, FieldRules rules):
    cdef Message message = Message.__new__(Message)
    message.raw = data
    message.bytes = <const uint8_t *>PyBytes_AS_STRING(data)
    message.begin_len = <uint32_t>frame.begin_len
    if qd_index_build(&message.own, message.bytes, frame.total, rules.rules):
        raise MemoryError
    message.hi = message.own.n
    return message


@cython.final
@cython.no_gc
cdef class GroupEntry(_Fields):
    cdef readonly Message message

    def __init__(self):
        raise TypeError("use Message.group")

    cdef Message owner(self):
        return self.message

    def __reduce__(self):
        raise TypeError("a GroupEntry cannot be pickled")
