/* Fields -> bytes. Strict: what a venue could not read is refused here. */
#include "fix/codec.h"
#include "fix/codec_scan.h"
#include <stdlib.h>
#include <string.h>

static const char PAIRS[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

void qd_out_free(qd_out *out)
{
    free(out->buf);
    out->buf = NULL;
    out->n = out->cap = 0;
}

int qd_out_room(qd_out *out, size_t n)
{
    if (out->cap - out->n >= n)
        return 0;
    size_t cap = out->cap ? out->cap * 2 : 512;
    while (cap - out->n < n)
        cap *= 2;
    uint8_t *buf = realloc(out->buf, cap);
    if (!buf)
        return QD_OUT_NO_MEMORY;
    out->buf = buf;
    out->cap = cap;
    return 0;
}

int qd_out_bytes(qd_out *out, const void *bytes, size_t n)
{
    if (qd_out_room(out, n))
        return QD_OUT_NO_MEMORY;
    if (n)
        memcpy(out->buf + out->n, bytes, n);
    out->n += n;
    return 0;
}

static size_t format_unsigned(uint8_t *to, uint64_t value)
{
    uint8_t text[20], *p = text + sizeof text;
    while (value >= 100) {
        p -= 2;
        memcpy(p, PAIRS + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        p -= 2;
        memcpy(p, PAIRS + value * 2, 2);
    } else {
        *--p = (uint8_t)('0' + value);
    }
    size_t n = (size_t)(text + sizeof text - p);
    memcpy(to, p, n);
    return n;
}

size_t qd_format_int(uint8_t *to, int64_t value)
{
    if (value >= 0)
        return format_unsigned(to, (uint64_t)value);
    *to = '-';
    return 1 + format_unsigned(to + 1, -(uint64_t)value);
}

size_t qd_format_scaled(uint8_t *to, int64_t value, int scale)
{
    uint8_t text[20], *p = to;
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    while (scale && magnitude % 10 == 0) {
        magnitude /= 10;
        scale--;
        if (!magnitude)
            scale = 0;
    }
    int n = (int)format_unsigned(text, magnitude), whole = n - scale;
    if (value < 0)
        *p++ = '-';
    if (!scale) {
        memcpy(p, text, (size_t)n);
        return (size_t)(p + n - to);
    }
    if (whole > 0) {
        memcpy(p, text, (size_t)whole);
        p += whole;
    } else {
        *p++ = '0';
    }
    *p++ = '.';
    for (int zeros = -whole; zeros > 0; zeros--)
        *p++ = '0';
    int from = whole > 0 ? whole : 0;
    memcpy(p, text + from, (size_t)(n - from));
    return (size_t)(p + n - from - to);
}

/* Year, month and day of a day since 1970; years begin in March. */
static void civil(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097;
    int of_era = (int)(days - era * 146097);
    int y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * y + y / 4 - y / 100);
    int m = (5 * of_year + 2) / 153;
    *day = of_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = y + (int)era * 400 + (*month <= 2);
}

static inline void put2(uint8_t *to, int value)
{
    memcpy(to, PAIRS + value * 2, 2);
}

size_t qd_format_utc(uint8_t *to, int64_t ns, int digits)
{
    if (ns < 0 || ns >= 9214646400000000000LL) /* from 1970 to the end of 2261 */
        return 0;
    int64_t seconds = ns / 1000000000, days = seconds / 86400;
    int of_day = (int)(seconds - days * 86400), rest = (int)(ns - seconds * 1000000000);
    int year, month, day;
    civil(days, &year, &month, &day);
    put2(to, year / 100);
    put2(to + 2, year % 100);
    put2(to + 4, month);
    put2(to + 6, day);
    to[8] = '-';
    put2(to + 9, of_day / 3600);
    to[11] = ':';
    put2(to + 12, of_day / 60 % 60);
    to[14] = ':';
    put2(to + 15, of_day % 60);
    if (!digits)
        return 17;
    to[17] = '.';
    uint8_t decimals[9];
    for (int i = 8; i >= 0; i--, rest /= 10)
        decimals[i] = (uint8_t)('0' + rest % 10);
    memcpy(to + 18, decimals, (size_t)digits);
    return 18 + (size_t)digits;
}

/* ---- one field ---- */

int qd_out_tag(qd_out *out, int64_t tag)
{
    if (tag < 1 || tag > 999999999)
        return QD_OUT_TAG;
    if (qd_out_room(out, 24))
        return QD_OUT_NO_MEMORY;
    out->n += format_unsigned(out->buf + out->n, (uint64_t)tag);
    out->buf[out->n++] = '=';
    return 0;
}

int qd_out_text(qd_out *out, const void *text, size_t n)
{
    if (!n)
        return QD_OUT_EMPTY;
    if (memchr(text, QD_SOH, n))
        return QD_OUT_SOH;
    if (qd_out_room(out, n + 1))
        return QD_OUT_NO_MEMORY;
    memcpy(out->buf + out->n, text, n);
    out->n += n;
    out->buf[out->n++] = QD_SOH;
    return 0;
}

int qd_out_int(qd_out *out, int64_t value)
{
    if (qd_out_room(out, 24))
        return QD_OUT_NO_MEMORY;
    out->n += qd_format_int(out->buf + out->n, value);
    out->buf[out->n++] = QD_SOH;
    return 0;
}

int qd_out_scaled(qd_out *out, int64_t value, int scale)
{
    if (scale < 0 || scale > QD_MAX_SCALE)
        return QD_OUT_RANGE;
    if (qd_out_room(out, 24))
        return QD_OUT_NO_MEMORY;
    out->n += qd_format_scaled(out->buf + out->n, value, scale);
    out->buf[out->n++] = QD_SOH;
    return 0;
}

int qd_out_utc(qd_out *out, int64_t ns, int digits)
{
    if (qd_out_room(out, 32))
        return QD_OUT_NO_MEMORY;
    size_t n = qd_format_utc(out->buf + out->n, ns, digits);
    if (!n)
        return QD_OUT_RANGE;
    out->n += n;
    out->buf[out->n++] = QD_SOH;
    return 0;
}

/* ---- whole messages ---- */

int qd_check_fields(const uint8_t *bytes, size_t n, const qd_rules *rules, int32_t *tag, size_t *offset)
{
    const uint8_t *p = bytes, *end = bytes + n;
    qd_scan s = {0};
    *tag = 0;
    *offset = 0;
    while (p < end) {
        *offset = (size_t)(p - bytes);
        p = qd_scan_field(&s, p, end, rules);
        *tag = s.tag;
        if (s.defect == QD_DEFECT_EMPTY_VALUE)
            return QD_OUT_EMPTY;
        if (s.defect == QD_DEFECT_DATA_LENGTH || s.value_end == end) /* a last field without its SOH */
            return QD_OUT_SOH;
        if (s.defect || s.tag == 8 || s.tag == 9 || s.tag == 10 || s.tag == 35)
            return QD_OUT_TAG;
    }
    return s.next_data ? QD_OUT_SOH : 0;
}

size_t qd_out_seal(qd_out *out, const uint8_t *begin, size_t begin_len)
{
    uint8_t head[QD_HEAD_ROOM];
    size_t n = 0;
    if (qd_out_room(out, 8))
        return SIZE_MAX;
    memcpy(head, "8=", 2);
    memcpy(head + 2, begin, begin_len);
    n = 2 + begin_len;
    memcpy(head + n, "\0019=", 3);
    n += 3;
    n += format_unsigned(head + n, out->n - QD_HEAD_ROOM);
    head[n++] = QD_SOH;
    size_t start = QD_HEAD_ROOM - n;
    memcpy(out->buf + start, head, n);
    uint8_t *p = out->buf + out->n, sum = qd_sum(out->buf + start, out->n - start);
    memcpy(p, "10=", 3);
    p[3] = (uint8_t)('0' + sum / 100);
    put2(p + 4, sum % 100);
    p[6] = QD_SOH;
    out->n += 7;
    return start;
}
