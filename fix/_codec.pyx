# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The FIX codec for Python: fix/codec.h wrapped. Types and meaning are in fix/_codec.pyi."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from base.errors import CodecError, NumberError
from fix.codec_types import Defect, DefectKind, Garble, GarbleReason, StopReason

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from "base/md_record.h" nogil:
    uint64_t qd_key64(const char *text, size_t n)

cdef extern from "fix/codec.h" nogil:
    int QD_INLINE_FIELDS, QD_MAX_SCALE, QD_HEAD_ROOM, QD_MAX_ID
    uint32_t QD_MAX_BODY_LIMIT
    int QD_DEFECT_GROUP_COUNT, QD_FRAME_READY, QD_FRAME_MORE, QD_GARBLE_REASONS
    int QD_STOP_LIMIT, QD_STOP_NO_MEMORY, QD_STOP_PINNED, QD_STOP_OTHER_TYPE
    int QD_NUM_OVERFLOW, QD_NUM_DECIMALS
    int QD_OUT_NO_MEMORY, QD_OUT_EMPTY, QD_OUT_SOH, QD_OUT_TAG, QD_OUT_RANGE

    ctypedef struct qd_rules:
        pass
    ctypedef struct qd_span:
        uint32_t off, len
    ctypedef struct qd_defect:
        int32_t kind, tag
        uint32_t offset
    ctypedef struct qd_index:
        int32_t *tags
        qd_span *spans
        uint32_t n, n_defects
        qd_defect *defects
    ctypedef struct qd_group:
        int32_t count_tag
    ctypedef struct qd_frame:
        const uint8_t *bytes
        size_t total, begin_len, body
        int garble
    ctypedef struct qd_framer:
        uint8_t *buf
        size_t head, tail, max_body
        uint64_t base, messages, garbled_bytes, n_garbled, last_offset
        uint64_t *garbled
        int last_reason
        bint ended
    ctypedef struct qd_words:
        int64_t *words
        size_t n, cap
        bint pinned
    ctypedef struct qd_md:
        uint8_t *begin
        uint8_t *sender
        uint8_t *target
        size_t begin_len, sender_len, target_len
    ctypedef struct qd_md_tags:
        int order_key, queue_time, checksum, first_id, last_id, trade_id, trade_time, aggressor, fragment
        bint skip_unkeyed, trade_reduces
    ctypedef struct qd_out:
        uint8_t *buf
        size_t n, cap

    int qd_parse_int(const uint8_t *text, size_t n, int64_t *out)
    int qd_parse_scaled(const uint8_t *text, size_t n, int scale, int64_t *out)
    int qd_parse_utc(const uint8_t *text, size_t n, int64_t *out)
    uint8_t qd_sum(const uint8_t *bytes, size_t n)
    void qd_rules_init(qd_rules *rules)
    int qd_rules_add_data(qd_rules *rules, int32_t length_tag, int32_t data_tag)
    int qd_rules_add_count(qd_rules *rules, int32_t tag)
    void qd_index_init(qd_index *index)
    void qd_index_free(qd_index *index)
    int qd_index_build(qd_index *index, const uint8_t *bytes, size_t n, const qd_rules *rules)
    void qd_index_defect(qd_index *index, int kind, int32_t tag, uint32_t offset)
    uint32_t qd_index_find(const qd_index *index, int32_t tag, uint32_t start, uint32_t stop)
    int qd_group_add(qd_group *group, int32_t tag)
    void qd_group_merge(qd_group *group, const qd_group *nested)
    uint32_t qd_group_scan(const qd_index *index, const qd_group *group, uint32_t at, uint32_t to, uint32_t *starts,
                           uint32_t room, uint32_t *n_entries)
    int qd_frame_check(const uint8_t *bytes, size_t n, size_t max_body, qd_frame *frame)
    void qd_framer_init(qd_framer *framer, size_t max_body)
    void qd_framer_free(qd_framer *framer)
    void qd_framer_reset(qd_framer *framer)
    bint qd_framer_full(const qd_framer *framer)
    uint8_t *qd_framer_reserve(qd_framer *framer, size_t n)
    void qd_framer_commit(qd_framer *framer, size_t n)
    int qd_framer_peek(qd_framer *framer, qd_frame *frame)
    void qd_framer_take(qd_framer *framer, const qd_frame *frame)
    void qd_framer_skip(qd_framer *framer, const qd_frame *frame)
    bint qd_framer_give_up(qd_framer *framer)
    int qd_md_init(qd_md *md, const qd_md_tags *tags, const qd_rules *rules)
    void qd_md_free(qd_md *md)
    int qd_md_add_symbol(qd_md *md, const char *text, size_t n, int64_t instrument, int px_scale, int qty_scale)
    int qd_md_message(qd_md *md, const uint8_t *bytes, size_t n, int64_t recv_ns, qd_words *out, uint32_t *n_records)
    int qd_md_batch(qd_md *md, qd_framer *framer, int64_t *seq, int64_t recv_ns, uint32_t max_messages,
                    qd_words *out, uint32_t *n_messages)
    void qd_out_free(qd_out *out)
    int qd_out_room(qd_out *out, size_t n)
    int qd_out_bytes(qd_out *out, const void *bytes, size_t n)
    int qd_out_tag(qd_out *out, int64_t tag)
    int qd_out_text(qd_out *out, const void *text, size_t n)
    int qd_out_int(qd_out *out, int64_t value)
    int qd_out_scaled(qd_out *out, int64_t value, int scale)
    int qd_out_utc(qd_out *out, int64_t ns, int digits)
    size_t qd_format_scaled(uint8_t *to, int64_t value, int scale)
    size_t qd_format_utc(uint8_t *to, int64_t ns, int digits)
    int qd_check_fields(const uint8_t *bytes, size_t n, const qd_rules *rules, int32_t *tag, size_t *offset)
    size_t qd_out_seal(qd_out *out, const uint8_t *begin, size_t begin_len)

_DEFECT_KINDS = {int(kind): kind for kind in DefectKind}
_GARBLE_REASONS = tuple(GarbleReason)
_STOP_REASONS = tuple(StopReason)


cdef bytes _as_bytes(object text):
    """Text given as bytes or str."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return (<str>text).encode()
    raise TypeError(f"expected bytes or str, got {type(text).__name__}")


cdef object _shown(const uint8_t *value, size_t n):
    """A value for an error's text, cut to 40 bytes."""
    return PyBytes_FromStringAndSize(<const char *>value, <Py_ssize_t>(n if n < 40 else 40))


cdef object _number_error(int error, object where, const uint8_t *value, size_t n, int scale):
    if error == QD_NUM_OVERFLOW:
        why = f"does not fit 64 bits at scale {scale}"
    elif error == QD_NUM_DECIMALS:
        why = f"has more than {scale} decimals"
    else:
        why = "is not a number"
    return NumberError(f"{where}{_shown(value, n)!r} {why}")


cdef int _check_scale(int scale) except -1:
    if scale < 0 or scale > QD_MAX_SCALE:
        raise NumberError(f"scale must be 0 to {QD_MAX_SCALE}, got {scale}")
    return 0


include "_codec_message.pxi"
include "_codec_framer.pxi"
include "_codec_md.pxi"
include "_codec_encode.pxi"


def parse_int(bytes text not None):
    cdef int64_t value = 0
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(text)
    cdef int error = qd_parse_int(p, len(text), &value)
    if error:
        raise _number_error(error, "", p, len(text), 0)
    return value


def parse_scaled(bytes text not None, int scale):
    cdef int64_t value = 0
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(text)
    _check_scale(scale)
    cdef int error = qd_parse_scaled(p, len(text), scale, &value)
    if error:
        raise _number_error(error, "", p, len(text), scale)
    return value


def format_scaled(int64_t value, int scale):
    cdef uint8_t text[32]
    _check_scale(scale)
    return PyBytes_FromStringAndSize(<char *>text, <Py_ssize_t>qd_format_scaled(text, value, scale))


def parse_utc_ns(bytes text not None):
    cdef int64_t ns = 0
    if qd_parse_utc(<const uint8_t *>PyBytes_AS_STRING(text), len(text), &ns):
        raise CodecError(f"{text[:40]!r} is not a UTC timestamp")
    return ns


cdef int _check_digits(int digits) except -1:
    if digits not in (0, 3, 6, 9):
        raise CodecError(f"a timestamp has 0, 3, 6 or 9 decimals, not {digits}")
    return 0


def format_utc(int64_t ns, int digits=3):
    cdef uint8_t text[32]
    _check_digits(digits)
    cdef size_t n = qd_format_utc(text, ns, digits)
    if not n:
        raise CodecError(f"time {ns} ns is outside 1970 to 2261")
    return PyBytes_FromStringAndSize(<char *>text, <Py_ssize_t>n)


def checksum(data):
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return qd_sum(<const uint8_t *>view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)


def key64(bytes text not None):
    return qd_key64(PyBytes_AS_STRING(text), len(text))
