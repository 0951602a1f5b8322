/* The book engine: changes, messages, snapshots and states, for books in a region (their one writer) and private ones. */
#ifndef QD_BOOK_IMPL_H
#define QD_BOOK_IMPL_H

#include "book_orders.h"

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

/* A book of one level a side: the level that comes replaces the one that was. */
static int qd_set_only(qd_engine *e, int side, int64_t px, int64_t qty)
{
    if (e->n[side] && qd_best_of(e, side)[0] != px) {
        if (qd_note_cut(e, side, qd_best_of(e, side)[0], 0) != 0)
            return QD_CAPACITY;
        qd_clear_side(e, side);
    }
    return qd_set_level(e, side, px, qty);
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
        return e->top_only ? qd_set_only(e, side, px, qty) : qd_set_level(e, side, px, qty);
    }
    if (action == 0 && qty != 0)
        return qd_add_order(e, side, px, qty, key, time_ns);
    size_t slot = qd_slot(e, key);
    if (!e->table[slot]) {
        if (!e->ignore_unknown && (e->max_depth == 0 || action != 2))
            return QD_UNKNOWN_ORDER;
        e->ghosts++; /* the window was cut before the venue said so, or the venue speaks of orders beside the book */
        return QD_OK;
    }
    if (action == 2 || qty == 0)
        qd_delete_order(e, slot);
    else
        return qd_change_order(e, slot, side, px, qty, key, time_ns);
    return QD_OK;
}

static int qd_cut_side(qd_engine *e, int side)
{
    while (e->n[side] > e->max_depth) {
        const int64_t *worst = qd_at(e, side, 0);
        const int64_t px = worst[0], orders = e->kind == 3 ? worst[2] : 0;
        for (int64_t left = orders; left > 0; left--) { /* the level goes with its last order */
            const int64_t key = qd_node(e, (uint32_t)qd_at(e, side, 0)[3])[0];
            if (qd_note_cut(e, side, px, key) != 0)
                return QD_CAPACITY;
            qd_delete_order(e, qd_slot(e, (uint64_t)key));
        }
        if (e->kind == 3)
            continue;
        if (qd_note_cut(e, side, px, 0) != 0)
            return QD_CAPACITY;
        qd_close(e, side, 0);
    }
    return QD_OK;
}

static int qd_cut(qd_engine *e)
{
    if (e->max_depth == 0)
        return QD_OK;
    int reason = qd_cut_side(e, 0);
    return reason == QD_OK ? qd_cut_side(e, 1) : reason;
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
