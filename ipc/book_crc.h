/* The checksum that venues send: CRC-32 (as zlib's) over the decimal texts of the top levels. It runs after every
 * message, so both the texts and their CRC are made eight and sixteen bytes a step. Tests hold it against zlib.
 */
#ifndef QD_BOOK_CRC_H
#define QD_BOOK_CRC_H

#include "../base/crc32.h"
#include "book_orders.h"

__attribute__((constructor)) static void qd_crc_fill(void)
{
    qd_crc_prepare();
}

typedef struct {
    uint32_t crc;
    char text[1024 + 64]; /* the rest is room for the numbers of one more level */
} qd_crc;

static const uint64_t qd_eight = 100000000u; /* 10^8 */

/* The eight decimal digits of v < 10^8, one a byte, the first in the lowest. Halves, quarters and eighths of the number
 * are split side by side within one word, by multiplication with 2^k / 100 and 2^k / 10. */
static inline uint64_t qd_eight_digits(uint64_t v)
{
    uint64_t halves = v / 10000 | (v % 10000) << 32;
    uint64_t hundreds = (halves * 10486 >> 20) & 0x0000007f0000007fu;
    uint64_t quarters = hundreds | (halves - hundreds * 100) << 16;
    uint64_t tens = (quarters * 103 >> 10) & 0x000f000f000f000fu;
    return tens | (quarters - tens * 10) << 8;
}

static inline char *qd_put_digits(char *to, uint64_t digits, unsigned n) /* the last n of the eight */
{
    uint64_t text = (digits | 0x3030303030303030u) >> (8 * (8 - n));
    memcpy(to, &text, 8);
    return to + n;
}

static inline char *qd_put_leading(char *to, uint64_t v) /* v < 10^8, without leading zeros; 0 is no text */
{
    uint64_t digits = qd_eight_digits(v);
    return digits ? qd_put_digits(to, digits, 8 - (unsigned)__builtin_ctzll(digits) / 8) : to;
}

/* No dot, no leading zeros, no sign; writes up to 8 bytes more than it says. */
static inline char *qd_put_number(char *to, int64_t value, int64_t div)
{
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (div != 1)
        v /= (uint64_t)div;
    if (v < qd_eight)
        return qd_put_leading(to, v);
    uint64_t high = v / qd_eight, last = v % qd_eight;
    if (high < 100) {
        to += high >= 10;
        *to = (char)('0' + high % 10);
        to[-(high >= 10)] = (char)('0' + (high >= 10 ? high / 10 : high));
        return qd_put_digits(to + 1, qd_eight_digits(last), 8);
    }
    if (high < qd_eight) {
        to = qd_put_leading(to, high);
    } else {
        to = qd_put_leading(to, high / qd_eight);
        to = qd_put_digits(to, qd_eight_digits(high % qd_eight), 8);
    }
    return qd_put_digits(to, qd_eight_digits(last), 8);
}

static inline char *qd_crc_level(qd_crc *c, char *to, int64_t px, int64_t qty, int64_t px_div, int64_t qty_div)
{
    if (to - c->text > 1024) {
        c->crc = qd_crc32(c->crc, c->text, (size_t)(to - c->text));
        to = c->text;
    }
    return qd_put_number(qd_put_number(to, px, px_div), qty, qty_div);
}

static char *qd_crc_side(
    qd_crc *c, char *to, const qd_engine *e, int side, uint32_t levels, int64_t px_div, int64_t qty_div)
{
    uint32_t n = e->n[side] < levels ? e->n[side] : levels;
    const int64_t *level = qd_at(e, side, e->n[side]);
    for (uint32_t i = 0; i < n; i++) {
        level -= e->width;
        if (e->kind == 2) {
            to = qd_crc_level(c, to, level[0], level[1], px_div, qty_div);
            continue;
        }
        for (uint32_t at = (uint32_t)level[3]; at; at = qd_next(qd_node(e, at)))
            to = qd_crc_level(c, to, level[0], qd_node(e, at)[1], px_div, qty_div);
    }
    return to;
}

static uint32_t qd_crc32_top(const qd_engine *e, uint32_t levels, int64_t px_div, int64_t qty_div)
{
    qd_crc c;
    c.crc = 0;
    char *to = qd_crc_side(&c, c.text, e, 1, levels, px_div, qty_div);
    to = qd_crc_side(&c, to, e, 0, levels, px_div, qty_div);
    return qd_crc32(c.crc, c.text, (size_t)(to - c.text));
}
#endif
