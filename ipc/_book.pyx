# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""Python over ipc/book.h, book_impl.h and book_verify.h; what each thing does is said in _book.pyi."""

include "_book_c.pxi"
include "_book_engine.pxi"
include "_book_region.pxi"
include "_book_reader.pxi"
include "_book_race.pxi"
