/* A line of the FIX log: time, direction, the message with secret values masked and line feeds written as \n. */
#ifndef QD_FIX_LOGLINE_H
#define QD_FIX_LOGLINE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define QD_SOH_BYTE 1
#define QD_MASKED 32 /* tags that a mask knows at most */

typedef struct {
    size_t n;
    char text[16]; /* SOH, tag, '=' */
} qd_marker;

typedef struct {
    int n;
    qd_marker of[QD_MASKED];
} qd_mask;

typedef struct {
    int64_t wall_ns;
    uint32_t length;
    uint32_t incoming;
} qd_entry;

typedef struct {
    int64_t second; /* that `text` tells; INT64_MIN before the first */
    char text[32];
    size_t n;
} qd_stamp;

/* Bytes that a line of a message of n bytes may need. */
static size_t qd_line_room(size_t n)
{
    return 4 * n + 64;
}

/* Where the first of the messages at m ends, by its BodyLength; all n bytes when they do not look like messages. */
static size_t qd_message_end(const uint8_t *m, size_t n)
{
    const uint8_t *soh = memchr(m, QD_SOH_BYTE, n);
    size_t at = soh ? (size_t)(soh - m) + 1 : n, length = 0, digits = 0;
    if (n - at < 4 || m[at] != '9' || m[at + 1] != '=')
        return n;
    for (at += 2; at < n && m[at] >= '0' && m[at] <= '9' && digits < 9; at++, digits++)
        length = length * 10 + (size_t)(m[at] - '0');
    if (at >= n || m[at] != QD_SOH_BYTE || length + 8 > n - at) /* SOH, body, 10=nnn SOH */
        return n;
    return at + 1 + length + 7;
}

/* -1 when there are too many tags. */
static int qd_mask_add(qd_mask *mask, int tag)
{
    if (mask->n == QD_MASKED)
        return -1;
    qd_marker *marker = &mask->of[mask->n++];
    marker->n = (size_t)snprintf(marker->text, sizeof marker->text, "\001%d=", tag);
    return 0;
}

static const qd_marker *qd_marker_at(const qd_mask *mask, const uint8_t *at, size_t left)
{
    for (int i = 0; i < mask->n; i++)
        if (left >= mask->of[i].n && !memcmp(at, mask->of[i].text, mask->of[i].n))
            return &mask->of[i];
    return NULL;
}

/* The length that 95=... right before m[field] gives; -1 when that is not what stands there. */
static int64_t qd_length_before(const uint8_t *m, size_t field)
{
    int64_t length = 0, scale = 1;
    size_t i = field;
    while (i > 0 && field - i < 9 && m[i - 1] >= '0' && m[i - 1] <= '9') {
        length += (m[--i] - '0') * scale;
        scale *= 10;
    }
    return i < field && i >= 4 && !memcmp(m + i - 4, "\00195=", 4) ? length : -1;
}

/* Where the value behind the marker at m[field] ends. */
static size_t qd_value_end(const uint8_t *m, size_t n, size_t field, const qd_marker *marker)
{
    size_t begin = field + marker->n;
    if (marker->n == 4 && !memcmp(marker->text, "\00196=", 4)) {
        int64_t length = qd_length_before(m, field);
        if (length >= 0 && (uint64_t)length < n - begin && m[begin + (size_t)length] == QD_SOH_BYTE)
            return begin + (size_t)length;
    }
    const uint8_t *end = memchr(m + begin, QD_SOH_BYTE, n - begin);
    return end ? (size_t)(end - m) : n;
}

/* The message with secret values as ***; at most 2 * n bytes, which is what it answers. */
static size_t qd_mask_into(const qd_mask *mask, const uint8_t *m, size_t n, uint8_t *to)
{
    size_t at = 0, out = 0;
    while (at < n) {
        const uint8_t *soh = memchr(m + at, QD_SOH_BYTE, n - at);
        size_t field = soh ? (size_t)(soh - m) : n;
        memcpy(to + out, m + at, field - at);
        out += field - at;
        at = field;
        if (!soh)
            break;
        const qd_marker *marker = qd_marker_at(mask, soh, n - field);
        if (!marker) {
            to[out++] = m[at++];
            continue;
        }
        memcpy(to + out, marker->text, marker->n);
        memcpy(to + out + marker->n, "***", 3);
        out += marker->n + 3;
        at = qd_value_end(m, n, field, marker);
    }
    return out;
}

/* Line feeds become two bytes, within the buffer; the new length. */
static size_t qd_escape_feeds(uint8_t *text, size_t n)
{
    size_t feeds = 0;
    for (uint8_t *p = text; (p = memchr(p, '\n', (size_t)(text + n - p))) != NULL; p++)
        feeds++;
    size_t out = n + feeds;
    for (size_t i = n, o = out; o > i;) { /* from behind, until nothing has to move */
        i--;
        if (text[i] == '\n') {
            text[--o] = 'n';
            text[--o] = '\\';
        } else {
            text[--o] = text[i];
        }
    }
    return out;
}

static size_t qd_put_time(qd_stamp *stamp, int64_t wall_ns, uint8_t *to)
{
    int64_t second = wall_ns / 1000000000, rest = wall_ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        second--;
    }
    if (second != stamp->second) {
        time_t at = (time_t)second;
        struct tm tm = {0};
        gmtime_r(&at, &tm);
        stamp->n = strftime(stamp->text, sizeof stamp->text, "%Y%m%d-%H:%M:%S.", &tm);
        stamp->second = second;
    }
    memcpy(to, stamp->text, stamp->n);
    for (int i = 8; i >= 0; i--) {
        to[stamp->n + (size_t)i] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    }
    return stamp->n + 9;
}

/* One whole line into `to`, which has qd_line_room(entry->length) bytes; its length. */
static size_t qd_line(const qd_mask *mask, qd_stamp *stamp, const qd_entry *entry, const uint8_t *m, uint8_t *to)
{
    size_t n = qd_put_time(stamp, entry->wall_ns, to);
    memcpy(to + n, entry->incoming ? " < " : " > ", 3);
    n += 3;
    size_t length = qd_mask_into(mask, m, entry->length, to + n);
    n += qd_escape_feeds(to + n, length);
    to[n] = '\n';
    return n + 1;
}

#endif
