/* The book engine's ground: its state, publication, and the levels of a side.
 *
 * Private to the writer; readers need book.h alone. Stores into the depth go word by word with relaxed atomics, between the
 * two halves of the sequence lock. A side is a sorted array with the best level at its end, which slides in room at both ends:
 * a change near the best moves few words, cutting the worst level moves none.
 */
#ifndef QD_BOOK_ENGINE_H
#define QD_BOOK_ENGINE_H

#include <stdlib.h>

#include "../base/md_record.h"
#include "book.h"

#define QD_LAST_OF_MESSAGE (1 << 25) /* in `what` of packed changes: the venue's message ends with this change */

typedef struct {
    char *data;
    size_t size, room;
} qd_bytes;

typedef struct {
    qd_book *book; /* in the region, or private */
    int publish; /* the book has readers */
    uint32_t kind, width, cap, side_levels, max_depth, top_only, ignore_unknown, rise_requeues;
    int64_t *side[2];
    uint32_t start[2], n[2];
    /* L3 */
    int64_t *pool;
    uint32_t n_orders, cap_orders, fresh, free;
    uint64_t *table;
    unsigned table_bits;
    int in_order; /* a snapshot is being loaded whose orders come in queue order */
    /* status */
    int base, reason, halted, shown, shown_reason, writing;
    int64_t since_ns, last_seq, venue_ns, recv_ns, messages, ghosts;
    /* what the window cut off during this message, as packed deletes for books that do not know the window */
    int tell_cuts;
    qd_bytes cuts;
} qd_engine;

static inline void qd_st(int64_t *p, int64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline int64_t qd_load64(const void *p) /* from packed bytes of any alignment */
{
    int64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline size_t qd_change_size(const qd_engine *e)
{
    return e->kind == 3 ? 40 : 24;
}

static int qd_reserve(qd_bytes *b, size_t more)
{
    if (b->size + more <= b->room)
        return 0;
    size_t room = 2 * b->room > b->size + more ? 2 * b->room : b->size + more + 1024;
    char *data = realloc(b->data, room);
    if (data == NULL)
        return -1;
    b->data = data;
    b->room = room;
    return 0;
}

/* Notes a delete of a level or order that no message of the venue asks for. -1: no memory. */
static int qd_note_cut(qd_engine *e, int side, int64_t px, int64_t key)
{
    const int64_t words[5] = {side | 2 << 8, px, 0, key, 0};
    if (!e->tell_cuts)
        return 0;
    if (qd_reserve(&e->cuts, qd_change_size(e)) != 0)
        return -1;
    memcpy(e->cuts.data + e->cuts.size, words, qd_change_size(e));
    e->cuts.size += qd_change_size(e);
    return 0;
}

static inline uint32_t qd_side_levels(uint32_t levels)
{
    return levels + levels / 8 + 16;
}

/* -- the sequence lock of the depth, and the rings ----------------------------------------------------- */

static inline void qd_begin(qd_engine *e)
{
    if (e->writing)
        return;
    e->writing = 1;
    __atomic_store_n(&e->book->depth_seq, e->book->depth_seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline int64_t *qd_at(const qd_engine *e, int side, uint32_t i)
{
    return e->side[side] + (size_t)(e->start[side] + i) * e->width;
}

static inline int64_t *qd_best_of(const qd_engine *e, int side)
{
    return qd_at(e, side, e->n[side] - 1);
}

static inline int qd_is_crossed(const qd_engine *e)
{
    return e->n[0] && e->n[1] && *qd_best_of(e, 0) >= *qd_best_of(e, 1);
}

/* What readers are shown: a base that is not LIVE hides all else, then HALTED, then CROSSED. */
static void qd_show(qd_engine *e, int64_t ns)
{
    int state = e->base, reason = e->reason;
    if (state == QD_LIVE && e->halted)
        state = QD_HALTED, reason = QD_VENUE_HALT;
    else if (state == QD_LIVE && qd_is_crossed(e))
        state = QD_CROSSED, reason = QD_CROSSING;
    if (state != e->shown || reason != e->shown_reason)
        e->shown = state, e->shown_reason = reason, e->since_ns = ns;
}

static void qd_words(const qd_engine *e, int64_t w[QD_N_WORDS], uint32_t most)
{
    w[QD_W_STATE] = e->shown | e->shown_reason << 8;
    w[QD_W_SINCE_NS] = e->since_ns;
    w[QD_W_LAST_SEQ] = e->last_seq;
    w[QD_W_VENUE_NS] = e->venue_ns;
    w[QD_W_RECV_NS] = e->recv_ns;
    w[QD_W_MESSAGES] = e->messages;
    w[QD_W_N_ORDERS] = e->n_orders;
    for (int s = 0; s < 2; s++) {
        const int64_t *best = e->n[s] ? qd_best_of(e, s) : NULL;
        w[QD_W_N_BIDS + s] = e->n[s] < most ? e->n[s] : most;
        w[QD_W_BID_PX + 3 * s] = best ? best[0] : 0;
        w[QD_W_BID_QTY + 3 * s] = best ? best[1] : 0;
        w[QD_W_BID_ORDERS + 3 * s] = best && e->kind == 3 ? best[2] : 0;
    }
}

static inline void qd_store_words(int64_t *to, const int64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qd_st(to + i, from[i]);
}

static void qd_store_top(const qd_engine *e, qd_top *slot)
{
    for (int s = 0; s < 2; s++) {
        uint32_t n = e->n[s] < QD_TOP_LEVELS ? e->n[s] : QD_TOP_LEVELS;
        const int64_t *from = qd_at(e, s, e->n[s]);
        int64_t *to = &slot->level[s][0][0];
        for (uint32_t i = 0; i < n; i++) {
            from -= e->width;
            qd_st(to + 2 * i, from[0]);
            qd_st(to + 2 * i + 1, from[1]);
            if (e->kind == 3)
                qd_st(&slot->orders[s][i], from[2]);
        }
    }
}

/* Ends the change of the depth and publishes version head + 1 of best and top. */
static void qd_end(qd_engine *e, int64_t ns)
{
    qd_book *b = e->book;
    int64_t w[QD_N_WORDS];
    qd_show(e, ns);
    if (!e->publish)
        return;
    qd_begin(e); /* a status alone changes the depth's words too */
    qd_words(e, w, UINT32_MAX);
    qd_store_words(b->word, w, QD_N_WORDS);
    qd_st(&b->start[0], e->start[0]);
    qd_st(&b->start[1], e->start[1]);
    e->writing = 0;
    __atomic_store_n(&b->depth_seq, b->depth_seq + 1, __ATOMIC_RELEASE);

    uint64_t v = b->head + 1;
    qd_best *best = &b->best[v % QD_VERSIONS];
    qd_top *top = &b->top[v % QD_VERSIONS];
    w[QD_W_N_BIDS] = w[QD_W_N_BIDS] < QD_TOP_LEVELS ? w[QD_W_N_BIDS] : QD_TOP_LEVELS;
    w[QD_W_N_ASKS] = w[QD_W_N_ASKS] < QD_TOP_LEVELS ? w[QD_W_N_ASKS] : QD_TOP_LEVELS;
    __atomic_store_n(&best->seq, 2 * v - 1, __ATOMIC_RELAXED);
    __atomic_store_n(&top->seq, 2 * v - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    qd_store_words(best->word, w, QD_N_WORDS);
    qd_store_words(top->word, w, QD_N_WORDS);
    qd_store_top(e, top);
    __atomic_store_n(&best->seq, 2 * v, __ATOMIC_RELEASE);
    __atomic_store_n(&top->seq, 2 * v, __ATOMIC_RELEASE);
    __atomic_store_n(&b->head, v, __ATOMIC_RELEASE);
}

/* -- levels -------------------------------------------------------------------------------------------- */

static inline int64_t qd_rank(int side, int64_t px) /* rises towards the best */
{
    return side ? ~px : px; /* ~ orders like negation and cannot overflow */
}

/* The index of the level at px, or of the first better one: where px belongs. */
static uint32_t qd_place(const qd_engine *e, int side, int64_t px, int *found)
{
    const int64_t *level = qd_at(e, side, 0);
    const int64_t rank = qd_rank(side, px);
    uint32_t hi = e->n[side], lo = 0;
    for (int near = 0; near < 6 && hi > 0; near++) { /* most changes are near the best */
        int64_t r = qd_rank(side, level[(size_t)(hi - 1) * e->width]);
        if (r <= rank) {
            *found = r == rank;
            return r == rank ? hi - 1 : hi;
        }
        hi--;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (qd_rank(side, level[(size_t)mid * e->width]) < rank)
            lo = mid + 1;
        else
            hi = mid;
    }
    *found = lo < e->n[side] && level[(size_t)lo * e->width] == px;
    return lo;
}

static void qd_move(const qd_engine *e, int64_t *to, const int64_t *from, size_t words)
{
    if (!e->publish) /* nobody reads beside us */
        memmove(to, from, 8 * words);
    else if (to < from)
        for (size_t i = 0; i < words; i++)
            qd_st(to + i, from[i]);
    else
        for (size_t i = words; i-- > 0;)
            qd_st(to + i, from[i]);
}

static void qd_recentre(qd_engine *e, int side)
{
    uint32_t start = (e->side_levels - e->n[side]) / 2;
    int64_t *from = qd_at(e, side, 0);
    qd_move(e, e->side[side] + (size_t)start * e->width, from, (size_t)e->n[side] * e->width);
    e->start[side] = start;
}

/* Room for a level at index i, moving the shorter part; n < cap, so that both ends have room after recentring. */
static int64_t *qd_open(qd_engine *e, int side, uint32_t i)
{
    uint32_t n = e->n[side]++;
    int front = i < n / 2;
    if (front ? e->start[side] == 0 : e->start[side] + n == e->side_levels) {
        e->n[side] = n;
        qd_recentre(e, side);
        e->n[side] = n + 1;
    }
    if (front) {
        int64_t *first = qd_at(e, side, 0);
        qd_move(e, first - e->width, first, (size_t)i * e->width);
        e->start[side]--;
    } else {
        int64_t *at = qd_at(e, side, i);
        qd_move(e, at + e->width, at, (size_t)(n - i) * e->width);
    }
    return qd_at(e, side, i);
}

static void qd_close(qd_engine *e, int side, uint32_t i)
{
    uint32_t n = e->n[side]--;
    if (i < n / 2) {
        int64_t *first = qd_at(e, side, 0);
        qd_move(e, first + e->width, first, (size_t)i * e->width);
        e->start[side]++;
    } else {
        int64_t *at = qd_at(e, side, i);
        qd_move(e, at, at + e->width, (size_t)(n - 1 - i) * e->width);
    }
}

static int qd_set_level(qd_engine *e, int side, int64_t px, int64_t qty)
{
    int found;
    uint32_t i = qd_place(e, side, px, &found);
    if (found) {
        qd_st(qd_at(e, side, i) + 1, qty);
        return QD_OK;
    }
    if (e->n[side] == e->cap)
        return QD_CAPACITY;
    int64_t *level = qd_open(e, side, i);
    qd_st(level, px);
    qd_st(level + 1, qty);
    return QD_OK;
}

static void qd_delete_level(qd_engine *e, int side, int64_t px)
{
    int found;
    uint32_t i = qd_place(e, side, px, &found);
    if (found)
        qd_close(e, side, i);
}
#endif
