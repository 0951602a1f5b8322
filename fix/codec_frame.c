/* Stream of bytes -> messages. A message is cut out by BodyLength, never by looking for `10=`.
 *
 * What cannot be a message is skipped, in linear time whatever the input. After a wrong structure the search goes on
 * behind the first byte, for an 8=FIX that no `=` precedes (so not for the value of a data field). After a wrong
 * CheckSum with its field in place the bounds are most likely right and a message quoted inside data must not come
 * alive: inside that frame only an 8=FIX right behind a complete CheckSum field counts.
 */
#include "fix/codec.h"
#include "fix/codec_scan.h"
#include <stdlib.h>
#include <string.h>

#define TRAILER 7 /* 10=nnn SOH */
#define MAX_BEGIN 16
#define MAX_LENGTH_DIGITS 16
#define MAX_SUMS 64
#define KEEP_BUFFER (1u << 20)
#ifdef QD_SMALL_BUFFERS /* fuzzing: short inputs must grow, slide and be summed by blocks too */
#define BLOCK 16
#define FIRST_BUFFER 32
#else
#define BLOCK 256
#define FIRST_BUFFER 65536
#endif

static const uint8_t BEGIN[] = "8=FIX";

/* How many bytes of `8=FIX` stand at p, up to the end of what is there; -1 when one differs. */
static int begins(const uint8_t *p, size_t n)
{
    size_t want = n < 5 ? n : 5;
    return memcmp(p, BEGIN, want) ? -1 : (int)want;
}

static bool is_trailer(const uint8_t *p)
{
    return p[0] == '1' && p[1] == '0' && p[2] == '=' && (unsigned)p[3] - '0' <= 9 && (unsigned)p[4] - '0' <= 9 &&
           (unsigned)p[5] - '0' <= 9 && p[6] == QD_SOH;
}

static int garbled(qd_frame *frame, int reason)
{
    frame->garble = reason;
    return QD_FRAME_GARBLED;
}

/* The literal at *p, up to the end: QD_FRAME_READY when whole, MORE when cut off, GARBLED when different. */
static int literal(const uint8_t **p, const uint8_t *end, const char *text, size_t n)
{
    size_t have = (size_t)(end - *p) < n ? (size_t)(end - *p) : n;
    if (memcmp(*p, text, have))
        return QD_FRAME_GARBLED;
    *p += have;
    return have < n ? QD_FRAME_MORE : QD_FRAME_READY;
}

static int begin_string(const uint8_t **p, const uint8_t *end, qd_frame *frame)
{
    const uint8_t *q = *p + 2;
    for (; q < end && *q != QD_SOH; q++) {
        bool plain = (*q >= 'A' && *q <= 'Z') || (*q >= '0' && *q <= '9') || *q == '.';
        if (!plain || q - *p > 2 + MAX_BEGIN)
            return garbled(frame, QD_GARBLE_BEGIN_STRING);
    }
    if (q == end)
        return QD_FRAME_MORE;
    frame->begin_len = (size_t)(q - *p) - 2;
    *p = q + 1;
    return QD_FRAME_READY;
}

/* 9= and its digits; leading zeros are some venues' habit. */
static int body_length(const uint8_t **p, const uint8_t *end, size_t max, size_t *length, qd_frame *frame)
{
    int state = literal(p, end, "9=", 2);
    if (state)
        return state == QD_FRAME_MORE ? state : garbled(frame, QD_GARBLE_BODY_LENGTH);
    const uint8_t *start = *p;
    uint64_t value = 0;
    for (; *p < end && **p != QD_SOH; ++*p) {
        unsigned d = (unsigned)**p - '0';
        if (d > 9 || *p - start >= MAX_LENGTH_DIGITS)
            return garbled(frame, QD_GARBLE_BODY_LENGTH);
        value = value * 10 + d;
    }
    if (*p == end)
        return QD_FRAME_MORE;
    if (*p == start || value < 5)
        return garbled(frame, QD_GARBLE_BODY_LENGTH);
    if (value > max)
        return garbled(frame, QD_GARBLE_TOO_LONG);
    ++*p;
    *length = (size_t)value;
    return QD_FRAME_READY;
}

static int head(const uint8_t *bytes, size_t n, size_t max_body, size_t *length, qd_frame *frame)
{
    const uint8_t *p = bytes, *end = bytes + n;
    int have = begins(p, n);
    if (have < 0)
        return garbled(frame, QD_GARBLE_NO_BEGIN);
    if (have < 5)
        return QD_FRAME_MORE;
    int state = begin_string(&p, end, frame);
    if (state || (state = body_length(&p, end, max_body, length, frame)))
        return state;
    frame->body = (size_t)(p - bytes);
    state = literal(&p, end, "35=", 3);
    if (state == QD_FRAME_GARBLED || (state == QD_FRAME_READY && p < end && *p == QD_SOH))
        return garbled(frame, QD_GARBLE_MSG_TYPE);
    return p == end ? QD_FRAME_MORE : state;
}

/* Structure alone: everything but the sum. */
static int structure(const uint8_t *bytes, size_t n, size_t max_body, qd_frame *frame)
{
    size_t length = 0;
    frame->bytes = bytes;
    int state = head(bytes, n, max_body, &length, frame);
    if (state)
        return state;
    size_t end = frame->body + length;
    frame->total = end + TRAILER;
    if (n < frame->total)
        return QD_FRAME_MORE;
    if (bytes[end - 1] != QD_SOH || !is_trailer(bytes + end))
        return garbled(frame, QD_GARBLE_TRAILER);
    return QD_FRAME_READY;
}

static int stated_sum(const qd_frame *frame)
{
    const uint8_t *p = frame->bytes + frame->total - 4;
    return (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
}

int qd_frame_check(const uint8_t *bytes, size_t n, size_t max_body, qd_frame *frame)
{
    int state = structure(bytes, n, max_body, frame);
    if (state == QD_FRAME_READY && qd_sum(bytes, frame->total - TRAILER) != stated_sum(frame))
        return garbled(frame, QD_GARBLE_CHECKSUM);
    return state;
}

/* ---- the buffer ---- */

void qd_framer_init(qd_framer *f, size_t max_body)
{
    memset(f, 0, sizeof *f);
    f->max_body = max_body;
}

void qd_framer_free(qd_framer *f)
{
    free(f->buf);
    free(f->sums);
    f->buf = f->sums = NULL;
}

void qd_framer_reset(qd_framer *f)
{
    f->base += f->tail;
    f->head = f->tail = f->sums_done = f->dirty_to = 0;
    f->in_garble = f->ended = false;
    f->prev = 0;
}

bool qd_framer_full(const qd_framer *f)
{
    return f->tail - f->head > f->max_body + MAX_BEGIN + MAX_LENGTH_DIGITS + 16;
}

/* Moving is paid for by the bytes that were taken before it, so that it stays linear. */
static bool can_slide(const qd_framer *f)
{
    return f->head >= f->tail - f->head;
}

static void slide(qd_framer *f)
{
    size_t rest = f->tail - f->head;
    if (rest)
        memmove(f->buf, f->buf + f->head, rest);
    f->base += f->head;
    f->dirty_to = f->dirty_to > f->head ? f->dirty_to - f->head : 0;
    f->sums_done = 0;
    f->head = 0;
    f->tail = rest;
}

uint8_t *qd_framer_reserve(qd_framer *f, size_t n)
{
    if (f->head == f->tail || (f->cap - f->tail < n && can_slide(f)))
        slide(f);
    if (!f->tail && f->cap > KEEP_BUFFER && n <= KEEP_BUFFER) { /* after one huge message: give the room back */
        free(f->buf);
        f->buf = NULL;
        f->cap = 0;
    }
    if (f->cap - f->tail < n) {
        size_t cap = f->cap ? f->cap * 2 : FIRST_BUFFER;
        while (cap - f->tail < n)
            cap *= 2;
        uint8_t *buf = realloc(f->buf, cap);
        if (!buf)
            return NULL;
        f->buf = buf;
        f->cap = cap;
    }
    return f->buf + f->tail;
}

void qd_framer_commit(qd_framer *f, size_t n)
{
    f->tail += n;
}

/* ---- taking and skipping ---- */

/* Sum of buf[0..at) modulo 256. Each byte is summed once as part of its block. False: out of memory. */
static bool sum_to(qd_framer *f, size_t at, uint8_t *sum)
{
    size_t blocks = at / BLOCK;
    if (blocks + 1 > f->sums_cap) {
        size_t cap = f->cap / BLOCK + 2;
        uint8_t *sums = realloc(f->sums, cap);
        if (!sums)
            return false;
        f->sums = sums;
        f->sums_cap = cap;
    }
    f->sums[0] = 0;
    for (; f->sums_done < blocks; f->sums_done++)
        f->sums[f->sums_done + 1] =
            (uint8_t)(f->sums[f->sums_done] + qd_sum(f->buf + f->sums_done * BLOCK, BLOCK));
    *sum = (uint8_t)(f->sums[blocks] + qd_sum(f->buf + blocks * BLOCK, at - blocks * BLOCK));
    return true;
}

static uint8_t frame_sum(qd_framer *f, const qd_frame *frame)
{
    size_t end = f->head + frame->total - TRAILER;
    uint8_t from, to;
    if (f->head < f->dirty_to && frame->total > 4 * BLOCK && sum_to(f, f->head, &from) && sum_to(f, end, &to))
        return (uint8_t)(to - from);
    return qd_sum(frame->bytes, frame->total - TRAILER);
}

int qd_framer_peek(qd_framer *f, qd_frame *frame)
{
    size_t n = f->tail - f->head;
    if (!n)
        return QD_FRAME_MORE;
    if (f->in_garble && f->prev == '=') /* the search ended at the last byte there was */
        return garbled(frame, QD_GARBLE_NO_BEGIN);
    int state = structure(f->buf + f->head, n, f->max_body, frame);
    if (state == QD_FRAME_READY && frame_sum(f, frame) != stated_sum(frame))
        return garbled(frame, QD_GARBLE_CHECKSUM);
    if (state == QD_FRAME_MORE && f->ended)
        return garbled(frame, QD_GARBLE_TRUNCATED);
    return state;
}

static void advance(qd_framer *f, size_t n)
{
    f->prev = f->buf[f->head + n - 1];
    f->head += n;
}

void qd_framer_take(qd_framer *f, const qd_frame *frame)
{
    advance(f, frame->total);
    f->messages++;
    f->in_garble = false;
}

/* The next place in [from, to), from > 0, that may begin a message, where its first bytes may be all that is there yet. */
static size_t plausible(const qd_framer *f, size_t from, size_t to)
{
    while (from < to) {
        const uint8_t *p = memchr(f->buf + from, '8', to - from);
        if (!p)
            return to;
        from = (size_t)(p - f->buf);
        if (p[-1] != '=' && begins(p, f->tail - from) >= 0)
            return from;
        from++;
    }
    return to;
}

static size_t after_trailer(const qd_framer *f, size_t from, size_t to)
{
    for (from += TRAILER + 1; from < to; from++) {
        const uint8_t *p = memchr(f->buf + from, '8', to - from);
        if (!p)
            return to;
        from = (size_t)(p - f->buf);
        if (begins(p, f->tail - from) == 5 && p[-TRAILER - 1] == QD_SOH && is_trailer(p - TRAILER))
            return from;
    }
    return to;
}

static void count_garbled(qd_framer *f, int reason)
{
    f->garbled[reason]++;
    f->n_garbled++;
    f->last_reason = reason;
    f->last_offset = f->base + f->head;
}

void qd_framer_skip(qd_framer *f, const qd_frame *frame)
{
    size_t to;
    if (frame->garble == QD_GARBLE_CHECKSUM) {
        size_t end = f->head + frame->total;
        f->dirty_to = f->dirty_to > end ? f->dirty_to : end;
        to = after_trailer(f, f->head, end);
    } else {
        to = plausible(f, f->head + 1, f->tail);
    }
    if (frame->garble != QD_GARBLE_NO_BEGIN || !f->in_garble)
        count_garbled(f, frame->garble);
    f->in_garble = true;
    f->garbled_bytes += to - f->head;
    advance(f, to - f->head);
}

bool qd_framer_give_up(qd_framer *f)
{
    qd_frame frame;
    if (f->head == f->tail || qd_framer_peek(f, &frame) != QD_FRAME_MORE)
        return false;
    size_t at = f->head;
    for (int sums = 0; sums < MAX_SUMS; sums++) { /* each may cost the whole buffer */
        do
            at = after_trailer(f, at, f->tail);
        while (at < f->tail && structure(f->buf + at, f->tail - at, f->max_body, &frame) != QD_FRAME_READY);
        if (at == f->tail)
            return false;
        if (qd_sum(frame.bytes, frame.total - TRAILER) != stated_sum(&frame))
            continue;
        count_garbled(f, QD_GARBLE_TRUNCATED);
        f->in_garble = true;
        f->garbled_bytes += at - f->head;
        advance(f, at - f->head);
        return true;
    }
    return false;
}
