from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint32_t, uint64_t


cdef class Appender:
    cdef Py_buffer _view
    cdef unsigned char *_bytes
    cdef uint64_t _size
    cdef uint64_t _half
    cdef uint32_t _seed
    cdef readonly uint64_t number
    cdef public uint64_t next_index
    cdef public uint64_t last_offset
    cdef public uint64_t _end
    cdef public bint _tried_spare
    cdef public object _hook

    cdef uint64_t put(
        self, uint32_t kind, const void *first, size_t first_size, const void *rest, size_t rest_size
    ) except 0
