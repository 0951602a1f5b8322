# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Python over the headers ipc/book*.h; what each thing does is said in _book.pyi."""

include "_book_c.pxi"
include "_book_engine.pxi"
include "_book_set.pxi"
include "_book_region.pxi"
include "_book_reader.pxi"
include "_book_race.pxi"
include "_book_arrays.pxi"
