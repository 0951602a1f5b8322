/* Random histories through the book engine, to be built with address and undefined-behaviour sanitizers.
 *
 *   gcc -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -I. tests/fuzz/book_history.c -o book_history
 *   ./book_history SEED ROUNDS
 *
 * After every message the structure is checked from outside: levels sorted, sums and queues right, every order found by
 * its key, readers see what the engine holds. Packed bytes and records are also damaged at random. Prints the number of
 * messages, or what was wrong.
 */
#include <stdio.h>

#include "ipc/book_verify.h"

static uint64_t state;

static uint64_t rnd(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

#define MUST(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x); \
            abort(); \
        } \
    } while (0)

static void check_queue(const qd_engine *e, int side, const int64_t *level)
{
    uint32_t before = 0, at = (uint32_t)level[3];
    int64_t n = 0, qty = 0;
    for (; at; before = at, at = qd_next(qd_node(e, at))) {
        const int64_t *node = qd_node(e, at);
        MUST(at <= e->fresh && node[3] == level[0] && node[5] == side && qd_prev(node) == before);
        MUST((uint32_t)e->table[qd_slot(e, (uint64_t)node[0])] == at);
        n++;
        qty += node[1];
    }
    MUST(before == (uint32_t)((uint64_t)level[3] >> 32) && n == level[2] && qty == level[1] && n > 0);
}

static void check(const qd_engine *e)
{
    int64_t orders = 0;
    for (int side = 0; side < 2; side++) {
        MUST(e->n[side] <= e->cap && e->start[side] + e->n[side] <= e->side_levels);
        for (uint32_t i = 0; i < e->n[side]; i++) {
            const int64_t *level = qd_at(e, side, i);
            MUST(i == 0 || qd_rank(side, level[-(int)e->width]) < qd_rank(side, level[0]));
            MUST(level[1] > 0);
            if (e->kind == 3) {
                check_queue(e, side, level);
                orders += level[2];
            }
        }
    }
    MUST(orders == e->n_orders && e->n_orders <= e->cap_orders);
}

static void check_readers(const char *base, const qd_entry *entry, const qd_engine *e)
{
    static int64_t sides[2][3 * 64], top[4 * QD_TOP_LEVELS], order[4 * 64];
    int64_t word[QD_N_WORDS], best[QD_N_WORDS], *to[2] = {sides[0], sides[1]};
    const qd_book *b = qd_book_at(base, entry);
    size_t n[2], orders;
    MUST(qd_read_best(b, best, 1) == 1);
    MUST(qd_read_top(b, word, top, NULL, QD_TOP_LEVELS, 1) == 1);
    MUST(qd_read_depth(base, entry, word, to, 64, 0, n, 1) == 1);
    for (int side = 0; side < 2; side++) {
        MUST(n[side] == e->n[side]);
        for (size_t i = 0; i < n[side]; i++) {
            const int64_t *level = qd_at(e, side, e->n[side] - 1 - (uint32_t)i);
            MUST(sides[side][3 * i] == level[0] && sides[side][3 * i + 1] == level[1]);
            if (i < QD_TOP_LEVELS)
                MUST(memcmp(top + 2 * (QD_TOP_LEVELS * (size_t)side + i), level, 16) == 0);
        }
        MUST(n[side] ? best[QD_W_BID_PX + 3 * side] == sides[side][0] : best[QD_W_BID_QTY + 3 * side] == 0);
        if (e->kind == 3) {
            MUST(qd_read_orders(base, entry, word, side, 0, order, 64, &orders, 1) == 1);
            for (size_t i = 1; i < orders; i++)
                MUST(qd_rank(side, order[4 * (i - 1)]) >= qd_rank(side, order[4 * i]));
        }
    }
    MUST((int)(best[QD_W_STATE] & 255) == e->shown);
}

static int64_t number(void)
{
    switch (rnd(1500)) {
    case 0:
        return INT64_MAX;
    case 1:
        return INT64_MIN + 1;
    case 2:
        return -1;
    default:
        return (int64_t)rnd(30);
    }
}

/* Mostly changes that fit the book as it stands before the message, so that histories get long. */
static size_t random_changes(const qd_engine *e, int64_t *out, size_t width, int snapshot)
{
    size_t n = snapshot ? rnd(25) : e->kind == 3 ? 1 + rnd(2) : rnd(6);
    for (size_t i = 0; i < n; i++, out += width) {
        out[0] = (int64_t)(rnd(20) ? rnd(2) : rnd(256)) | (int64_t)rnd(3) << 8 | (rnd(4) ? 0 : QD_LAST_OF_MESSAGE);
        out[1] = number();
        out[2] = rnd(20) ? 1 + (int64_t)rnd(9) : number();
        if (width == 5) {
            out[3] = (int64_t)(1 + rnd(80)) * (rnd(2) ? 1 : INT64_C(0x100000001));
            out[4] = (int64_t)rnd(5);
            if (e->kind == 3 && rnd(300) && (out[0] & 255) < 2)
                out[0] = (out[0] & 255) | (snapshot || !e->table[qd_slot(e, (uint64_t)out[3])] ? 0 : (int64_t)(1 + rnd(2)) << 8);
            if (snapshot && rnd(50))
                out[3] = (int64_t)(i + 1);
        }
    }
    return n;
}

static void feed_record(qd_checked *c, qd_engine *shared)
{
    int64_t words[QD_MD_HEADER + 30 * QD_MD_CHANGE] = {0}, trades = 0;
    const char *record = (const char *)words;
    size_t n;
    words[QD_MD_KIND] = rnd(30) == 0;
    n = random_changes(c->book, words + QD_MD_HEADER, 5, words[QD_MD_KIND] == 1);
    words[QD_MD_N_CHANGES] = rnd(50) ? (int64_t)n : number();
    words[QD_MD_FLAGS] = (int64_t)((rnd(30) ? 6 : rnd(8)) | (rnd(500) ? 0 : QD_MD_DEFECT));
    words[QD_MD_LAST_ID] = c->book->last_seq + 1 + (int64_t)rnd(3) - (rnd(50) == 0);
    words[QD_MD_FIRST_ID] = c->book->last_seq + (int64_t)rnd(2) + (rnd(100) == 0);
    n = qd_record_words(record, QD_MD_HEADER + 30 * QD_MD_CHANGE);
    MUST(n <= QD_MD_HEADER + 30 * QD_MD_CHANGE);
    if (n == 0)
        return;
    c->changes.size = 0;
    if (qd_verify(c, record, qd_count_book_changes(record, &trades)) == QD_OK) {
        if (words[QD_MD_KIND] == 1) { /* the shared book gets it as a subscriber would */
            size_t sizes[2] = {qd_packed_side_size(c->book, 0), qd_packed_side_size(c->book, 1)};
            char *packed = malloc(sizes[0] + sizes[1] + 1);
            qd_pack_side(c->book, 0, packed);
            qd_pack_side(c->book, 1, packed + sizes[0]);
            MUST(qd_replace(shared, packed, sizes[0], packed + sizes[0], sizes[1], c->book->last_seq, 1, 2) == QD_OK);
            free(packed);
        } else {
            int reason = qd_apply_packed(shared, c->changes.data, c->changes.size, c->book->last_seq, 1, 2);
            MUST(reason == QD_OK || reason == QD_SNAPSHOT);
        }
        if (shared->base == QD_LIVE) {
            MUST(shared->n[0] == c->book->n[0] && shared->n[1] == c->book->n[1] && shared->n_orders == c->book->n_orders);
            MUST(qd_crc32_top(shared, 10, 1, 1) == qd_crc32_top(c->book, 10, 1, 1));
        }
    } else if (c->book->base != QD_LIVE) {
        MUST(c->changes.size == 0);
        qd_set_state(shared, QD_STALE, QD_GAP, 3);
    }
}

static void feed_packed(qd_engine *e) /* straight, damaged at times: any defect must leave a STALE book and no more */
{
    int64_t words[30 * 5];
    size_t width = e->kind == 3 ? 5 : 3, n = random_changes(e, words, width, 0), size = 8 * width * n;
    if (size && rnd(300) == 0)
        size -= 1 + rnd(7);
    if (rnd(100) == 0)
        qd_replace(e, (const char *)words, size / 2, (const char *)words, size / 3, 0, 0, 0);
    int before = e->base, reason = qd_apply_packed(e, (const char *)words, size, 1, 2, 3);
    MUST(reason == QD_OK ? e->base == QD_LIVE : before != QD_LIVE || e->base == QD_STALE);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (uint32_t kind = 2; kind <= 3; kind++) {
        uint32_t levels = 3 + (uint32_t)rnd(40), orders = 60, side = qd_side_levels(levels), window = rnd(2) ? 0 : 2 + (uint32_t)rnd(8);
        size_t extent = qd_extent_size(kind, side, kind == 3 ? orders : 0), at = 512;
        char *base = aligned_alloc(64, (at + sizeof(qd_book) + extent + 63) / 64 * 64), *own = calloc(1, sizeof(qd_book) + extent);
        qd_entry entry = {.kind = kind, .levels = levels, .orders = orders, .side_levels = side, .book = at, .extent = at + sizeof(qd_book)};
        qd_engine shared, private;
        qd_checked checked = {.book = &private, .continuity = (int)rnd(4), .checksum_levels = 10, .px_div = 1, .qty_div = 1};
        memset(base, 0, at + sizeof(qd_book) + extent);
        MUST(qd_init(&shared, (qd_book *)(base + at), base + entry.extent, kind, levels, orders, 0, 1) == 0);
        MUST(qd_init(&private, (qd_book *)own, own + sizeof(qd_book), kind, levels, orders, window, 0) == 0);
        for (uint64_t i = 0; i < rounds; i++) {
            if (i == rounds / 2)
                qd_set_state(&shared, QD_STALE, QD_GAP, 0);
            if (i < rounds / 2 && rnd(100) == 0)
                qd_replace(&shared, NULL, 0, NULL, 0, 0, 0, 0);
            if (i < rounds / 2)
                feed_packed(&shared);
            else
                feed_record(&checked, &shared);
            if (shared.base == QD_LIVE)
                check(&shared);
            if (private.base == QD_LIVE)
                check(&private);
            if (shared.base == QD_LIVE)
                check_readers(base, &entry, &shared);
        }
        printf("L%u: %lld messages shared, %lld private\n", kind, (long long)shared.messages, (long long)private.messages);
        MUST(shared.messages > (int64_t)rounds / 50 && private.messages > 0);
        free(shared.table);
        free(private.table);
        free(private.cuts.data);
        free(checked.changes.data);
        free(base);
        free(own);
    }
    return 0;
}
