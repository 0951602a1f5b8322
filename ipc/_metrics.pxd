# cython: language_level=3
"""What other native parts may write: see _metrics.pyi."""

from libc.stdint cimport uint64_t


cdef class Cells:
    cdef uint64_t *_at
    cdef size_t _bytes
    cdef bint _writable
    cdef readonly Py_ssize_t count
    cdef readonly str path
    cdef readonly unsigned long long inode
    cdef readonly unsigned long long device
    cdef int _check(self, Py_ssize_t index, Py_ssize_t n) except -1


cdef class Instrument:
    cdef uint64_t *_at
    cdef Cells _cells


cdef class Histogram(Instrument):
    cdef void note(self, uint64_t ns) noexcept
