/* Fuzz target of the codec: the first byte chooses what the rest is. Broken rules trap.
 *
 * 0  a stream, fed whole and in pieces: both must give the same messages and counters, and no byte may vanish
 * 1  the body of a message whose frame is right: fields, groups
 * 2  the body of a 35=X or 35=W whose frame is right: records, alone and in a batch
 * 3  numbers and times: what parses must come back from its own formatting
 */
#include "base/md_record.h"
#include "fix/codec.h"
#include <stdlib.h>
#include <string.h>

#define HOLDS(condition) \
    do { \
        if (!(condition)) \
            __builtin_trap(); \
    } while (0)
#define MAX_BODY 4096

static qd_rules rules;
static qd_group group;

static void set_up(void)
{
    static const int MEMBERS[] = {269, 270, 271, 278, 279, 55, 58, 448, 447, 452};
    if (group.count_tag)
        return;
    qd_rules_init(&rules);
    qd_rules_add_data(&rules, 5001, 5002);
    qd_rules_add_count(&rules, 25003);
    for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++)
        qd_group_add(&group, MEMBERS[i]);
    group.count_tag = 268;
}

static bool is_length_tag(int64_t tag)
{
    for (int i = 0; i < rules.n_pairs; i++)
        if (rules.length_tags[i] == tag)
            return true;
    return false;
}

static void check_numbers(const uint8_t *text, size_t n)
{
    uint8_t again[40];
    int64_t value, back;
    if (!qd_parse_int(text, n, &value)) {
        size_t len = qd_format_int(again, value);
        HOLDS(len <= 20 && !qd_parse_int(again, len, &back) && back == value);
    }
    for (int scale = 0; scale <= QD_MAX_SCALE; scale++)
        if (!qd_parse_scaled(text, n, scale, &value)) {
            size_t len = qd_format_scaled(again, value, scale);
            HOLDS(len <= 22 && !qd_parse_scaled(again, len, scale, &back) && back == value);
        }
    if (!qd_parse_utc(text, n, &value)) {
        HOLDS(value >= 0);
        size_t len = qd_format_utc(again, value, 9);
        HOLDS(!len || (len == 27 && !qd_parse_utc(again, len, &back) && back == value));
    }
    qd_parse_time(text, n, &value);
    qd_parse_date(text, n, &value);
}

/* What the writer lets through can be read, and nothing else gets in. */
static void check_writer(const uint8_t *text, size_t n)
{
    qd_out out = {0};
    int64_t number = 0;
    int32_t tag;
    size_t at, start;
    memcpy(&number, text, n < 8 ? n : 8);
    if (qd_out_tag(&out, number & 0x3fffffff)) {
        out.n = 0;
        HOLDS(!qd_out_tag(&out, 58));
    }
    start = out.n;
    bool fits = !qd_out_text(&out, text, n);
    HOLDS(fits == (n && !memchr(text, QD_SOH, n)) && (fits || out.n == start));
    if (!fits)
        out.n = 0;
    HOLDS(!qd_out_tag(&out, 44) && !qd_out_scaled(&out, number, (int)(n % 19)));
    HOLDS(!qd_out_tag(&out, 34) && !qd_out_int(&out, number));
    HOLDS(!qd_out_tag(&out, 60) && (number < 0 || number > 9000000000000000000LL || !qd_out_utc(&out, number, 3)));
    int reserved = (number & 0x3fffffff) == 8 || (number & 0x3fffffff) == 9 || (number & 0x3fffffff) == 10 ||
                   (number & 0x3fffffff) == 35;
    bool complete = out.buf[out.n - 1] == QD_SOH;
    if (complete && !reserved && !is_length_tag(number & 0x3fffffff))
        HOLDS(!qd_check_fields(out.buf, out.n, &rules, &tag, &at));
    qd_out_free(&out);
}

/* Fields lie one behind the other, cover the whole message and can be read. */
static void check_message(const uint8_t *bytes, size_t n)
{
    qd_index index;
    uint32_t starts[64], entries;
    size_t at = 0;
    qd_index_init(&index);
    HOLDS(!qd_index_build(&index, bytes, n, &rules));
    for (uint32_t i = 0; i < index.n; i++) {
        qd_span span = index.spans[i];
        HOLDS(span.off >= at && span.off + (size_t)span.len < n);
        HOLDS(bytes[span.off + span.len] == QD_SOH);
        HOLDS(index.tags[i] ? bytes[span.off - 1] == '=' : span.off == at);
        at = span.off + span.len + 1;
        if (span.len < 64)
            check_numbers(bytes + span.off, span.len);
    }
    HOLDS(at == n);
    for (uint32_t i = 0; i < index.n; i++)
        if (index.tags[i] == group.count_tag) {
            uint32_t end = qd_group_scan(&index, &group, i, index.n, starts, 64, &entries);
            HOLDS(end <= index.n && end > i && entries < index.n);
            for (uint32_t e = 0; e < entries && e < 64; e++)
                HOLDS(starts[e] > i && starts[e] < end);
        }
    qd_index_free(&index);
}

/* ---- market data ---- */

static void check_words(const qd_words *out, uint32_t n_records)
{
    size_t at = 0;
    uint32_t records = 0;
    while (at < out->n) {
        HOLDS(out->n - at >= QD_MD_HEADER);
        int64_t changes = out->words[at + QD_MD_N_CHANGES];
        HOLDS(changes >= 0 && (size_t)changes <= (out->n - at - QD_MD_HEADER) / QD_MD_CHANGE);
        HOLDS(out->words[at + QD_MD_INSTRUMENT] >= 0 || !changes);
        at += QD_MD_HEADER + (size_t)changes * QD_MD_CHANGE;
        records++;
    }
    HOLDS(at == out->n && (n_records == UINT32_MAX || records == n_records));
}

static void decode_md(const uint8_t *bytes, size_t n, bool l3)
{
    qd_md_tags tags = {l3 ? 278 : 0, 5273, 5041, 25043, 25044, 1003, 60, 2446};
    qd_md *md = malloc(sizeof *md);
    qd_words alone = {0}, batch = {0};
    qd_framer framer;
    uint32_t records = 0, messages = 0;
    int64_t seq = 7;
    HOLDS(md && !qd_md_init(md, &tags, &rules));
    HOLDS(!qd_md_add_symbol(md, "BTC/USD", 7, 0, 1, 8) && !qd_md_add_symbol(md, "A", 1, 1, 0, 18));
    memcpy(md->begin, "FIX.4.4", md->begin_len = 7);
    memcpy(md->sender, "S", md->sender_len = 1);
    memcpy(md->target, "T", md->target_len = 1);
    int error = qd_md_message(md, bytes, n, 1, &alone, &records);
    check_words(&alone, error ? 0 : records);
    qd_framer_init(&framer, MAX_BODY);
    memcpy(qd_framer_reserve(&framer, n), bytes, n);
    qd_framer_commit(&framer, n);
    int stop = qd_md_batch(md, &framer, &seq, 1, 100, &batch, &messages);
    HOLDS(seq == 7 + (int64_t)messages && (messages || framer.head == 0) && stop <= QD_STOP_LIMIT);
    if (messages)
        HOLDS(batch.n == alone.n && !memcmp(batch.words, alone.words, batch.n * 8) && framer.head == n);
    else
        HOLDS(!batch.n);
    qd_framer_free(&framer);
    free(alone.words);
    free(batch.words);
    qd_md_free(md);
    free(md);
}

/* ---- framing ---- */

typedef struct {
    uint64_t digest, taken;
} seen;

static void drain(qd_framer *framer, seen *s)
{
    qd_frame frame;
    int state;
    while ((state = qd_framer_peek(framer, &frame)) != QD_FRAME_MORE) {
        if (state == QD_FRAME_GARBLED) {
            qd_frame alone;
            if (frame.garble == QD_GARBLE_CHECKSUM)
                HOLDS(qd_frame_check(frame.bytes, frame.total, MAX_BODY, &alone) == QD_FRAME_GARBLED);
            qd_framer_skip(framer, &frame);
            continue;
        }
        qd_frame alone; /* a sum put together from blocks must be the plain one */
        HOLDS(qd_frame_check(frame.bytes, frame.total, MAX_BODY, &alone) == QD_FRAME_READY && alone.total == frame.total);
        s->digest = s->digest * 1099511628211ULL ^ qd_key64((const char *)frame.bytes, frame.total);
        s->taken += frame.total;
        check_message(frame.bytes, frame.total);
        decode_md(frame.bytes, frame.total, false);
        qd_framer_take(framer, &frame);
    }
}

/* The stream in pieces whose sizes come from a seed; 0: all at once. */
static void stream(qd_framer *framer, seen *s, const uint8_t *bytes, size_t n, unsigned seed)
{
    memset(s, 0, sizeof *s);
    qd_framer_init(framer, MAX_BODY);
    while (n) {
        seed = seed * 1103515245u + 12345u;
        size_t piece = seed >> 16 & 31;
        piece = piece && piece < n ? piece : n;
        uint8_t *to = qd_framer_reserve(framer, piece);
        HOLDS(to);
        memcpy(to, bytes, piece);
        qd_framer_commit(framer, piece);
        drain(framer, s);
        bytes += piece;
        n -= piece;
    }
    framer->ended = true;
    drain(framer, s);
}

static void check_stream(const uint8_t *bytes, size_t n)
{
    qd_framer whole, pieces, hidden;
    seen a, b;
    if (!n)
        return;
    stream(&whole, &a, bytes + 1, n - 1, 0);
    stream(&pieces, &b, bytes + 1, n - 1, bytes[0] + 1u);
    HOLDS(a.digest == b.digest && whole.messages == pieces.messages && whole.n_garbled == pieces.n_garbled);
    HOLDS(!memcmp(whole.garbled, pieces.garbled, sizeof whole.garbled) && whole.last_offset == pieces.last_offset);
    HOLDS(a.taken + whole.garbled_bytes == n - 1 && b.taken + pieces.garbled_bytes == n - 1);
    qd_framer_free(&whole);
    qd_framer_free(&pieces);
    qd_framer_init(&hidden, MAX_BODY); /* given up as often as it can be: no byte vanishes, and it ends */
    memcpy(qd_framer_reserve(&hidden, n), bytes, n);
    qd_framer_commit(&hidden, n);
    memset(&a, 0, sizeof a);
    do
        drain(&hidden, &a);
    while (qd_framer_give_up(&hidden));
    HOLDS(a.taken + hidden.garbled_bytes + (hidden.tail - hidden.head) == n);
    qd_framer_free(&hidden);
}

/* ---- a right frame around any body ---- */

static void framed(const char *head, const uint8_t *body, size_t n, bool md)
{
    qd_out out = {0};
    int32_t tag;
    size_t at;
    bool strict = !qd_check_fields(body, n, &rules, &tag, &at);
    HOLDS(!qd_out_room(&out, QD_HEAD_ROOM));
    out.n = QD_HEAD_ROOM;
    qd_out_bytes(&out, head, strlen(head));
    qd_out_bytes(&out, body, n);
    qd_out_bytes(&out, "\001", n && body[n - 1] != QD_SOH); /* a body ends with SOH */
    size_t start = qd_out_seal(&out, (const uint8_t *)"FIX.4.4", 7);
    qd_frame frame;
    HOLDS(qd_frame_check(out.buf + start, out.n - start, MAX_BODY * 16, &frame) == QD_FRAME_READY);
    HOLDS(frame.total == out.n - start);
    check_message(out.buf + start, frame.total);
    if (strict) { /* what the encoder lets through has no defect but repeats */
        qd_index index;
        qd_index_init(&index);
        qd_index_build(&index, out.buf + start, frame.total, &rules);
        for (uint32_t i = 0; i < index.n_defects; i++)
            HOLDS(index.defects[i].kind == QD_DEFECT_REPEATED_TAG);
        qd_index_free(&index);
    }
    if (md && n < MAX_BODY - 100) {
        decode_md(out.buf + start, frame.total, false);
        decode_md(out.buf + start, frame.total, true);
    }
    qd_out_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    set_up();
    if (!n--)
        return 0;
    switch (*data++ & 3) {
    case 0:
        check_stream(data, n);
        break;
    case 1:
        framed("35=8\00149=S\00156=T\00134=7\00152=20250101-00:00:00.123\001", data, n, false);
        break;
    case 2:
        if (n)
            framed(*data & 1 ? "35=X\00149=S\00156=T\00134=7\00152=20250101-00:00:00.123\001" : "35=W\001", data + 1,
                   n - 1, true);
        break;
    default:
        check_numbers(data, n < 64 ? n : 64);
        check_writer(data, n);
    }
    return 0;
}
