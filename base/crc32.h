/* CRC-32 as zlib computes it, for texts of a few hundred bytes amid other work: with carry-less multiplication where the
 * processor has it, sixteen bytes a step and no table that would drive other things out of the cache; else from tables.
 */
#ifndef QD_BASE_CRC32_H
#define QD_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static uint32_t qd_crc_table[16][256]; /* beyond the first: for processors that need them */
static int qd_crc_folds;               /* the processor multiplies without carry */

/* Call once before the first qd_crc32. */
static void qd_crc_prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        qd_crc_table[0][i] = c;
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
    qd_crc_folds = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
    for (int t = 1; t < 16 && !qd_crc_folds; t++)
        for (int i = 0; i < 256; i++)
            qd_crc_table[t][i] = qd_crc_table[t - 1][i] >> 8 ^ qd_crc_table[0][qd_crc_table[t - 1][i] & 255];
}

static uint32_t qd_crc_bytes(uint32_t state, const uint8_t *p, size_t n)
{
    while (n--)
        state = qd_crc_table[0][(state ^ *p++) & 255] ^ state >> 8;
    return state;
}

/* n: a multiple of 16. */
static uint32_t qd_crc_slices(uint32_t state, const uint8_t *p, size_t n)
{
    for (; n; n -= 16, p += 16) {
        uint32_t w[4];
        memcpy(w, p, 16);
        w[0] ^= state;
        state = 0;
        for (int i = 0; i < 4; i++)
            state ^= qd_crc_table[15 - 4 * i][w[i] & 255] ^ qd_crc_table[14 - 4 * i][w[i] >> 8 & 255]
                ^ qd_crc_table[13 - 4 * i][w[i] >> 16 & 255] ^ qd_crc_table[12 - 4 * i][w[i] >> 24];
    }
    return state;
}

#if defined(__x86_64__)
/* n: 16 or more, a multiple of 16. The constants are x^n mod P, bits reversed, for the distances that bits move. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t qd_crc_fold(uint32_t state, const uint8_t *p, size_t n)
{
    const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);   /* 128 - 32, 128 + 32 bits */
    const __m128i by_8 = _mm_set_epi64x(0, 0x163cd6124);              /* 64 bits */
    const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641); /* floor(x^64 / P), P */
    const __m128i low_words = _mm_setr_epi32(-1, 0, -1, 0);
    __m128i x = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_cvtsi32_si128((int)state));
    while (n -= 16) {
        p += 16;
        __m128i low = _mm_clmulepi64_si128(x, by_16, 0x00), high = _mm_clmulepi64_si128(x, by_16, 0x11);
        x = _mm_xor_si128(_mm_xor_si128(low, high), _mm_loadu_si128((const __m128i *)p));
    }
    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, by_16, 0x10));
    __m128i rest = _mm_srli_si128(x, 4);
    x = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(x, low_words), by_8, 0x00), rest);
    __m128i t = _mm_clmulepi64_si128(_mm_and_si128(x, low_words), barrett, 0x10);
    t = _mm_clmulepi64_si128(_mm_and_si128(t, low_words), barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, t), 1);
}
#endif

/* Continues `crc` (0 to begin) over n bytes. */
static uint32_t qd_crc32(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t state = ~crc;
    size_t whole = n & ~(size_t)15;
#if defined(__x86_64__)
    if (whole && qd_crc_folds)
        state = qd_crc_fold(state, p, whole);
    else
#endif
        state = qd_crc_slices(state, p, whole);
    return ~qd_crc_bytes(state, p + whole, n - whole);
}

#endif
