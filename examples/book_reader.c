/* Prints the state and the top of one book of a shared region, once or with --watch until interrupted.
 *
 *   gcc -O2 -Iipc examples/book_reader.c -o book_reader
 *   ./book_reader REGION VENUE INSTRUMENT [--levels N] [--watch]
 *
 * Nothing but ipc/book.h is needed. It follows a region that its writer replaced. Exit status: 0 the book was LIVE at the
 * last look, 1 it was not, 2 bad arguments or no such region or book.
 */
#include "book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char *const STATE[] = {"RECOVERING", "LIVE", "STALE", "CROSSED", "HALTED"};
static const char *const REASON[] = {
    "-", "START", "SNAPSHOT", "GAP", "CHECKSUM", "CAPACITY", "NUMBER", "CROSSED", "SESSION", "STALL", "UNKNOWN_ORDER",
    "DUPLICATE_ORDER", "MALFORMED", "VENUE_HALT", "WRITER_DEAD", "WRITER_SILENT", "REGION_RETIRED"};

struct region {
    int fd;
    ino_t inode;
    void *base;
    size_t size;
    const qd_entry *entry;
};

static int open_region(struct region *r, const char *path, const char *venue, const char *instrument)
{
    struct stat st;
    const char *wrong;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st) != 0) {
        perror(path);
        return 2;
    }
    r->inode = st.st_ino;
    r->size = (size_t)st.st_size;
    r->base = r->size ? mmap(NULL, r->size, PROT_READ, MAP_SHARED, r->fd, 0) : MAP_FAILED;
    if (r->base == MAP_FAILED) {
        fprintf(stderr, "%s: size: cannot be mapped\n", path);
        return 2;
    }
    if ((wrong = qd_region_check(r->base, r->size)) != NULL) {
        fprintf(stderr, "%s: %s: not a book region of layout %u\n", path, wrong, QD_BOOK_LAYOUT);
        return 2;
    }
    r->entry = qd_find_entry(r->base, venue, instrument, 0);
    if (r->entry == NULL) {
        fprintf(stderr, "%s: no book of %s %s\n", path, venue, instrument);
        return 2;
    }
    return 0;
}

static void close_region(struct region *r)
{
    munmap(r->base, r->size);
    close(r->fd);
}

static void print_scaled(int64_t value, int scale)
{
    char digits[32];
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int n = snprintf(digits, sizeof digits, "%0*" PRIu64, scale + 1, v);
    printf(" %s%.*s%s%s", value < 0 ? "-" : "", n - scale, digits, scale ? "." : "", digits + n - scale);
}

/* One line a level; returns whether the book is LIVE and looked after. */
static int print_book(const struct region *r, int levels, int *busy)
{
    int64_t word[QD_N_WORDS], level[4 * QD_TOP_LEVELS];
    const qd_entry *e = r->entry;
    int why = qd_writer_state(r->base, r->fd);
    *busy = qd_read_top(qd_book_at(r->base, e), word, level, NULL, levels, 64) < 0;
    if (*busy) {
        printf("%s %s BUSY\n", e->venue, e->instrument);
        return 0;
    }
    int state = why ? QD_STALE : (int)(word[QD_W_STATE] & 255), reason = why ? why : (int)(word[QD_W_STATE] >> 8 & 255);
    printf("%s %s %s %s since_ns=%" PRId64 " last_seq=%" PRId64 " messages=%" PRId64 "\n", e->venue, e->instrument,
        STATE[state], REASON[reason], word[QD_W_SINCE_NS], word[QD_W_LAST_SEQ], word[QD_W_MESSAGES]);
    for (int i = 0; i < levels; i++) {
        const int64_t *bid = level + 2 * i, *ask = level + 2 * (levels + i);
        if (bid[1] == 0 && ask[1] == 0)
            break;
        print_scaled(bid[1], e->qty_scale);
        print_scaled(bid[0], e->px_scale);
        printf(" |");
        print_scaled(ask[0], e->px_scale);
        print_scaled(ask[1], e->qty_scale);
        printf("\n");
    }
    fflush(stdout);
    return state == QD_LIVE;
}

/* A region that nobody stands behind may have a successor at the same path. */
static void follow(struct region *r, const char *path, const char *venue, const char *instrument)
{
    struct stat st;
    struct region next;
    if (qd_writer_state(r->base, r->fd) == QD_OK || stat(path, &st) != 0 || st.st_ino == r->inode)
        return;
    if (open_region(&next, path, venue, instrument) == 0) {
        close_region(r);
        *r = next;
    }
}

int main(int argc, char **argv)
{
    struct region r;
    int levels = 5, watch = 0, busy;
    if (argc < 4) {
        fprintf(stderr, "usage: %s REGION VENUE INSTRUMENT [--levels N] [--watch]\n", argv[0]);
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "--watch") == 0) {
            watch = 1;
        } else if (strcmp(argv[i], "--levels") == 0 && i + 1 < argc && (levels = atoi(argv[i + 1])) > 0
                   && levels <= QD_TOP_LEVELS) {
            i++;
        } else {
            fprintf(stderr, "%s: --watch, or --levels with 1 to %d, not that\n", argv[i], QD_TOP_LEVELS);
            return 2;
        }
    }
    if (open_region(&r, argv[1], argv[2], argv[3]) != 0)
        return 2;
    for (;;) {
        int live = print_book(&r, levels, &busy);
        if (!watch) {
            close_region(&r);
            return !live;
        }
        struct timespec pause = {.tv_sec = 0, .tv_nsec = 200000000};
        nanosleep(&pause, NULL);
        follow(&r, argv[1], argv[2], argv[3]);
    }
}
