/* The checksum that venues send: CRC-32 (as zlib's) over the decimal texts of the top levels.
 *
 * It runs after every message, so it has its own CRC, sixteen bytes a step: zlib's took three times as long on texts of
 * 300 bytes. Tests hold it against zlib.
 */
#ifndef QD_BOOK_CRC_H
#define QD_BOOK_CRC_H

#include "book_orders.h"

static uint32_t qd_crc_table[16][256];

__attribute__((constructor)) static void qd_crc_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        qd_crc_table[0][i] = c;
    }
    for (int t = 1; t < 16; t++)
        for (int i = 0; i < 256; i++)
            qd_crc_table[t][i] = qd_crc_table[t - 1][i] >> 8 ^ qd_crc_table[0][qd_crc_table[t - 1][i] & 255];
}

static uint32_t qd_crc32(uint32_t crc, const unsigned char *p, size_t n)
{
    uint32_t c = ~crc;
    for (; n >= 16; n -= 16, p += 16) {
        uint32_t w[4];
        memcpy(w, p, 16);
        w[0] ^= c;
        c = 0;
        for (int i = 0; i < 4; i++)
            c ^= qd_crc_table[15 - 4 * i][w[i] & 255] ^ qd_crc_table[14 - 4 * i][w[i] >> 8 & 255]
                ^ qd_crc_table[13 - 4 * i][w[i] >> 16 & 255] ^ qd_crc_table[12 - 4 * i][w[i] >> 24];
    }
    for (; n; n--, p++)
        c = c >> 8 ^ qd_crc_table[0][(c ^ *p) & 255];
    return ~c;
}

typedef struct {
    uint32_t crc;
    unsigned n;
    char text[1024];
} qd_crc;

static inline void qd_crc_flush(qd_crc *c)
{
    c->crc = qd_crc32(c->crc, (const unsigned char *)c->text, c->n);
    c->n = 0;
}

static const char qd_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
    "616263646566676869707172737475767778798081828384858687888990919293949596979899";

static const uint64_t qd_tens[20] = {
    0u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u, 100000000000u,
    1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
    1000000000000000000u, 10000000000000000000u};

static inline unsigned qd_digits(uint64_t v) /* 0 has none: leading zeros are no text */
{
    unsigned about = v ? (unsigned)(64 - __builtin_clzll(v)) * 1233u >> 12 : 0;
    return v ? about + (about == 0 || v >= qd_tens[about]) : 0;
}

static inline void qd_crc_number(qd_crc *c, int64_t value, int64_t div) /* no dot, no leading zeros, no sign */
{
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (div != 1)
        v /= (uint64_t)div;
    unsigned n = qd_digits(v);
    if (c->n + n > sizeof c->text)
        qd_crc_flush(c);
    char *p = c->text + c->n + n;
    c->n += n;
    for (; n >= 2; n -= 2, v /= 100)
        memcpy(p -= 2, qd_pairs + 2 * (v % 100), 2);
    if (n)
        *--p = (char)('0' + v);
}

static void qd_crc_side(qd_crc *c, const qd_engine *e, int side, uint32_t levels, int64_t px_div, int64_t qty_div)
{
    uint32_t n = e->n[side] < levels ? e->n[side] : levels;
    const int64_t *level = qd_at(e, side, e->n[side]);
    for (uint32_t i = 0; i < n; i++) {
        level -= e->width;
        if (e->kind == 2) {
            qd_crc_number(c, level[0], px_div);
            qd_crc_number(c, level[1], qty_div);
            continue;
        }
        for (uint32_t at = (uint32_t)level[3]; at; at = qd_next(qd_node(e, at))) {
            qd_crc_number(c, level[0], px_div);
            qd_crc_number(c, qd_node(e, at)[1], qty_div);
        }
    }
}

static uint32_t qd_crc32_top(const qd_engine *e, uint32_t levels, int64_t px_div, int64_t qty_div)
{
    qd_crc c;
    c.crc = 0;
    c.n = 0;
    qd_crc_side(&c, e, 1, levels, px_div, qty_div);
    qd_crc_side(&c, e, 0, levels, px_div, qty_div);
    qd_crc_flush(&c);
    return c.crc;
}
#endif
