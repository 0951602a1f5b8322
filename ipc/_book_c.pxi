# The C side, and the small things that every part uses.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_FromLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strlen

from base.errors import BookBusyError, BookError, RegionError, SchemaError, StaleBookError

cdef extern from "ipc/book_verify.h" nogil:
    const char *QD_BOOK_MAGIC
    int QD_BOOK_LAYOUT, QD_TOP_LEVELS, QD_BUSY, QD_TOO_SMALL, QD_LAST_OF_MESSAGE
    int QD_ACTIVE, QD_RETIRED, QD_N_RULES, QD_DROP, QD_N_STATES, QD_N_REASONS
    int QD_RECOVERING, QD_LIVE, QD_STALE, QD_CROSSED, QD_HALTED
    int QD_OK, QD_START, QD_SNAPSHOT, QD_CAPACITY, QD_WRITER_DEAD, QD_WRITER_SILENT, QD_REGION_RETIRED
    int QD_W_STATE, QD_W_SINCE_NS, QD_W_LAST_SEQ, QD_W_VENUE_NS, QD_W_RECV_NS, QD_W_MESSAGES
    int QD_W_N_BIDS, QD_W_N_ASKS, QD_W_BID_PX, QD_W_BID_QTY, QD_W_ASK_PX, QD_W_ASK_QTY, QD_W_N_ORDERS
    int QD_MD_HEADER, QD_MD_CHANGE, QD_MD_INSTRUMENT, QD_MD_KIND, QD_MD_FIRST_ID, QD_MD_LAST_ID, QD_MD_SEQ_NUM
    int QD_MD_SENDING_NS, QD_MD_RECV_NS, QD_MD_DEFECT_TAG, QD_MD_FLAGS, QD_MD_HAS_FIRST_ID, QD_MD_HAS_LAST_ID
    enum:
        QD_N_WORDS

    ctypedef struct qd_region:
        char magic[8]
        uint32_t layout, header_size, n_books, entry_size
        uint64_t generation, file_size, directory, heartbeat_limit_ns, created_ns, state, heartbeat_mono_ns
    ctypedef struct qd_entry:
        char venue[32]
        char instrument[48]
        int32_t px_scale, qty_scale
        uint32_t kind, levels, orders, side_levels
        uint64_t book, extent, extent_size
    ctypedef struct qd_book:
        uint64_t head
        int64_t word[QD_N_WORDS]
    ctypedef struct qd_bytes:
        char *data
        size_t size, room
    ctypedef struct qd_engine:
        qd_book *book
        qd_bytes cuts
        uint32_t kind, width, cap, side_levels, max_depth, top_only, ignore_unknown, rise_requeues
        uint32_t n[2]
        uint32_t n_orders
        uint64_t *table
        int base, reason, shown, shown_reason, halted
        int64_t since_ns, last_seq, venue_ns, recv_ns, messages, ghosts
    ctypedef struct qd_checked:
        qd_engine *book
        int continuity, checksum_levels, crossed_is_stale
        int64_t px_div, qty_div, req_key
        int open, reason, snapshot
        int64_t first_id, last_id, n_messages, seq_num, sending_ns, recv_ns, n_trades, defect_tag
        qd_bytes changes

    const char *qd_region_check(const void *base, size_t size)
    const qd_entry *qd_entry_at(const void *base, uint32_t i)
    const qd_entry *qd_find_entry(const void *base, const char *venue, const char *instrument, uint32_t kind)
    const qd_book *qd_book_at(const void *base, const qd_entry *e)
    int qd_unattended(const void *base)
    int qd_writer_state(const void *base, int fd)
    int qd_read_best(const qd_book *b, int64_t *word, int tries)
    int qd_read_top(const qd_book *b, int64_t *word, int64_t *level, int64_t *orders, int levels, int tries)
    int qd_read_depth(const void *base, const qd_entry *e, int64_t *word, int64_t **side_level, size_t room, int cut,
                      size_t *n, int tries)
    int qd_read_orders(const void *base, const qd_entry *e, int64_t *word, int side, size_t levels, int64_t *order,
                       size_t room, size_t *n, int tries)
    uint64_t qd_extent_size(uint32_t kind, uint32_t side_levels, uint32_t orders)
    uint32_t qd_side_levels(uint32_t levels)

    int qd_init(qd_engine *e, qd_book *book, void *extent, uint32_t kind, uint32_t levels, uint32_t orders,
                uint32_t max_depth, int publish)
    void qd_begin(qd_engine *e)
    void qd_clear(qd_engine *e)
    int qd_change(qd_engine *e, int64_t what, int64_t px, int64_t qty, uint64_t key, int64_t time_ns)
    void qd_message_end(qd_engine *e)
    void qd_set_state(qd_engine *e, int state, int reason, int64_t ns)
    int qd_fail(qd_engine *e, int reason)
    int qd_is_crossed(const qd_engine *e)
    int64_t *qd_at(const qd_engine *e, int side, uint32_t i)
    int qd_apply_packed(qd_engine *e, const char *data, size_t size, int64_t last_seq, int64_t venue_ns, int64_t recv_ns)
    int qd_replace(qd_engine *e, const char *bids, size_t bids_size, const char *asks, size_t asks_size,
                   int64_t last_seq, int64_t venue_ns, int64_t recv_ns)
    int qd_apply_record(qd_engine *e, const char *record)
    uint32_t qd_crc32_top(const qd_engine *e, uint32_t levels, int64_t px_div, int64_t qty_div)
    void qd_pack_side(const qd_engine *e, int side, char *out)
    size_t qd_packed_side_size(const qd_engine *e, int side)
    size_t qd_count_book_changes(const char *record, int64_t *trades)
    int qd_verify(qd_checked *c, const char *record, size_t book_changes)
    size_t qd_record_words(const char *record, size_t n)
    int64_t qd_load64(const void *p)

STATES = ("RECOVERING", "LIVE", "STALE", "CROSSED", "HALTED")
REASONS = ("", "START", "SNAPSHOT", "GAP", "CHECKSUM", "CAPACITY", "NUMBER", "CROSSED", "SESSION", "STALL", "UNKNOWN_ORDER",
           "DUPLICATE_ORDER", "MALFORMED", "VENUE_HALT", "WRITER_DEAD", "WRITER_SILENT", "REGION_RETIRED")
LAST_OF_MESSAGE = QD_LAST_OF_MESSAGE
LAYOUT_VERSION = QD_BOOK_LAYOUT
TOP_LEVELS = QD_TOP_LEVELS
assert len(STATES) == QD_N_STATES and len(REASONS) == QD_N_REASONS


cdef class _Memory:
    """A buffer held for as long as something points into it."""

    cdef Py_buffer view
    cdef char *at
    cdef size_t size

    def __cinit__(self, memory, bint writable):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.at = <char *>self.view.buf
        self.size = <size_t>self.view.len

    def __dealloc__(self):
        PyBuffer_Release(&self.view)  # of a buffer that was never taken: no effect


cdef tuple _ints(const int64_t *words, Py_ssize_t n):
    cdef tuple t = PyTuple_New(n)
    cdef Py_ssize_t i
    cdef object v
    for i in range(n):
        v = PyLong_FromLongLong(words[i])
        Py_INCREF(v)
        PyTuple_SET_ITEM(t, i, v)
    return t


cdef int64_t _power_of_ten(int n) except -1:
    if not 0 <= n <= 18:
        raise BookError(f"a scale can be finer than the venue's precision by 0 to 18 decimals, not {n}")
    return <int64_t>(10 ** n)
