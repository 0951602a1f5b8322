/* The inner loop that everything in the codec shares: one field, `tag=value SOH`. Internal to fix/codec*.c. */
#ifndef QD_CODEC_SCAN_H
#define QD_CODEC_SCAN_H
#include "fix/codec.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool qd_bit(const uint64_t *bits, int32_t tag)
{
    return (uint32_t)tag < QD_RULE_TAGS && (bits[(uint32_t)tag >> 6] >> (tag & 63) & 1);
}

/* The first SOH in [p, end), or end. Values are short, so sixteen bytes at a time without a call. */
static inline const uint8_t *qd_find_soh(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i soh = _mm_set1_epi8(QD_SOH);
    while (end - p >= 16) {
        int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), soh));
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
        p += 16;
    }
#endif
    while (p < end && *p != QD_SOH)
        p++;
    return p;
}

typedef struct {
    int32_t tag; /* 0: unreadable */
    int defect;  /* QD_DEFECT_* or 0 */
    const uint8_t *value, *value_end;
    int32_t next_data; /* the data tag that must come next, or 0 */
    size_t data_len;
} qd_scan;

static inline int32_t qd_data_tag(const qd_rules *rules, int32_t length_tag)
{
    for (int i = 0; i < rules->n_pairs; i++)
        if (rules->length_tags[i] == length_tag)
            return rules->data_tags[i];
    return 0;
}

/* A data field's end: where its length says, if SOH stands there; else the next SOH, with a defect. */
static inline const uint8_t *qd_data_end(qd_scan *s, const uint8_t *value, const uint8_t *end)
{
    size_t len = s->data_len;
    if (len < (size_t)(end - value) && value[len] == QD_SOH)
        return value + len;
    s->defect = QD_DEFECT_DATA_LENGTH;
    return qd_find_soh(value, end);
}

static inline const uint8_t *qd_scan_bad(qd_scan *s, const uint8_t *field, const uint8_t *stop, const uint8_t *end)
{
    s->tag = 0;
    s->defect = memchr(field, '=', (size_t)(stop - field)) ? QD_DEFECT_BAD_TAG : QD_DEFECT_NO_EQUALS;
    s->value = field;
    s->value_end = stop;
    s->next_data = 0;
    return stop < end ? stop + 1 : end;
}

/* Reads the field at p (p < end); answers where the next one begins. s->next_data starts as 0.
 * SOH is looked for from the tag on, not from the value: so the next field's place does not wait for this tag. */
static inline const uint8_t *qd_scan_field(qd_scan *s, const uint8_t *p, const uint8_t *end, const qd_rules *rules)
{
    const uint8_t *field = p, *stop = qd_find_soh(p, end);
    uint32_t tag = 0;
    unsigned digit;
    while (p < stop && (digit = (unsigned)*p - '0') <= 9) {
        tag = tag * 10 + digit;
        p++;
    }
    if (__builtin_expect(p == stop || *p != '=' || *field == '0' || p == field || p - field > 9, 0))
        return qd_scan_bad(s, field, stop, end);
    p++;
    s->tag = (int32_t)tag;
    s->defect = 0;
    s->value = p;
    if (__builtin_expect(s->next_data != 0, 0)) {
        if (s->next_data == (int32_t)tag)
            stop = qd_data_end(s, p, end);
        else
            s->defect = QD_DEFECT_DATA_LENGTH;
        s->next_data = 0;
    }
    s->value_end = stop;
    if (__builtin_expect(stop == p && !s->defect, 0))
        s->defect = QD_DEFECT_EMPTY_VALUE;
    if (__builtin_expect(qd_bit(rules->length_bits, (int32_t)tag), 0)) {
        int64_t len;
        if (qd_parse_int(p, (size_t)(stop - p), &len) || len < 0)
            s->defect = s->defect ? s->defect : QD_DEFECT_DATA_LENGTH;
        else {
            s->next_data = qd_data_tag(rules, (int32_t)tag);
            s->data_len = (size_t)len;
        }
    }
    return stop < end ? stop + 1 : end;
}
#endif
