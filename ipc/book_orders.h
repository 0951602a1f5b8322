/* L3: orders are nodes in a pool, queued at their level, found by key through an open-addressed table that only the writer
 * has. Times order a queue, arrival orders what has the same time.
 */
#ifndef QD_BOOK_ORDERS_H
#define QD_BOOK_ORDERS_H

#include "book_engine.h"

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
#endif
