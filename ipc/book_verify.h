/* From decoded records to verified, packed changes: the venue's rule is checked on a private book after each record. */
#ifndef QD_BOOK_VERIFY_H
#define QD_BOOK_VERIFY_H

#include "book_crc.h"
#include "book_impl.h"

enum qd_continuity { QD_RULE_NONE, QD_RULE_CHECKSUM, QD_RULE_UPDATE_IDS, QD_RULE_NEWEST, QD_N_RULES };

typedef struct {
    qd_engine *book; /* NULL: no such instrument in this set */
    int continuity, checksum_levels, crossed_is_stale;
    int64_t px_div, qty_div;
    int64_t req_key; /* 0: any */
    /* the verdict that is being put together */
    int open, reason, snapshot;
    int64_t first_id, last_id, n_messages, seq_num, sending_ns, recv_ns, n_trades, defect_tag;
    qd_bytes changes;
} qd_checked;

/* -- packing ------------------------------------------------------------------------------------------- */

/* One book change of a record, for books that do not know the venue's rule. -1: no memory. */
static inline int qd_pack_change(const qd_engine *e, const char *change, int64_t what, qd_bytes *out)
{
    const size_t stride = qd_change_size(e);
    if (qd_reserve(out, stride) != 0)
        return -1;
    what &= ~(int64_t)QD_LAST_OF_MESSAGE;
    memcpy(out->data + out->size, &what, 8);
    memcpy(out->data + out->size + 8, change + 8, stride - 8);
    out->size += stride;
    return 0;
}

/* Ends a packed message that began at `from`: what the window cut off, then the mark. -1: no memory. */
static int qd_pack_end(const qd_engine *e, qd_bytes *out, size_t from)
{
    if (qd_reserve(out, e->cuts.size) != 0)
        return -1;
    if (e->cuts.size)
        memcpy(out->data + out->size, e->cuts.data, e->cuts.size);
    out->size += e->cuts.size;
    if (out->size > from) {
        char *last = out->data + out->size - qd_change_size(e);
        int64_t what = qd_load64(last) | QD_LAST_OF_MESSAGE;
        memcpy(last, &what, 8);
    }
    return 0;
}

/* One side as (px, qty) or (px, qty, key, time_ns), best first, into `out` which has room. */
static void qd_pack_side(const qd_engine *e, int side, char *out)
{
    for (uint32_t i = e->n[side]; i-- > 0;) {
        const int64_t *level = qd_at(e, side, i);
        if (e->kind == 2) {
            memcpy(out, level, 16);
            out += 16;
            continue;
        }
        for (uint32_t at = (uint32_t)level[3]; at; at = qd_next(qd_node(e, at))) {
            const int64_t *node = qd_node(e, at);
            const int64_t words[4] = {level[0], node[1], node[0], node[2]};
            memcpy(out, words, 32);
            out += 32;
        }
    }
}

static size_t qd_packed_side_size(const qd_engine *e, int side)
{
    size_t orders = 0;
    if (e->kind == 2)
        return 16 * (size_t)e->n[side];
    for (uint32_t i = 0; i < e->n[side]; i++)
        orders += (size_t)qd_at(e, side, i)[2];
    return 32 * orders;
}

/* -- records ------------------------------------------------------------------------------------------- */

/* QD_MD_REDUCE as what is left of the order: a change or a delete of it. An order that is not there stays as it is. */
static void qd_resolve(const qd_engine *e, int64_t change[QD_MD_CHANGE])
{
    const size_t slot = e->kind == 3 ? qd_slot(e, (uint64_t)change[QD_MD_KEY]) : 0;
    const int64_t side = change[QD_MD_WHAT] & 255, taken = change[QD_MD_QTY];
    int64_t left = 0;
    if (e->kind != 3) {
        change[QD_MD_WHAT] = 255; /* levels know nothing of single orders */
    } else if (e->table[slot]) {
        const int64_t *node = qd_node(e, (uint32_t)e->table[slot]);
        left = node[1] > taken ? node[1] - taken : 0;
        change[QD_MD_PX] = node[3];
        change[QD_MD_WHAT] = node[5] | (left ? 1 : 2) << 8 | 1 << 24;
    } else {
        change[QD_MD_WHAT] = side | 2 << 8 | 1 << 24;
    }
    change[QD_MD_QTY] = left;
}

/* Whether a change makes an order larger where that costs it its place in the queue. */
static int qd_loses_place(const qd_engine *e, const int64_t change[QD_MD_CHANGE])
{
    if (!e->rise_requeues || e->kind != 3 || (change[QD_MD_WHAT] & 255) > 1 || (change[QD_MD_WHAT] >> 8 & 255) != 1)
        return 0;
    const size_t slot = qd_slot(e, (uint64_t)change[QD_MD_KEY]);
    return e->table[slot] && qd_node(e, (uint32_t)e->table[slot])[1] < change[QD_MD_QTY];
}

/* Its delete; what is left to do is to add it. -1: no memory. */
static int qd_requeue(qd_engine *e, int64_t change[QD_MD_CHANGE], qd_bytes *out)
{
    const int64_t side = change[QD_MD_WHAT] & 255;
    const int64_t gone[QD_MD_CHANGE] = {side | 2 << 8, change[QD_MD_PX], 0, change[QD_MD_KEY], 0};
    qd_delete_order(e, qd_slot(e, (uint64_t)change[QD_MD_KEY]));
    change[QD_MD_WHAT] = side | 1 << 24;
    return out != NULL ? qd_pack_change(e, (const char *)gone, gone[QD_MD_WHAT], out) : 0;
}

/* Applies the changes of a record to the depth; `out` (may be NULL) gets those that count, packed. */
static int qd_apply_entries(qd_engine *e, const char *record, qd_bytes *out)
{
    const int snapshot = qd_load64(record + 8 * QD_MD_KIND) == 1;
    const char *p = record + 8 * QD_MD_HEADER, *end = p + 8 * (size_t)qd_load64(record) * QD_MD_CHANGE;
    e->venue_ns = qd_load64(record + 8 * QD_MD_SENDING_NS);
    e->recv_ns = qd_load64(record + 8 * QD_MD_RECV_NS);
    if (snapshot)
        qd_clear(e);
    else
        qd_begin(e);
    for (; p < end; p += 8 * QD_MD_CHANGE) {
        int64_t c[QD_MD_CHANGE], before = e->ghosts;
        memcpy(c, p, sizeof c);
        if ((c[QD_MD_WHAT] >> 8 & 255) == QD_MD_REDUCE)
            qd_resolve(e, c);
        if (!snapshot && qd_loses_place(e, c) && qd_requeue(e, c, out) != 0)
            return QD_CAPACITY;
        int reason = qd_change(
            e, snapshot ? c[QD_MD_WHAT] & 255 : c[QD_MD_WHAT], c[QD_MD_PX], c[QD_MD_QTY], (uint64_t)c[QD_MD_KEY],
            c[QD_MD_TIME_NS]);
        if (reason != QD_OK)
            return reason;
        if (out != NULL && (c[QD_MD_WHAT] & 255) <= 1 && e->ghosts == before
            && qd_pack_change(e, (const char *)c, c[QD_MD_WHAT], out) != 0)
            return QD_CAPACITY;
    }
    return QD_OK;
}

static size_t qd_count_book_changes(const char *record, int64_t *trades)
{
    size_t n = 0;
    const char *p = record + 8 * QD_MD_HEADER, *end = p + 8 * (size_t)qd_load64(record) * QD_MD_CHANGE;
    for (; p < end; p += 8 * QD_MD_CHANGE) {
        int64_t type = qd_load64(p) & 255;
        n += type <= 1;
        *trades += type == 2;
    }
    return n;
}

/* One record applied to a book by itself, without a rule (a region's book publishes): a reason. */
static int qd_apply_record(qd_engine *e, const char *record)
{
    const int64_t flags = qd_load64(record + 8 * QD_MD_FLAGS);
    const int snapshot = qd_load64(record + 8 * QD_MD_KIND) == 1;
    if (!snapshot && e->base != QD_LIVE)
        return QD_SNAPSHOT;
    int reason = flags & QD_MD_DEFECT ? QD_NUMBER : qd_apply_entries(e, record, NULL);
    if (reason != QD_OK)
        return qd_fail(e, reason);
    e->last_seq = qd_load64(record + 8 * (flags & QD_MD_HAS_LAST_ID ? QD_MD_LAST_ID : QD_MD_SEQ_NUM));
    e->base = QD_LIVE;
    e->reason = QD_OK;
    qd_message_end(e);
    return QD_OK;
}

enum { QD_TAKE = 0, QD_DROP = -1 }; /* a positive answer is the reason for which the book breaks */

static int qd_check_ids(const qd_checked *c, const char *record, int64_t flags)
{
    const int64_t last = qd_load64(record + 8 * QD_MD_LAST_ID);
    const int64_t first = flags & QD_MD_HAS_FIRST_ID ? qd_load64(record + 8 * QD_MD_FIRST_ID) : last;
    if (c->continuity != QD_RULE_UPDATE_IDS && c->continuity != QD_RULE_NEWEST)
        return QD_TAKE;
    if (!(flags & QD_MD_HAS_LAST_ID))
        return QD_GAP;
    if (last <= c->book->last_seq)
        return QD_DROP;
    if (c->continuity == QD_RULE_UPDATE_IDS && first > c->book->last_seq + 1)
        return QD_GAP;
    return QD_TAKE;
}

static int qd_check_after(const qd_checked *c, const char *record, int64_t flags)
{
    const uint32_t said = (uint32_t)qd_load64(record + 8 * QD_MD_CHECKSUM);
    if (c->continuity == QD_RULE_CHECKSUM && flags & QD_MD_HAS_CHECKSUM
        && qd_crc32_top(c->book, (uint32_t)c->checksum_levels, c->px_div, c->qty_div) != said)
        return QD_CHECKSUM;
    return c->crossed_is_stale && qd_is_crossed(c->book) ? QD_CROSSING : QD_OK;
}

/* Applies, cuts, checks and packs; on a defect the book is out and `changes` as it was. */
static int qd_take(qd_checked *c, const char *record, int64_t flags, int snapshot)
{
    qd_engine *e = c->book;
    const size_t from = c->changes.size;
    int reason;
    e->tell_cuts = 1;
    e->cuts.size = 0;
    if ((reason = qd_apply_entries(e, record, snapshot ? NULL : &c->changes)) == QD_OK && (reason = qd_cut(e)) == QD_OK
        && (reason = qd_check_after(c, record, flags)) == QD_OK && !snapshot && qd_pack_end(e, &c->changes, from) != 0)
        reason = QD_CAPACITY;
    if (reason == QD_OK)
        return QD_OK;
    c->changes.size = from;
    return qd_fail(e, reason);
}

/* One record of this instrument through its rule: QD_OK (verified, and packed into `changes` unless it is a snapshot),
 * QD_DROP (nothing to publish), QD_SNAPSHOT when the book waits for one, or the reason for which it broke. */
static int qd_verify(qd_checked *c, const char *record, size_t book_changes)
{
    qd_engine *e = c->book;
    const int64_t flags = qd_load64(record + 8 * QD_MD_FLAGS), key = qd_load64(record + 8 * QD_MD_REQ_KEY);
    const int snapshot = qd_load64(record + 8 * QD_MD_KIND) == 1, has_id = (flags & QD_MD_HAS_LAST_ID) != 0;
    int reason;
    if (c->req_key && key && key != c->req_key)
        return QD_DROP;
    if (!snapshot && e->base != QD_LIVE)
        return QD_SNAPSHOT;
    if (flags & QD_MD_DEFECT)
        return qd_fail(e, QD_NUMBER);
    if (snapshot) {
        if (c->continuity >= QD_RULE_UPDATE_IDS && !has_id)
            return qd_fail(e, QD_GAP);
    } else {
        if (book_changes == 0 && !(c->continuity == QD_RULE_UPDATE_IDS && has_id))
            return QD_DROP; /* where messages are counted one by one, those count, too, that leave the book alone */
        if ((reason = qd_check_ids(c, record, flags)) != QD_TAKE)
            return reason == QD_DROP ? QD_DROP : qd_fail(e, reason);
    }
    if ((reason = qd_take(c, record, flags, snapshot)) != QD_OK)
        return reason;
    e->last_seq = qd_load64(record + 8 * (has_id ? QD_MD_LAST_ID : QD_MD_SEQ_NUM));
    e->base = QD_LIVE;
    e->reason = QD_OK;
    qd_message_end(e);
    return QD_OK;
}

/* The record's size in words when it lies wholly inside n words, else 0. */
static size_t qd_record_words(const char *record, size_t n)
{
    if (n < QD_MD_HEADER)
        return 0;
    const int64_t changes = qd_load64(record);
    if (changes < 0 || (uint64_t)changes > (n - QD_MD_HEADER) / QD_MD_CHANGE)
        return 0;
    return QD_MD_HEADER + (size_t)changes * QD_MD_CHANGE;
}
#endif
