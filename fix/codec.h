/* The FIX codec in plain C: no Python, no I/O, no global state. fix/_codec.pyx wraps it, tests/fuzz/ feeds it.
 *
 * codec.c        numbers, times, checksum, index of a message's fields, repeating groups
 * codec_frame.c  stream of bytes -> messages
 * codec_md*.c    35=X and 35=W -> words of base/md_record.h
 * codec_out.c    fields -> message
 */
#ifndef QD_CODEC_H
#define QD_CODEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QD_SOH 1
#define QD_MAX_SCALE 18
#define QD_MAX_DEFECTS 16
#define QD_INLINE_FIELDS 48
#define QD_MAX_BODY_LIMIT (1u << 30) /* offsets are 32 bits wide */

/* ---- numbers and times: 0 or one of these ---- */
#define QD_NUM_MALFORMED 1
#define QD_NUM_OVERFLOW 2
#define QD_NUM_DECIMALS 3

int qd_parse_int(const uint8_t *text, size_t n, int64_t *out);
int qd_parse_scaled(const uint8_t *text, size_t n, int scale, int64_t *out);
/* UTCTimestamp (YYYYMMDD-HH:MM:SS, 0 to 12 decimals) or ISO 8601 ending in Z; 1970 to 2261. */
int qd_parse_utc(const uint8_t *text, size_t n, int64_t *out);
/* HH:MM:SS with decimals: nanoseconds of the day. */
int qd_parse_time(const uint8_t *text, size_t n, int64_t *out);
/* YYYYMMDD: nanoseconds at its midnight. */
int qd_parse_date(const uint8_t *text, size_t n, int64_t *out);
uint8_t qd_sum(const uint8_t *bytes, size_t n);

/* ---- which tags are special ---- */
#define QD_RULE_TAGS 65536
#define QD_MAX_PAIRS 512
typedef struct {
    uint64_t length_bits[QD_RULE_TAGS / 64];
    uint64_t count_bits[QD_RULE_TAGS / 64];
    int32_t length_tags[QD_MAX_PAIRS], data_tags[QD_MAX_PAIRS];
    int n_pairs;
} qd_rules;

void qd_rules_init(qd_rules *rules);
int qd_rules_add_data(qd_rules *rules, int32_t length_tag, int32_t data_tag); /* -1: no room or bad tag */
int qd_rules_add_count(qd_rules *rules, int32_t tag);

/* ---- index of the fields of one message ---- */
#define QD_DEFECT_NO_EQUALS 1
#define QD_DEFECT_BAD_TAG 2
#define QD_DEFECT_EMPTY_VALUE 3
#define QD_DEFECT_REPEATED_TAG 4
#define QD_DEFECT_DATA_LENGTH 5
#define QD_DEFECT_GROUP_COUNT 6

typedef struct {
    uint32_t off, len;
} qd_span;

typedef struct {
    int32_t kind, tag;
    uint32_t offset;
} qd_defect;

/* tags[i] is 0 for a field whose tag cannot be read; its span is then the whole field. */
typedef struct {
    int32_t *tags;
    qd_span *spans;
    uint32_t n, cap, n_defects;
    qd_defect defects[QD_MAX_DEFECTS];
    int32_t inline_tags[QD_INLINE_FIELDS];
    qd_span inline_spans[QD_INLINE_FIELDS];
} qd_index;

void qd_index_init(qd_index *index);
void qd_index_free(qd_index *index);
/* Fields of bytes[0..n), which end with SOH. -1: out of memory. */
int qd_index_build(qd_index *index, const uint8_t *bytes, size_t n, const qd_rules *rules);
void qd_index_defect(qd_index *index, int kind, int32_t tag, uint32_t offset);
uint32_t qd_index_find(const qd_index *index, int32_t tag, uint32_t from, uint32_t to); /* `to` when absent */

/* ---- repeating groups ---- */
typedef struct {
    int32_t count_tag;
    uint64_t member_bits[QD_RULE_TAGS / 64]; /* members, nested count tags and members */
} qd_group;

int qd_group_add(qd_group *group, int32_t tag);
void qd_group_merge(qd_group *group, const qd_group *nested);
/* The group whose count field is at `at`: answers the index after its last entry. starts[] receives up to
 * `room` entry starts; *n_entries all that there are. */
uint32_t qd_group_scan(const qd_index *index, const qd_group *group, uint32_t at, uint32_t to, uint32_t *starts,
                       uint32_t room, uint32_t *n_entries);

/* ---- framing ---- */
#define QD_GARBLE_NO_BEGIN 0
#define QD_GARBLE_BEGIN_STRING 1
#define QD_GARBLE_BODY_LENGTH 2
#define QD_GARBLE_TOO_LONG 3
#define QD_GARBLE_MSG_TYPE 4
#define QD_GARBLE_TRAILER 5
#define QD_GARBLE_CHECKSUM 6
#define QD_GARBLE_TRUNCATED 7
#define QD_GARBLE_REASONS 8

#define QD_FRAME_READY 0
#define QD_FRAME_MORE 1
#define QD_FRAME_GARBLED 2

typedef struct {
    const uint8_t *bytes; /* valid until the framer is fed again */
    size_t total;
    size_t begin_len; /* of the BeginString */
    size_t body;      /* offset of 35= */
    int garble;       /* reason, when garbled */
} qd_frame;

typedef struct {
    uint8_t *buf;
    size_t cap, head, tail, max_body;
    uint64_t base; /* stream offset of buf[0] */
    uint64_t messages, garbled_bytes, garbled[QD_GARBLE_REASONS], n_garbled, last_offset;
    int last_reason;
    bool in_garble, ended;
    uint8_t prev; /* the byte before head, 0 at the start */
    /* Sums of whole blocks from buf[0]; they keep a stream of wrong CheckSums from costing quadratic time. */
    uint8_t *sums;
    size_t sums_cap, sums_done;
    size_t dirty_to; /* a frame up to here failed its CheckSum */
} qd_framer;

/* Judges n bytes that should begin a message; reads no further than that message. */
int qd_frame_check(const uint8_t *bytes, size_t n, size_t max_body, qd_frame *frame);
void qd_framer_init(qd_framer *framer, size_t max_body);
void qd_framer_free(qd_framer *framer);
void qd_framer_reset(qd_framer *framer);
bool qd_framer_full(const qd_framer *framer); /* a whole message lies there untaken */
uint8_t *qd_framer_reserve(qd_framer *framer, size_t n); /* NULL: out of memory */
void qd_framer_commit(qd_framer *framer, size_t n);
int qd_framer_peek(qd_framer *framer, qd_frame *frame);
void qd_framer_take(qd_framer *framer, const qd_frame *frame);
void qd_framer_skip(qd_framer *framer, const qd_frame *frame);
/* Nothing has come for long, and the message at hand is not whole: true when it was skipped for a whole one behind it. */
bool qd_framer_give_up(qd_framer *framer);

/* ---- market data ---- */
typedef struct {
    int64_t *words;
    size_t n, cap;
    bool pinned; /* somebody looks at the words: they must not move */
} qd_words;

typedef struct {
    char *text;
    uint32_t len;
    int32_t px_scale, qty_scale;
    int64_t instrument;
    uint64_t hash;
} qd_symbol;

#define QD_MAX_ID 64
typedef struct {
    uint8_t role[QD_RULE_TAGS]; /* by tag; tags[] is the way back */
    int32_t tags[32];
    bool order_keys, skip_unkeyed, trade_reduces;
    const qd_rules *rules;
    qd_symbol *symbols; /* open addressing, capacity a power of two */
    size_t n_symbols, symbols_cap;
    uint8_t begin[QD_MAX_ID], sender[QD_MAX_ID], target[QD_MAX_ID];
    size_t begin_len, sender_len, target_len;
    uint8_t req_id[QD_MAX_ID];
    size_t req_len;
    int64_t req_key;
} qd_md;

typedef struct {
    int order_key, queue_time, checksum, first_id, last_id, trade_id, trade_time, aggressor, fragment;
    bool skip_unkeyed;  /* bids and offers without an order id are no book entries */
    bool trade_reduces; /* a trade names the resting order, and takes its size away from it */
} qd_md_tags;

#define QD_STOP_INCOMPLETE 0
#define QD_STOP_OTHER_TYPE 1
#define QD_STOP_SEQ_NUM 2
#define QD_STOP_POSS_DUP 3
#define QD_STOP_COMP_ID 4
#define QD_STOP_GARBLED 5
#define QD_STOP_HEADER 6
#define QD_STOP_LIMIT 7
#define QD_STOP_NO_MEMORY 8
#define QD_STOP_PINNED 9

int qd_md_init(qd_md *md, const qd_md_tags *tags, const qd_rules *rules); /* -1: bad tag or two roles for one */
void qd_md_free(qd_md *md);
int qd_md_add_symbol(qd_md *md, const char *text, size_t n, int64_t instrument, int px_scale, int qty_scale);
/* Records of one framed message, with no session checks: 0 or QD_STOP_NO_MEMORY, QD_STOP_PINNED, QD_STOP_OTHER_TYPE. */
int qd_md_message(qd_md *md, const uint8_t *bytes, size_t n, int64_t recv_ns, qd_words *out, uint32_t *n_records);
/* Takes messages as long as they are market data in sequence; answers a QD_STOP_*. */
int qd_md_batch(qd_md *md, qd_framer *framer, int64_t *seq, int64_t recv_ns, uint32_t max_messages, qd_words *out,
                uint32_t *n_messages);

/* ---- writing ---- */
typedef struct {
    uint8_t *buf;
    size_t n, cap;
} qd_out;

#define QD_OUT_NO_MEMORY 1
#define QD_OUT_EMPTY 2
#define QD_OUT_SOH 3
#define QD_OUT_TAG 4
#define QD_OUT_RANGE 5

void qd_out_free(qd_out *out);
int qd_out_room(qd_out *out, size_t n);
int qd_out_bytes(qd_out *out, const void *bytes, size_t n);
int qd_out_tag(qd_out *out, int64_t tag); /* tag= */
int qd_out_text(qd_out *out, const void *text, size_t n); /* value and SOH; strict */
int qd_out_int(qd_out *out, int64_t value);
int qd_out_scaled(qd_out *out, int64_t value, int scale);
int qd_out_utc(qd_out *out, int64_t ns, int digits);
size_t qd_format_int(uint8_t *to, int64_t value);              /* at most 20 bytes */
size_t qd_format_scaled(uint8_t *to, int64_t value, int scale); /* at most 22 bytes */
size_t qd_format_utc(uint8_t *to, int64_t ns, int digits);      /* at most 27 bytes; 0 when out of range */
/* Strict reading of ready-made fields: 0, or QD_OUT_* with the tag at fault in *tag and its place in *offset. */
int qd_check_fields(const uint8_t *bytes, size_t n, const qd_rules *rules, int32_t *tag, size_t *offset);
/* out holds QD_HEAD_ROOM spare bytes, then the body from 35= on: puts 8 and 9 before it and 10 behind it.
 * Answers the offset of the message in out, whose n is its end; SIZE_MAX when out of memory. */
#define QD_HEAD_ROOM 64
size_t qd_out_seal(qd_out *out, const uint8_t *begin, size_t begin_len);
#endif
