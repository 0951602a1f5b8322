/* The book engine: what applies changes, for books in a region (their one writer) and for private ones.
 *
 * Private to the writer; readers need book.h alone. Stores into the depth go word by word with relaxed atomics, between the
 * two halves of the sequence lock. A side is a sorted array with the best level at its end, which slides in room at both ends:
 * a change near the best moves few words, cutting the worst level moves none. L3 orders are nodes in a pool, queued at
 * their level and found by key through an open-addressed table that only the writer has.
 */
#ifndef QD_BOOK_IMPL_H
#define QD_BOOK_IMPL_H

#include <stdlib.h>

#include "../base/md_record.h"
#include "book.h"

#define QD_LAST_OF_MESSAGE (1 << 25) /* in `what` of packed changes: the venue's message ends with this change */

typedef struct {
    qd_book *book; /* in the region, or private */
    int publish; /* the book has readers */
    uint32_t kind, width, cap, side_levels, max_depth, top_only;
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

static void qd_move(int64_t *to, const int64_t *from, size_t words)
{
    if (to < from)
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
    qd_move(e->side[side] + (size_t)start * e->width, from, (size_t)e->n[side] * e->width);
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
        qd_move(first - e->width, first, (size_t)i * e->width);
        e->start[side]--;
    } else {
        int64_t *at = qd_at(e, side, i);
        qd_move(at + e->width, at, (size_t)(n - i) * e->width);
    }
    return qd_at(e, side, i);
}

static void qd_close(qd_engine *e, int side, uint32_t i)
{
    uint32_t n = e->n[side]--;
    if (i < n / 2) {
        int64_t *first = qd_at(e, side, 0);
        qd_move(first + e->width, first, (size_t)i * e->width);
        e->start[side]++;
    } else {
        int64_t *at = qd_at(e, side, i);
        qd_move(at, at + e->width, (size_t)(n - 1 - i) * e->width);
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

/* -- L3: the table of orders --------------------------------------------------------------------------- */

static inline uint32_t qd_hash(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 32);
}

static inline size_t qd_home(const qd_engine *e, uint32_t hash)
{
    return hash >> (32 - e->table_bits);
}

static inline int64_t *qd_node(const qd_engine *e, uint32_t at)
{
    return e->pool + (size_t)(at - 1) * QD_ORDER_WORDS;
}

/* The slot that holds key, or the empty one where it belongs. A slot is hash << 32 | 1 + index of the order. */
static size_t qd_slot(const qd_engine *e, uint64_t key)
{
    const size_t mask = ((size_t)1 << e->table_bits) - 1;
    const uint32_t hash = qd_hash(key);
    size_t i = qd_home(e, hash);
    for (; e->table[i]; i = (i + 1) & mask)
        if ((uint32_t)(e->table[i] >> 32) == hash && (uint64_t)*qd_node(e, (uint32_t)e->table[i]) == key)
            break;
    return i;
}

static int qd_grow_table(qd_engine *e)
{
    unsigned bits = e->table_bits + 1;
    uint64_t *old = e->table, *table = calloc((size_t)1 << bits, 8);
    if (table == NULL)
        return QD_CAPACITY;
    const size_t mask = ((size_t)1 << bits) - 1, n = (size_t)1 << e->table_bits;
    for (size_t k = 0; k < n; k++)
        if (old[k]) {
            size_t i = (uint32_t)(old[k] >> 32) >> (32 - bits);
            while (table[i])
                i = (i + 1) & mask;
            table[i] = old[k];
        }
    free(old);
    e->table = table;
    e->table_bits = bits;
    return QD_OK;
}

static void qd_forget(qd_engine *e, size_t i) /* backward-shift deletion: no tombstones */
{
    const size_t mask = ((size_t)1 << e->table_bits) - 1;
    for (size_t j = (i + 1) & mask; e->table[j]; j = (j + 1) & mask) {
        size_t home = qd_home(e, (uint32_t)(e->table[j] >> 32));
        if (((j - home) & mask) >= ((j - i) & mask)) {
            e->table[i] = e->table[j];
            i = j;
        }
    }
    e->table[i] = 0;
}

/* -- L3: queues ---------------------------------------------------------------------------------------- */

static inline uint32_t qd_next(const int64_t *node)
{
    return (uint32_t)node[4];
}

static inline uint32_t qd_prev(const int64_t *node)
{
    return (uint32_t)((uint64_t)node[4] >> 32);
}

static inline void qd_link(int64_t *p, uint32_t low, uint32_t high)
{
    qd_st(p, (int64_t)((uint64_t)high << 32 | low));
}

/* Into the queue of a level behind every order of the same or an earlier time; time 0 is last. */
static void qd_enqueue(qd_engine *e, int64_t *level, uint32_t at, int64_t time_ns)
{
    uint32_t first = (uint32_t)level[3], last = (uint32_t)((uint64_t)level[3] >> 32), after = last, before = 0;
    while (after && time_ns && !e->in_order && qd_node(e, after)[2] > time_ns) {
        before = after;
        after = qd_prev(qd_node(e, after));
    }
    qd_link(qd_node(e, at) + 4, before, after);
    if (after)
        qd_link(qd_node(e, after) + 4, at, qd_prev(qd_node(e, after)));
    if (before)
        qd_link(qd_node(e, before) + 4, qd_next(qd_node(e, before)), at);
    qd_link(level + 3, after ? first : at, before ? last : at);
}

static void qd_dequeue(qd_engine *e, int64_t *level, const int64_t *node)
{
    uint32_t next = qd_next(node), prev = qd_prev(node);
    uint32_t first = (uint32_t)level[3], last = (uint32_t)((uint64_t)level[3] >> 32);
    if (prev)
        qd_link(qd_node(e, prev) + 4, next, qd_prev(qd_node(e, prev)));
    if (next)
        qd_link(qd_node(e, next) + 4, qd_next(qd_node(e, next)), prev);
    qd_link(level + 3, prev ? first : next, next ? last : prev);
}

static int qd_add_order(qd_engine *e, int side, int64_t px, int64_t qty, uint64_t key, int64_t time_ns)
{
    int found;
    int64_t total = qty;
    size_t slot = qd_slot(e, key);
    if (e->table[slot])
        return QD_DUPLICATE_ORDER;
    if (e->n_orders == e->cap_orders)
        return QD_CAPACITY;
    if (2 * ((size_t)e->n_orders + 1) > (size_t)1 << e->table_bits) {
        if (qd_grow_table(e) != QD_OK)
            return QD_CAPACITY;
        slot = qd_slot(e, key);
    }
    uint32_t i = qd_place(e, side, px, &found);
    if (found ? __builtin_add_overflow(qd_at(e, side, i)[1], qty, &total) : e->n[side] == e->cap)
        return found ? QD_NUMBER : QD_CAPACITY;
    int64_t *level = found ? qd_at(e, side, i) : qd_open(e, side, i);
    if (!found) {
        qd_st(level, px);
        qd_st(level + 2, 0);
        qd_st(level + 3, 0);
    }
    uint32_t at = e->free ? e->free : ++e->fresh;
    int64_t *node = qd_node(e, at);
    if (e->free)
        e->free = qd_next(node);
    const int64_t words[QD_ORDER_WORDS] = {(int64_t)key, qty, time_ns, px, 0, side};
    qd_store_words(node, words, QD_ORDER_WORDS);
    qd_enqueue(e, level, at, time_ns);
    qd_st(level + 1, total);
    qd_st(level + 2, level[2] + 1);
    e->table[slot] = (uint64_t)qd_hash(key) << 32 | at;
    e->n_orders++;
    return QD_OK;
}

static void qd_delete_order(qd_engine *e, size_t slot)
{
    int found;
    uint32_t at = (uint32_t)e->table[slot];
    int64_t *node = qd_node(e, at);
    int side = (int)node[5];
    uint32_t i = qd_place(e, side, node[3], &found);
    int64_t *level = qd_at(e, side, i);
    qd_forget(e, slot);
    e->n_orders--;
    if (level[2] == 1) {
        qd_close(e, side, i);
    } else {
        qd_dequeue(e, level, node);
        qd_st(level + 1, level[1] - node[1]);
        qd_st(level + 2, level[2] - 1);
    }
    qd_link(node + 4, e->free, 0);
    e->free = at;
}

/* A change keeps the order's place unless it moves to another price, side or time of joining the level. */
static int qd_change_order(qd_engine *e, size_t slot, int side, int64_t px, int64_t qty, uint64_t key, int64_t time_ns)
{
    int64_t *node = qd_node(e, (uint32_t)e->table[slot]);
    int64_t total;
    int found;
    if (node[3] != px || node[5] != side || (time_ns != 0 && time_ns != node[2])) {
        qd_delete_order(e, slot);
        return qd_add_order(e, side, px, qty, key, time_ns);
    }
    int64_t *level = qd_at(e, side, qd_place(e, side, px, &found));
    if (__builtin_add_overflow(level[1] - node[1], qty, &total))
        return QD_NUMBER;
    qd_st(level + 1, total);
    qd_st(node + 1, qty);
    return QD_OK;
}

/* -- messages ------------------------------------------------------------------------------------------ */

static void qd_clear_side(qd_engine *e, int side)
{
    e->n[side] = 0;
    e->start[side] = e->side_levels / 2;
}

static void qd_clear(qd_engine *e)
{
    qd_begin(e);
    qd_clear_side(e, 0);
    qd_clear_side(e, 1);
    if (e->kind == 3 && e->fresh)
        memset(e->table, 0, (size_t)8 << e->table_bits);
    e->n_orders = e->fresh = e->free = 0;
    e->last_seq = 0;
}

/* One change to the depth; does not publish. Trades and other entry types pass without effect. */
static int qd_change(qd_engine *e, int64_t what, int64_t px, int64_t qty, uint64_t key, int64_t time_ns)
{
    const int side = (int)(what & 255), action = (int)(what >> 8 & 255);
    if (side > 1)
        return QD_OK;
    if (qty < 0)
        return QD_NUMBER;
    if (e->kind == 2) {
        if (action == 2 || qty == 0) {
            qd_delete_level(e, side, px);
            return QD_OK;
        }
        if (e->top_only)
            qd_clear_side(e, side);
        return qd_set_level(e, side, px, qty);
    }
    if (action == 0 && qty != 0)
        return qd_add_order(e, side, px, qty, key, time_ns);
    size_t slot = qd_slot(e, key);
    if (!e->table[slot]) {
        if (e->max_depth == 0 || action != 2)
            return QD_UNKNOWN_ORDER;
        e->ghosts++; /* the window was cut before the venue said so */
        return QD_OK;
    }
    if (action == 2 || qty == 0)
        qd_delete_order(e, slot);
    else
        return qd_change_order(e, slot, side, px, qty, key, time_ns);
    return QD_OK;
}

static void qd_cut_side(qd_engine *e, int side)
{
    while (e->n[side] > e->max_depth) {
        int64_t *worst = qd_at(e, side, 0);
        if (e->kind == 3) {
            for (int64_t left = worst[2]; left > 0; left--)
                qd_delete_order(e, qd_slot(e, (uint64_t)qd_node(e, (uint32_t)qd_at(e, side, 0)[3])[0]));
        } else {
            qd_close(e, side, 0);
        }
    }
}

static void qd_cut(qd_engine *e)
{
    if (e->max_depth == 0)
        return;
    qd_cut_side(e, 0);
    qd_cut_side(e, 1);
}

static void qd_message_end(qd_engine *e)
{
    qd_cut(e);
    e->messages++;
    qd_end(e, e->recv_ns);
}

static void qd_set_state(qd_engine *e, int state, int reason, int64_t ns)
{
    if (state == QD_HALTED) {
        e->halted = 1;
    } else {
        e->halted = state == QD_LIVE ? 0 : e->halted;
        e->base = state;
        e->reason = reason;
    }
    qd_end(e, ns);
}

static int qd_fail(qd_engine *e, int reason)
{
    qd_set_state(e, QD_STALE, reason, e->recv_ns);
    return reason;
}

/* Packed changes; a region's book that is out takes only what replaces it. On a defect the book is STALE at once. */
static int qd_apply_packed(qd_engine *e, const char *bytes, size_t size, int64_t last_seq, int64_t venue_ns, int64_t recv_ns)
{
    const size_t stride = e->kind == 3 ? 40 : 24;
    if (e->base != QD_LIVE)
        return QD_SNAPSHOT;
    e->venue_ns = venue_ns;
    e->recv_ns = recv_ns;
    if (size % stride)
        return qd_fail(e, QD_MALFORMED);
    for (const char *p = bytes, *end = bytes + size; p < end; p += stride) {
        int64_t what = qd_load64(p);
        qd_begin(e);
        int reason = qd_change(
            e, what, qd_load64(p + 8), qd_load64(p + 16), stride == 40 ? (uint64_t)qd_load64(p + 24) : 0,
            stride == 40 ? qd_load64(p + 32) : 0);
        if (reason != QD_OK)
            return qd_fail(e, reason);
        if (p + stride == end)
            e->last_seq = last_seq; /* what the whole of the bytes stands for */
        if (what & QD_LAST_OF_MESSAGE || p + stride == end)
            qd_message_end(e);
    }
    if (size == 0) {
        e->last_seq = last_seq;
        qd_message_end(e);
    }
    return QD_OK;
}

/* One side of a snapshot: L2 (px, qty), L3 (px, qty, key, time_ns) in queue order. */
static int qd_load_side(qd_engine *e, int side, const char *bytes, size_t size)
{
    const size_t stride = e->kind == 3 ? 32 : 16;
    if (size % stride)
        return QD_MALFORMED;
    for (const char *p = bytes, *end = bytes + size; p < end; p += stride) {
        int reason = qd_change(
            e, side, qd_load64(p), qd_load64(p + 8), stride == 32 ? (uint64_t)qd_load64(p + 16) : 0,
            stride == 32 ? qd_load64(p + 24) : 0);
        if (reason != QD_OK)
            return reason;
    }
    return QD_OK;
}

static int qd_replace(
    qd_engine *e, const char *bids, size_t bids_size, const char *asks, size_t asks_size, int64_t last_seq, int64_t venue_ns,
    int64_t recv_ns)
{
    qd_clear(e);
    e->venue_ns = venue_ns;
    e->recv_ns = recv_ns;
    e->in_order = 1;
    int reason = qd_load_side(e, 0, bids, bids_size);
    if (reason == QD_OK)
        reason = qd_load_side(e, 1, asks, asks_size);
    e->in_order = 0;
    if (reason != QD_OK)
        return qd_fail(e, reason);
    e->base = QD_LIVE;
    e->reason = QD_OK;
    e->last_seq = last_seq;
    qd_message_end(e);
    return QD_OK;
}

static int qd_init(
    qd_engine *e, qd_book *book, void *extent, uint32_t kind, uint32_t levels, uint32_t orders, uint32_t max_depth, int publish)
{
    memset(e, 0, sizeof *e);
    e->book = book;
    e->kind = kind;
    e->width = qd_level_words(kind);
    e->cap = levels;
    e->side_levels = qd_side_levels(levels);
    e->max_depth = max_depth;
    e->publish = publish;
    e->side[0] = extent;
    e->side[1] = e->side[0] + (size_t)e->side_levels * e->width;
    e->pool = e->side[1] + (size_t)e->side_levels * e->width;
    e->cap_orders = orders;
    e->reason = QD_START;
    qd_clear_side(e, 0);
    qd_clear_side(e, 1);
    if (kind == 3) {
        e->table_bits = 10;
        e->table = calloc((size_t)1 << e->table_bits, 8);
        if (e->table == NULL)
            return -1;
    }
    return 0;
}
#endif
