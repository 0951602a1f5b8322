# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The check of messages against a dictionary's tables: fix/dictionary.h wrapped. Meaning is in fix/_dictionary.pyi."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from base.errors import ConfigError

cdef extern from "fix/dictionary.h" nogil:
    int QD_MAX_MEMBERS, QD_MAX_GROUP_MEMBERS, QD_TYPES, QD_IN_HEADER, QD_IN_TRAILER

    ctypedef struct qd_fault:
        int32_t reason, tag, business
    ctypedef struct qd_dict_field:
        int32_t tag, length_tag
        uint8_t type
        bint any_value
        uint64_t *single
        uint32_t values, mask
    ctypedef struct qd_dict_value:
        uint32_t off, len
    ctypedef struct qd_dict_slot:
        int32_t tag
        uint16_t at, field
        int32_t group
    ctypedef struct qd_dict_block:
        uint32_t slots, shift, members, n, required
        int32_t count_tag
    ctypedef struct qd_dict_message:
        uint32_t off, len
        int32_t block
    ctypedef struct qd_dictionary:
        qd_dict_field *fields
        qd_dict_slot *by_tag
        uint32_t n_fields, by_tag_shift
        qd_dict_value *values
        uint8_t *text
        qd_dict_slot *slots
        int32_t *members
        uint64_t *required
        qd_dict_block *blocks
        qd_dict_message *messages
        uint32_t message_mask
        uint32_t header, trailer
        uint32_t n_values, n_text, n_slots, n_members, n_required, n_blocks

    uint32_t qd_tag_hash(int32_t tag, uint32_t shift)
    uint32_t qd_text_hash(const uint8_t *text, size_t n)
    bint qd_format_ok(int type, const uint8_t *value, size_t n)
    int qd_dictionary_check(const qd_dictionary *dict, const uint8_t *bytes, size_t n, uint32_t checks,
                            qd_fault *faults, int room)


cdef uint32_t _bits(Py_ssize_t n):
    """Bits of a hash table for n entries that leaves half of it free."""
    cdef uint32_t bits = 2
    while (1 << bits) < 2 * n:
        bits += 1
    return bits


cdef void *_room(size_t n, size_t size) except NULL:
    cdef void *block = calloc(n + 1, size)
    if block is NULL:
        raise MemoryError
    return block


cdef void _place(qd_dict_slot *slots, uint32_t shift, qd_dict_slot entry):
    cdef uint32_t mask = (<uint32_t>0xFFFFFFFF) >> shift
    cdef uint32_t i = qd_tag_hash(entry.tag, shift)
    while slots[i].tag:
        i = (i + 1) & mask
    slots[i] = entry


def format_ok(int type, bytes value not None):
    if not 0 <= type < QD_TYPES:
        raise ConfigError(f"field type {type} is not one of 0 to {QD_TYPES - 1}")
    return qd_format_ok(type, <const uint8_t *>PyBytes_AS_STRING(value), len(value))


@cython.final
cdef class Tables:
    cdef qd_dictionary d
    cdef qd_fault faults_room[64]

    def __cinit__(self, list fields, list blocks, int header, int trailer, dict messages, unsupported):
        cdef dict places = {}
        self._fields(fields, places)
        self._blocks(blocks, places)
        if not 0 <= header < len(blocks) or not 0 <= trailer < len(blocks):
            raise ConfigError("header and trailer must be among the blocks")
        self.d.header, self.d.trailer = header, trailer
        self._mark(blocks[trailer][1], <uint16_t>QD_IN_TRAILER)
        self._mark(blocks[header][1], <uint16_t>QD_IN_HEADER)
        self._messages(messages, [t for t in unsupported if t not in messages], len(blocks))

    def __dealloc__(self):
        free(self.d.fields)
        free(self.d.by_tag)
        free(self.d.values)
        free(self.d.text)
        free(self.d.slots)
        free(self.d.members)
        free(self.d.required)
        free(self.d.blocks)
        free(self.d.messages)

    cdef int _text(self, bytes text, uint32_t *off, uint32_t *length) except -1:
        off[0] = self.d.n_text
        length[0] = <uint32_t>len(text)
        memcpy(self.d.text + self.d.n_text, PyBytes_AS_STRING(text), len(text))
        self.d.n_text += <uint32_t>len(text)
        return 0

    cdef int _fields(self, list fields, dict places) except -1:
        cdef Py_ssize_t i, long_values = 0, bytes_of_text = 0
        cdef qd_dict_slot entry
        if len(fields) > 60000:
            raise ConfigError(f"{len(fields)} fields, at most 60000 are supported")
        for field in fields:
            values = field[2]
            many = [v for v in values if len(v) > 1]
            long_values += (1 << _bits(len(many))) if many else 0
        self.d.fields = <qd_dict_field *>_room(len(fields), sizeof(qd_dict_field))
        self.d.values = <qd_dict_value *>_room(long_values, sizeof(qd_dict_value))
        bytes_of_text = sum(len(v) for field in fields for v in field[2]) + 16 * 4096
        self.d.text = <uint8_t *>_room(bytes_of_text, 1)
        self.d.by_tag_shift = 32 - _bits(len(fields))
        self.d.by_tag = <qd_dict_slot *>_room(1 << (32 - self.d.by_tag_shift), sizeof(qd_dict_slot))
        for i in range(len(fields)):
            tag, type_, values, any_value, length_tag = fields[i]
            self._field(&self.d.fields[i], tag, type_, values, any_value)
            self.d.fields[i].length_tag = length_tag
            entry.tag, entry.at, entry.field, entry.group = self.d.fields[i].tag, 0, <uint16_t>i, -1
            _place(self.d.by_tag, self.d.by_tag_shift, entry)
            places[tag] = i
        return 0

    cdef int _field(self, qd_dict_field *field, int tag, int type, values, any_value) except -1:
        cdef uint32_t i, bits
        cdef qd_dict_value value
        if tag < 1 or not 0 <= type < QD_TYPES:
            raise ConfigError(f"field {tag} of type {type}: no such tag or type")
        field.tag, field.type, field.any_value = tag, <uint8_t>type, any_value or not values
        many = [v for v in values if len(v) > 1]
        for text in values:
            if len(text) == 1:
                field.single[text[0] >> 6] |= <uint64_t>1 << (text[0] & 63)
        if not many:
            return 0
        bits = _bits(len(many))
        field.values, field.mask = self.d.n_values, (<uint32_t>1 << bits) - 1
        self.d.n_values += <uint32_t>1 << bits
        for text in many:
            self._text(text, &value.off, &value.len)
            i = qd_text_hash(self.d.text + value.off, value.len) & field.mask
            while self.d.values[field.values + i].len:
                i = (i + 1) & field.mask
            self.d.values[field.values + i] = value
        return 0

    cdef int _blocks(self, list blocks, dict places) except -1:
        cdef Py_ssize_t i
        self.d.n_blocks = <uint32_t>len(blocks)
        self.d.blocks = <qd_dict_block *>_room(len(blocks), sizeof(qd_dict_block))
        self.d.slots = <qd_dict_slot *>_room(sum(1 << _bits(len(b[1])) for b in blocks), sizeof(qd_dict_slot))
        self.d.members = <int32_t *>_room(sum(len(b[1]) for b in blocks), sizeof(int32_t))
        self.d.required = <uint64_t *>_room(sum(len(b[1]) // 64 + 1 for b in blocks), sizeof(uint64_t))
        for i in range(len(blocks)):
            count_tag, members, limit = blocks[i]
            self._block(&self.d.blocks[i], count_tag, members, limit, places)
        return 0

    cdef int _block(self, qd_dict_block *block, int count_tag, members, int limit, dict places) except -1:
        cdef uint32_t at = 0, bits = _bits(len(members))
        cdef qd_dict_slot entry
        if len(members) > limit or limit > (QD_MAX_GROUP_MEMBERS if count_tag else QD_MAX_MEMBERS):
            raise ConfigError(f"{len(members)} members, at most {limit} are supported")
        block.count_tag, block.n, block.shift = count_tag, <uint32_t>len(members), 32 - bits
        block.slots, block.members, block.required = self.d.n_slots, self.d.n_members, self.d.n_required
        self.d.n_slots += <uint32_t>1 << bits
        self.d.n_members += block.n
        self.d.n_required += block.n // 64 + 1
        for tag, required, group in members:
            if not -1 <= group < <int>self.d.n_blocks or tag not in places:
                raise ConfigError(f"member {tag}: no such field or group")
            entry.tag, entry.at, entry.field, entry.group = tag, <uint16_t>at, places[tag], group
            _place(&self.d.slots[block.slots], block.shift, entry)
            self.d.members[block.members + at] = tag
            if required:
                self.d.required[block.required + at // 64] |= <uint64_t>1 << (at % 64)
            at += 1
        return 0

    cdef int _mark(self, list members, uint16_t where) except -1:
        """Note at the fields themselves that they stand in the header or trailer."""
        cdef uint32_t i, mask = (<uint32_t>0xFFFFFFFF) >> self.d.by_tag_shift
        for tag, _, _ in members:
            i = qd_tag_hash(tag, self.d.by_tag_shift)
            while self.d.by_tag[i].tag != <int32_t>tag:
                i = (i + 1) & mask
            self.d.by_tag[i].at = where
        return 0

    cdef int _messages(self, dict messages, list unsupported, int n_blocks) except -1:
        cdef uint32_t bits = _bits(len(messages) + len(unsupported)), i
        self.d.messages = <qd_dict_message *>_room(1 << bits, sizeof(qd_dict_message))
        self.d.message_mask = (<uint32_t>1 << bits) - 1
        for i in range(1 << bits):
            self.d.messages[i].block = -1
        for msg_type, block in messages.items():
            if not 0 <= block < n_blocks:
                raise ConfigError(f"message {msg_type!r}: no such block")
            self._message(msg_type, block)
        for msg_type in unsupported:
            self._message(msg_type, -2)
        return 0

    cdef int _message(self, bytes msg_type, int block) except -1:
        cdef qd_dict_message message
        cdef uint32_t i
        if not 0 < len(msg_type) <= 16 or self.d.n_text + 16 > 0xFFFFFF00:
            raise ConfigError(f"message type {msg_type!r}: expected 1 to 16 characters")
        self._text(msg_type, &message.off, &message.len)
        message.block = block
        i = qd_text_hash(self.d.text + message.off, message.len) & self.d.message_mask
        while self.d.messages[i].block != -1:
            i = (i + 1) & self.d.message_mask
        self.d.messages[i] = message
        return 0

    def check(self, data, uint32_t checks):
        cdef qd_fault fault
        cdef Py_buffer view
        cdef int n
        if PyBytes_Check(data):
            n = qd_dictionary_check(&self.d, <const uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data),
                                    checks, &fault, 1)
        else:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            n = qd_dictionary_check(&self.d, <const uint8_t *>view.buf, <size_t>view.len, checks, &fault, 1)
            PyBuffer_Release(&view)
        return (fault.reason, fault.tag, fault.business) if n else None

    def faults(self, data, uint32_t checks, int limit=16):
        cdef Py_buffer view
        cdef int n, i
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        n = qd_dictionary_check(&self.d, <const uint8_t *>view.buf, <size_t>view.len, checks, self.faults_room,
                                min(max(limit, 1), 64))
        PyBuffer_Release(&view)
        return [(self.faults_room[i].reason, self.faults_room[i].tag, self.faults_room[i].business) for i in range(n)]
