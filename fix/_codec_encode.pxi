# Writing: fields one by one, templates, whole messages. What a venue could not read is refused, naming the tag.

cdef object _out_error(int error, object tag):
    if error == QD_OUT_NO_MEMORY:
        return MemoryError()
    if error == QD_OUT_EMPTY:
        return CodecError(f"tag {tag}: empty value")
    if error == QD_OUT_SOH:
        return CodecError(f"tag {tag}: SOH in the value, or a data field whose length is wrong")
    if error == QD_OUT_RANGE:
        return CodecError(f"tag {tag}: value outside what the field can carry")
    return CodecError(f"tag {tag}: not a tag that may stand here, expected 1 to 999999999")


cdef inline int _ok(int error, object tag) except -1:
    if error:
        raise _out_error(error, tag)
    return 0


cdef inline int _put_text(qd_out *out, object value, object tag) except -1:
    """Text given as str or bytes, with its SOH."""
    cdef const char *text
    cdef Py_ssize_t n
    if type(value) is str:
        text = PyUnicode_AsUTF8AndSize(value, &n)
    elif type(value) is bytes:
        text = PyBytes_AS_STRING(value)
        n = PyBytes_GET_SIZE(value)
    elif isinstance(value, (str, bytes)):
        return _put_text(out, bytes(_as_bytes(value)), tag)
    else:
        raise CodecError(f"tag {tag}: expected bytes or str, got {type(value).__name__}")
    return _ok(qd_out_text(out, text, <size_t>n), tag)


cdef int64_t _whole(object value, object tag) except? -1:
    if not isinstance(value, int):
        raise CodecError(f"tag {tag}: expected an int, got {type(value).__name__}")
    try:
        return value
    except OverflowError:
        raise CodecError(f"tag {tag}: {value} does not fit 64 bits") from None


cdef int _put_data(qd_out *out, object length_tag, object data_tag, bytes value) except -1:
    if not value:
        raise _out_error(QD_OUT_EMPTY, data_tag)
    _ok(qd_out_tag(out, _whole(length_tag, length_tag)), length_tag)
    _ok(qd_out_int(out, len(value)), length_tag)
    _ok(qd_out_tag(out, _whole(data_tag, data_tag)), data_tag)
    _ok(qd_out_bytes(out, PyBytes_AS_STRING(value), <size_t>len(value)), data_tag)
    return _ok(qd_out_bytes(out, b"\x01", 1), data_tag)


cdef bytes _checked(bytes fields, FieldRules rules, where):
    """Fields written elsewhere, after the strict check."""
    cdef int32_t tag = 0
    cdef size_t offset = 0
    cdef int error = qd_check_fields(<const uint8_t *>PyBytes_AS_STRING(fields), len(fields), rules.rules, &tag, &offset)
    if error:
        raise CodecError(f"{where} at offset {offset}: {_out_error(error, tag)}")
    return fields


cdef bytes _checked_begin(object begin_string):
    cdef bytes begin = _as_bytes(begin_string)
    if not 0 < len(begin) <= 16 or not begin.startswith(b"FIX") or not begin.replace(b".", b"").isalnum():
        raise CodecError(f"tag 8: {begin!r} is not a BeginString, expected FIX.4.2, FIX.4.4 or FIXT.1.1")
    return begin


cdef bytes _header(object msg_type, object sender, object target):
    """35, 49 and 56, up to and with the name of 34."""
    cdef BodyWriter writer = BodyWriter()
    writer.text(35, msg_type)
    writer.text(49, sender)
    writer.text(56, target)
    return writer.take() + b"34="


@cython.final
cdef class BodyWriter:
    cdef qd_out out

    def __dealloc__(self):
        qd_out_free(&self.out)

    cdef int tag(self, object tag) except -1:
        return _ok(qd_out_tag(&self.out, _whole(tag, tag)), tag)

    def text(self, tag, value):
        cdef size_t n = self.out.n
        try:
            self.tag(tag)
            _put_text(&self.out, value, tag)
        except BaseException:
            self.out.n = n
            raise

    def integer(self, tag, value):
        cdef int64_t number = _whole(value, tag)
        self.tag(tag)
        _ok(qd_out_int(&self.out, number), tag)

    def scaled(self, tag, value, int scale):
        cdef int64_t number = _whole(value, tag)
        _check_scale(scale)
        self.tag(tag)
        _ok(qd_out_scaled(&self.out, number, scale), tag)

    def utc(self, tag, ns, int digits=3):
        cdef int64_t time = _whole(ns, tag)
        cdef size_t n = self.out.n
        _check_digits(digits)
        self.tag(tag)
        cdef int error = qd_out_utc(&self.out, time, digits)
        if error:
            self.out.n = n
            raise _out_error(error, tag)

    def boolean(self, tag, value):
        self.text(tag, b"Y" if value else b"N")

    def data(self, length_tag, data_tag, bytes value not None):
        cdef size_t n = self.out.n
        try:
            _put_data(&self.out, length_tag, data_tag, value)
        except BaseException:
            self.out.n = n
            raise

    def raw(self, bytes fields not None, FieldRules rules=None):
        _checked(fields, _rules_or_standard(rules), "fields")
        _ok(qd_out_bytes(&self.out, PyBytes_AS_STRING(fields), <size_t>len(fields)), 0)

    def clear(self):
        self.out.n = 0

    def take(self):
        cdef bytes body = PyBytes_FromStringAndSize(<char *>self.out.buf, <Py_ssize_t>self.out.n) if self.out.n else b""
        self.out.n = 0
        return body

    def __len__(self):
        return self.out.n


cdef enum _Kind:
    _TEXT, _INT, _BOOL, _SCALED, _SCALED_BY, _UTC, _CONST, _DATA

_KINDS = {"text": _TEXT, "int": _INT, "bool": _BOOL, "scaled": _SCALED_BY, "utc": _UTC, "const": _CONST, "data": _DATA}

cdef struct _op:
    int kind, arg
    int32_t tag
    char name[12]
    int name_len


@cython.final
cdef class Template:
    cdef qd_out out
    cdef _op *ops
    cdef Py_ssize_t n_ops, n_values
    cdef bytes begin, header, extra, msg_type
    cdef list consts
    cdef int digits
    cdef FieldRules rules
    cdef int64_t second
    cdef char stamp[32]

    def __cinit__(self, begin_string, msg_type, sender, target, fields, *, bytes extra_header=b"", int time_digits=3,
                  FieldRules rules=None):
        self.rules = _rules_or_standard(rules)
        _check_digits(time_digits)
        self.begin = _checked_begin(begin_string)
        self.msg_type = _as_bytes(msg_type)
        self.header = _header(msg_type, sender, target)
        self.extra = _checked(extra_header, self.rules, "extra_header")
        self.digits = time_digits
        self.second = -1
        self.consts = []
        fields = list(fields)
        self.ops = <_op *>malloc((len(fields) + 1) * sizeof(_op))
        if self.ops is NULL:
            raise MemoryError
        for field in fields:
            self.add(field)

    def __dealloc__(self):
        free(self.ops)
        qd_out_free(&self.out)

    cdef int add(self, object field) except -1:
        cdef _op *op = &self.ops[self.n_ops]
        tag, name = field[0], field[1]
        arg = field[2] if len(field) > 2 else None
        if name not in _KINDS or tag in (8, 9, 10, 35):
            raise CodecError(f"template field {field!r}: unknown kind or a tag of the frame")
        text = b"%d=" % tag
        if not 0 < tag <= 999999999:
            raise _out_error(QD_OUT_TAG, tag)
        memcpy(op.name, PyBytes_AS_STRING(text), len(text))
        op.name_len = <int>len(text)
        op.tag = tag
        op.kind = _KINDS[name]
        op.arg = 0
        self.configure(op, tag, arg)
        self.n_values += 0 if op.kind == _CONST else 2 if op.kind == _SCALED_BY else 1
        self.n_ops += 1
        return 0

    cdef int configure(self, _op *op, object tag, object arg) except -1:
        if op.kind == _SCALED_BY and arg is not None:
            op.kind = _SCALED
            _check_scale(arg)
            op.arg = arg
        elif op.kind == _UTC:
            op.arg = 3 if arg is None else arg
            _check_digits(op.arg)
        elif op.kind == _DATA:
            if not isinstance(arg, int) or not 0 < arg <= 999999999:
                raise _out_error(QD_OUT_TAG, arg)
            op.arg = arg
        elif op.kind == _CONST:
            op.arg = <int>len(self.consts)
            self.consts.append(_checked(b"%d=%s\x01" % (tag, arg), self.rules, "template"))
        return 0

    cdef int put_time(self, int64_t ns) except -1:
        """SendingTime; date and time of day are worked out once a second."""
        cdef int64_t second = ns // 1000000000
        cdef int64_t rest = ns - second * 1000000000
        cdef int i
        if ns < 0 or second != self.second:
            if not qd_format_utc(<uint8_t *>self.stamp, ns, 9):
                raise _out_error(QD_OUT_RANGE, 52)
            self.second = second
        else:
            for i in range(9):
                self.stamp[26 - i] = <char>(48 + rest % 10)
                rest //= 10
        _ok(qd_out_bytes(&self.out, self.stamp, 17 if not self.digits else 18 + <size_t>self.digits), 52)
        return _ok(qd_out_bytes(&self.out, b"\x01", 1), 52)

    cdef int put(self, _op *op, object value, object more) except -1:
        cdef qd_out *out = &self.out
        if op.kind == _DATA:
            if type(value) is not bytes:
                raise CodecError(f"tag {op.arg}: expected bytes, got {type(value).__name__}")
            return _put_data(out, op.tag, op.arg, value)
        _ok(qd_out_bytes(out, op.name, <size_t>op.name_len), op.tag)
        if op.kind == _TEXT:
            return _put_text(out, value, op.tag)
        if op.kind == _SCALED:
            return _ok(qd_out_scaled(out, _whole(value, op.tag), op.arg), op.tag)
        if op.kind == _SCALED_BY:
            return _ok(qd_out_scaled(out, _whole(value, op.tag), <int>_whole(more, op.tag)), op.tag)
        if op.kind == _INT:
            return _ok(qd_out_int(out, _whole(value, op.tag)), op.tag)
        if op.kind == _UTC:
            return _ok(qd_out_utc(out, _whole(value, op.tag), op.arg), op.tag)
        return _put_text(out, b"Y" if value else b"N", op.tag)

    cdef int put_fields(self, tuple values) except -1:
        cdef Py_ssize_t i, v = 0
        cdef _op *op
        cdef bytes const
        for i in range(self.n_ops):
            op = &self.ops[i]
            if op.kind == _CONST:
                const = <bytes>self.consts[op.arg]
                _ok(qd_out_bytes(&self.out, PyBytes_AS_STRING(const), <size_t>PyBytes_GET_SIZE(const)), op.tag)
                continue
            value = values[v]
            v += 1
            if op.kind == _SCALED_BY:
                v += 1
            if value is not None:
                self.put(op, value, values[v - 1])
        return 0

    def render(self, int64_t seq_num, int64_t sending_ns, *values):
        cdef qd_out *out = &self.out
        if len(values) != self.n_values:
            raise CodecError(f"template of {self.msg_type!r}: expected {self.n_values} values, got {len(values)}")
        if seq_num < 1:
            raise CodecError(f"tag 34: sequence numbers begin at 1, got {seq_num}")
        out.n = 0
        _ok(qd_out_room(out, <size_t>QD_HEAD_ROOM), 8)
        out.n = <size_t>QD_HEAD_ROOM
        _ok(qd_out_bytes(out, PyBytes_AS_STRING(self.header), <size_t>PyBytes_GET_SIZE(self.header)), 35)
        _ok(qd_out_int(out, seq_num), 34)
        _ok(qd_out_bytes(out, b"52=", 3), 52)
        self.put_time(sending_ns)
        _ok(qd_out_bytes(out, PyBytes_AS_STRING(self.extra), <size_t>PyBytes_GET_SIZE(self.extra)), 0)
        self.put_fields(values)
        return _sealed(out, self.begin)


cdef bytes _sealed(qd_out *out, bytes begin):
    cdef size_t start = qd_out_seal(out, <const uint8_t *>PyBytes_AS_STRING(begin), <size_t>PyBytes_GET_SIZE(begin))
    if start == <size_t>-1:
        raise MemoryError
    return PyBytes_FromStringAndSize(<char *>out.buf + start, <Py_ssize_t>(out.n - start))


def encode(begin_string, msg_type, sender, target, int64_t seq_num, int64_t sending_ns, bytes body not None=b"", *,
           bytes extra_header not None=b"", int time_digits=3, FieldRules rules=None):
    cdef Template template = Template(begin_string, msg_type, sender, target, (), extra_header=extra_header,
                                      time_digits=time_digits, rules=rules)
    template.extra = template.extra + _checked(body, template.rules, "body")
    return template.render(seq_num, sending_ns)
