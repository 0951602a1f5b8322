/* Order books in shared memory: the whole contract between the one writer and any number of readers.
 *
 * A region is a plain file on tmpfs that a reader maps read-only. This header is all a C reader needs (C11 or GNU C,
 * GCC or Clang, Linux, 64-bit little-endian); docs/shared-memory.md tells the same in words. Prices and sizes are
 * integers at the scales of the directory entry (value = integer / 10^scale); *_ns are UTC nanoseconds, *_mono_ns are
 * CLOCK_MONOTONIC of this host. Readers never write and never block the writer.
 *
 *   file    = qd_region | directory: n_books x qd_entry | per book: qd_book, then its depth extent
 *   qd_book = head | depth words | 8 versions of best bid and offer | 8 versions of the top 50 levels
 *   extent  = bid levels | offer levels | L3: orders
 *
 * Best and top are rings: version v stands in slot v % 8, and slots are only rewritten 8 versions later, so a reader
 * is done in one try unless it is put to sleep for 7 publications. The depth stands under a sequence lock with a bounded
 * number of tries, then QD_BUSY. Ask for the state before you use a number: words of a book that is not LIVE
 * are the last that were known, not the market; qd_writer_state() says whether anybody still stands behind them.
 */
#ifndef QD_BOOK_H
#define QD_BOOK_H

#if !defined(_GNU_SOURCE) && !defined(_POSIX_C_SOURCE)
#define _GNU_SOURCE /* clock_gettime under -std=c11, when this header comes first */
#endif
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QD_BOOK_MAGIC "QDBOOKS\n"
#define QD_BOOK_LAYOUT 1u
#define QD_VERSIONS 8
#define QD_TOP_LEVELS 50
#define QD_BUSY (-1)      /* the writer changed the area during every try */
#define QD_TOO_SMALL (-2) /* the caller's array cannot hold what the book holds */

enum qd_region_state { QD_ACTIVE = 1, QD_RETIRED = 2 };

enum qd_state { QD_RECOVERING = 0, QD_LIVE = 1, QD_STALE = 2, QD_CROSSED = 3, QD_HALTED = 4, QD_N_STATES };

enum qd_reason {
    QD_OK = 0,
    QD_START,         /* nothing has been received since the writer started */
    QD_SNAPSHOT,      /* waits for a fresh snapshot */
    QD_GAP,           /* update ids or sequence numbers have a hole */
    QD_CHECKSUM,      /* the venue's checksum disagrees */
    QD_CAPACITY,      /* the book outgrew its extent */
    QD_NUMBER,        /* a number did not fit, or a field was malformed */
    QD_CROSSING,      /* best bid not below best offer */
    QD_SESSION,       /* the venue session is gone */
    QD_STALL,         /* the feed fell silent */
    QD_UNKNOWN_ORDER, /* L3: a change or delete of an order that is not in the book */
    QD_DUPLICATE_ORDER,
    QD_MALFORMED,     /* packed changes of another shape */
    QD_VENUE_HALT,
    QD_WRITER_DEAD,   /* said by readers: nobody holds the region's lock */
    QD_WRITER_SILENT, /* said by readers: the writer holds its lock but its heartbeat stopped */
    QD_REGION_RETIRED,/* said by readers: the writer left this file and no successor is there yet */
    QD_N_REASONS
};

/* Words common to best, top and depth, written together with the levels they describe. */
enum qd_word {
    QD_W_STATE,     /* enum qd_state in bits 0-7, enum qd_reason in bits 8-15 */
    QD_W_SINCE_NS,  /* when the state was entered */
    QD_W_LAST_SEQ,  /* venue's update id or sequence number up to which the book stands */
    QD_W_VENUE_NS,  /* venue's sending time of the last message */
    QD_W_RECV_NS,   /* when its bytes were read */
    QD_W_MESSAGES,  /* messages applied since the region began: goes up by one with each */
    QD_W_N_BIDS,    /* levels in this area */
    QD_W_N_ASKS,
    QD_W_BID_PX,    /* best; size 0 when the side is empty */
    QD_W_BID_QTY,
    QD_W_BID_ORDERS,/* L3; 0 for L2 */
    QD_W_ASK_PX,
    QD_W_ASK_QTY,
    QD_W_ASK_ORDERS,
    QD_W_N_ORDERS,  /* L3: orders in the book */
    QD_N_WORDS
};

typedef struct {
    char magic[8];
    uint32_t layout;
    uint32_t header_size;
    uint64_t generation; /* differs between any two regions that ever stood at one path */
    uint64_t file_size;
    uint32_t n_books;
    uint32_t entry_size;
    uint64_t directory; /* offset */
    uint64_t heartbeat_limit_ns;
    uint64_t created_ns;
    uint8_t pad0[64];
    uint64_t state; /* enum qd_region_state; atomic */
    uint64_t heartbeat_mono_ns; /* atomic */
    uint8_t pad1[112];
} qd_region;

typedef struct {
    char venue[32]; /* NUL-terminated */
    char instrument[48];
    int32_t px_scale;
    int32_t qty_scale;
    uint32_t kind; /* 2 or 3: L2 or L3 */
    uint32_t levels; /* room for levels a side */
    uint32_t orders; /* L3: room for orders */
    uint32_t side_levels; /* array length of a side in the extent; levels slide in it */
    uint64_t book; /* offset of qd_book */
    uint64_t extent; /* offset of the depth extent */
    uint64_t extent_size;
} qd_entry;

typedef struct {
    uint64_t seq; /* 2 v when version v stands here, odd while it is written */
    int64_t word[QD_N_WORDS];
} qd_best;

typedef struct {
    uint64_t seq;
    int64_t word[QD_N_WORDS];
    int64_t level[2][QD_TOP_LEVELS][2]; /* [bids, offers][best first][px, qty]; as many as QD_W_N_BIDS, QD_W_N_ASKS say */
    int64_t orders[2][QD_TOP_LEVELS]; /* L3: orders in each level */
    uint8_t pad[32];
} qd_top;

typedef struct {
    uint64_t head; /* newest version; 0 = none yet */
    uint8_t pad0[56];
    uint64_t depth_seq; /* odd while the extent changes */
    int64_t word[QD_N_WORDS];
    int64_t start[2]; /* first used level of each side's array */
    uint8_t pad1[48];
    qd_best best[QD_VERSIONS];
    qd_top top[QD_VERSIONS];
} qd_book;

/* Depth extent, in words of 64 bits. A side's levels go from worst to best, so the best is at start + n - 1.
 * L2 level: px, qty. L3 level: px, qty, orders, queue (first order | last order << 32, as 1 + index).
 * L3 order: key, qty, time_ns, px, link (next | previous << 32, as 1 + index, 0 = none), side. */
#define QD_L2_LEVEL 2
#define QD_L3_LEVEL 4
#define QD_ORDER_WORDS 6

_Static_assert(sizeof(qd_region) == 256, "region header");
_Static_assert(sizeof(qd_entry) == 128 + 0, "directory entry");
_Static_assert(sizeof(qd_best) == 128 && sizeof(qd_top) == 2560, "slots");
_Static_assert(sizeof(qd_book) == 64 + 192 + QD_VERSIONS * (128 + 2560), "book");

static inline uint32_t qd_level_words(uint32_t kind)
{
    return kind == 3 ? QD_L3_LEVEL : QD_L2_LEVEL;
}

static inline uint64_t qd_extent_size(uint32_t kind, uint32_t side_levels, uint32_t orders)
{
    return 8u * (2u * (uint64_t)side_levels * qd_level_words(kind) + (kind == 3 ? QD_ORDER_WORDS * (uint64_t)orders : 0u));
}

/* Atomic words. Relaxed inside an area; its sequence word and the fences order them. */
static inline int64_t qd_ld(const int64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t qd_acquire(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void qd_copy(int64_t *to, const int64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = qd_ld(from + i);
}

static inline int qd_unchanged(const uint64_t *seq, uint64_t seen)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(seq, __ATOMIC_RELAXED) == seen;
}

static inline void qd_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Between tries of the depth: the writer may have been put to sleep in the middle of a change, so let it run. */
static inline void qd_give_way(int t)
{
    if (t < 8)
        qd_pause();
    else
        sched_yield();
}

/* NULL when `size` bytes at `base` are a region of this layout, else the name of the first field that is wrong. */
static inline const char *qd_region_check(const void *base, size_t size)
{
    const qd_region *r = (const qd_region *)base;
    if (size < sizeof *r)
        return "size";
    if (memcmp(r->magic, QD_BOOK_MAGIC, 8) != 0)
        return "magic";
    if (r->layout != QD_BOOK_LAYOUT)
        return "layout";
    if (r->header_size != sizeof *r)
        return "header_size";
    if (r->file_size != size)
        return "file_size";
    if (r->entry_size != sizeof(qd_entry))
        return "entry_size";
    if (r->directory % 8 || r->directory < sizeof *r || r->directory > size
        || r->n_books > (size - r->directory) / sizeof(qd_entry))
        return "directory";
    for (uint32_t i = 0; i < r->n_books; i++) {
        const qd_entry *e = (const qd_entry *)((const char *)base + r->directory) + i;
        if (e->kind != 2 && e->kind != 3)
            return "entry.kind";
        if (memchr(e->venue, 0, sizeof e->venue) == NULL || memchr(e->instrument, 0, sizeof e->instrument) == NULL)
            return "entry.instrument";
        if (e->book % 64 || e->book > size || size - e->book < sizeof(qd_book))
            return "entry.book";
        if (e->extent_size != qd_extent_size(e->kind, e->side_levels, e->orders))
            return "entry.extent_size";
        if (e->extent % 8 || e->extent > size || size - e->extent < e->extent_size)
            return "entry.extent";
    }
    return qd_acquire(&r->generation) == 0 ? "generation" : NULL;
}

static inline const qd_entry *qd_entry_at(const void *base, uint32_t i)
{
    return (const qd_entry *)((const char *)base + ((const qd_region *)base)->directory) + i;
}

static inline const qd_book *qd_book_at(const void *base, const qd_entry *e)
{
    return (const qd_book *)((const char *)base + e->book);
}

/* The directory entry of a book, or NULL. kind: 2, 3 or 0 for whichever comes first. */
static inline const qd_entry *qd_find_entry(const void *base, const char *venue, const char *instrument, uint32_t kind)
{
    for (uint32_t i = 0; i < ((const qd_region *)base)->n_books; i++) {
        const qd_entry *e = qd_entry_at(base, i);
        if ((kind == 0 || e->kind == kind) && strcmp(e->venue, venue) == 0 && strcmp(e->instrument, instrument) == 0)
            return e;
    }
    return NULL;
}

/* Liveness. The coarse clock (a few ms) is enough for a limit of hundreds of ms and costs a few ns. */
static inline uint64_t qd_mono_ns(void)
{
    struct timespec t;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
#endif
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 0 while the region is active and its heartbeat recent: the check to make with every read. */
static inline int qd_unattended(const void *base)
{
    const qd_region *r = (const qd_region *)base;
    uint64_t beat = __atomic_load_n(&r->heartbeat_mono_ns, __ATOMIC_RELAXED), now = qd_mono_ns();
    return __atomic_load_n(&r->state, __ATOMIC_RELAXED) != QD_ACTIVE || (now > beat && now - beat > r->heartbeat_limit_ns);
}

/* 1 while a writer holds its lock on the region's file (a system call). */
static inline int qd_locked(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* QD_OK, or why nobody stands behind the books: QD_REGION_RETIRED (open the path again), QD_WRITER_DEAD (open it again
 * too: a new writer replaces the file), QD_WRITER_SILENT. */
static inline int qd_writer_state(const void *base, int fd)
{
    if (!qd_unattended(base))
        return QD_OK;
    if (__atomic_load_n(&((const qd_region *)base)->state, __ATOMIC_RELAXED) != QD_ACTIVE)
        return QD_REGION_RETIRED;
    return qd_locked(fd) ? QD_WRITER_SILENT : QD_WRITER_DEAD;
}

/* Best bid and offer with the common words. The number of tries it took (1 is usual) or QD_BUSY. */
static inline int qd_read_best(const qd_book *b, int64_t word[QD_N_WORDS], int tries)
{
    for (int t = 1; t <= tries; t++) {
        uint64_t v = qd_acquire(&b->head);
        const qd_best *slot = &b->best[v % QD_VERSIONS];
        uint64_t seq = qd_acquire(&slot->seq);
        if (seq == 2 * v) {
            qd_copy(word, slot->word, QD_N_WORDS);
            if (qd_unchanged(&slot->seq, seq))
                return t;
        }
        qd_pause();
    }
    return QD_BUSY;
}

/* The top `levels` (at most 50): px, qty pairs of bids then of offers in level[4 * levels], best first, 0 where there is
 * none; orders (may be NULL) gets 2 * levels counts. Tries or QD_BUSY. */
static inline int qd_read_top(const qd_book *b, int64_t word[QD_N_WORDS], int64_t *level, int64_t *orders, int levels, int tries)
{
    for (int t = 1; t <= tries; t++) {
        uint64_t v = qd_acquire(&b->head);
        const qd_top *slot = &b->top[v % QD_VERSIONS];
        uint64_t seq = qd_acquire(&slot->seq);
        if (seq == 2 * v) {
            qd_copy(word, slot->word, QD_N_WORDS);
            for (int side = 0; side < 2; side++) {
                int64_t held = word[QD_W_N_BIDS + side];
                size_t n = held < 0 ? 0 : held < levels ? (size_t)held : (size_t)levels, all = (size_t)levels;
                n = n > QD_TOP_LEVELS ? QD_TOP_LEVELS : n;
                qd_copy(level + 2 * all * (size_t)side, &slot->level[side][0][0], 2 * n);
                memset(level + 2 * all * (size_t)side + 2 * n, 0, 16 * (all - n));
                if (orders != NULL) {
                    qd_copy(orders + all * (size_t)side, slot->orders[side], n);
                    memset(orders + all * (size_t)side + n, 0, 8 * (all - n));
                }
            }
            if (qd_unchanged(&slot->seq, seq))
                return t;
        }
        qd_pause();
    }
    return QD_BUSY;
}

/* The levels of the whole book, best first, at most `room` a side (px, qty, orders: 3 words each); n[side] is set to how
 * many. cut: nonzero takes the best `room`, zero fails with QD_TOO_SMALL when there are more. Tries or QD_BUSY. */
static inline int qd_read_depth(
    const void *base, const qd_entry *e, int64_t word[QD_N_WORDS], int64_t *side_level[2], size_t room, int cut, size_t n[2],
    int tries)
{
    const qd_book *b = qd_book_at(base, e);
    const size_t width = qd_level_words(e->kind);
    for (int t = 1; t <= tries; qd_give_way(t++)) {
        uint64_t seq = qd_acquire(&b->depth_seq);
        int too_small = 0;
        if (seq & 1)
            continue;
        qd_copy(word, b->word, QD_N_WORDS);
        for (int side = 0; side < 2; side++) {
            const int64_t *levels = (const int64_t *)((const char *)base + e->extent) + (size_t)side * e->side_levels * width;
            uint64_t start = (uint64_t)qd_ld(&b->start[side]), held = (uint64_t)word[QD_W_N_BIDS + side];
            if (start > e->side_levels || held > e->side_levels - start)
                start = held = 0; /* torn: seen below */
            too_small |= held > room && !cut;
            n[side] = held < room ? (size_t)held : room;
            for (size_t i = 0; i < n[side]; i++) {
                const int64_t *from = levels + (start + held - 1 - i) * width;
                int64_t *to = side_level[side] + 3 * i;
                to[0] = qd_ld(from);
                to[1] = qd_ld(from + 1);
                to[2] = width == QD_L3_LEVEL ? qd_ld(from + 2) : 0;
            }
        }
        if (qd_unchanged(&b->depth_seq, seq))
            return too_small ? QD_TOO_SMALL : t;
    }
    return QD_BUSY;
}

/* L3: the orders of one side, best level first and in queue order inside a level, of the best `levels` levels (0: all):
 * px, qty, key, time_ns, 4 words each, at most `room`; *n is set to how many. Tries, QD_BUSY or QD_TOO_SMALL. */
static inline int qd_read_orders(
    const void *base, const qd_entry *e, int64_t word[QD_N_WORDS], int side, size_t levels, int64_t *order, size_t room, size_t *n,
    int tries)
{
    const qd_book *b = qd_book_at(base, e);
    const int64_t *bids = (const int64_t *)((const char *)base + e->extent);
    const int64_t *level = bids + (size_t)(side != 0) * e->side_levels * QD_L3_LEVEL;
    const int64_t *pool = bids + 2 * (size_t)e->side_levels * QD_L3_LEVEL;
    *n = 0;
    if (e->kind != 3)
        return 1;
    for (int t = 1; t <= tries; qd_give_way(t++)) {
        uint64_t seq = qd_acquire(&b->depth_seq);
        int too_small = 0;
        if (seq & 1)
            continue;
        qd_copy(word, b->word, QD_N_WORDS);
        uint64_t start = (uint64_t)qd_ld(&b->start[side != 0]), held = (uint64_t)word[side ? QD_W_N_ASKS : QD_W_N_BIDS];
        if (start > e->side_levels || held > e->side_levels - start)
            start = held = 0; /* torn: seen below */
        uint64_t want = levels != 0 && levels < held ? levels : held;
        size_t got = 0;
        for (uint64_t i = 0; i < want && !too_small; i++) {
            uint32_t at = (uint32_t)qd_ld(level + (start + held - 1 - i) * QD_L3_LEVEL + 3);
            while (at != 0 && at <= e->orders) { /* `got` bounds the walk of a torn queue */
                const int64_t *node = pool + (size_t)(at - 1) * QD_ORDER_WORDS;
                if (got == room) {
                    too_small = 1;
                    break;
                }
                int64_t *to = order + 4 * got++;
                to[0] = qd_ld(node + 3);
                to[1] = qd_ld(node + 1);
                to[2] = qd_ld(node);
                to[3] = qd_ld(node + 2);
                at = (uint32_t)qd_ld(node + 4);
            }
        }
        if (qd_unchanged(&b->depth_seq, seq)) {
            *n = got;
            return too_small ? QD_TOO_SMALL : t;
        }
    }
    return QD_BUSY;
}
#endif
