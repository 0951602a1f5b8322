/* 35=X and 35=W -> words of base/md_record.h, in one pass over the bytes and without a field index. */
#include "fix/codec_md.h"
#include "fix/codec_scan.h"
#include <string.h>

static inline void keep(reader *r, entry *e, int role, const qd_scan *s)
{
    if (HAS(e, role)) {
        qd_md_message_defect(r, s->tag);
        return;
    }
    e->has |= 1u << role;
    e->field[role] = (text){s->value, (size_t)(s->value_end - s->value)};
}

/* Roles that belong to the message wherever they stand; the others belong to an entry once entries have begun. */
static inline bool of_message(int role)
{
    return role <= COUNT;
}

/* What the message says before its entries holds for them until one says otherwise. */
static void adopt_head(reader *r)
{
    text time = GET(&r->head, SENDING_TIME);
    if (qd_parse_utc(time.p, time.n, &r->sending_ns))
        r->sending_ns = 0;
    qd_md_new_symbol(r, &r->head);
    qd_md_new_id(r, &r->head, FIRST_ID, &r->has_first, &r->first_id);
    qd_md_new_id(r, &r->head, LAST_ID, &r->has_last, &r->last_id);
}

static void begin_entry(reader *r, int64_t entry)
{
    if (entry)
        qd_md_end_entry(r);
    else
        adopt_head(r);
    r->now.has = 0;
}

/* All fields; answers how many entries there were. */
static int64_t read_fields(reader *r, const uint8_t *p, const uint8_t *end)
{
    qd_scan s = {0};
    int64_t entries = 0;
    int32_t delimiter = 0;
    bool counted = false; /* the next tag that belongs to entries is the delimiter */
    while (p < end) {
        p = qd_scan_field(&s, p, end, r->md->rules);
        if (__builtin_expect(s.defect != 0, 0)) {
            qd_md_message_defect(r, s.tag);
            if (s.defect != QD_DEFECT_DATA_LENGTH)
                continue;
        }
        int role = s.tag < QD_RULE_TAGS ? r->md->role[s.tag] : OTHER;
        if (counted && role > COUNT) {
            delimiter = s.tag;
            counted = false;
        }
        if (s.tag == delimiter)
            begin_entry(r, entries++);
        if (role == OTHER)
            continue;
        keep(r, entries && !of_message(role) ? &r->now : &r->head, role, &s);
        if (role == COUNT && !delimiter)
            counted = !(s.value_end - s.value == 1 && *s.value == '0');
    }
    if (entries)
        qd_md_end_entry(r);
    return entries;
}

static int64_t req_key(qd_md *md, text id)
{
    if (!id.n)
        return 0;
    if (id.n == md->req_len && !memcmp(id.p, md->req_id, id.n))
        return md->req_key;
    int64_t key = (int64_t)qd_key64((const char *)id.p, id.n);
    if (id.n <= QD_MAX_ID) {
        memcpy(md->req_id, id.p, id.n);
        md->req_len = id.n;
        md->req_key = key;
    }
    return key;
}

/* What is known only at the end goes into every record of the message. */
static void finish(reader *r, int64_t seq, int64_t recv_ns)
{
    int64_t key = req_key(r->md, GET(&r->head, REQ_ID)), *words = r->out->words;
    text last = GET(&r->head, FRAGMENT);
    bool more = !r->incremental && last.n == 1 && *last.p == 'N';
    for (size_t at = r->first; at < r->out->n;) {
        int64_t *h = words + at;
        h[QD_MD_SEQ_NUM] = seq;
        h[QD_MD_SENDING_NS] = r->sending_ns;
        h[QD_MD_RECV_NS] = recv_ns;
        h[QD_MD_REQ_KEY] = key;
        if (more)
            h[QD_MD_FLAGS] |= QD_MD_MORE;
        if (r->defect && !(h[QD_MD_FLAGS] & QD_MD_DEFECT)) {
            h[QD_MD_FLAGS] |= QD_MD_DEFECT;
            h[QD_MD_DEFECT_TAG] = r->defect_tag;
        }
        at += QD_MD_HEADER + (size_t)h[QD_MD_N_CHANGES] * QD_MD_CHANGE;
    }
}

static void check_count(reader *r, int64_t entries)
{
    int64_t stated;
    text t = GET(&r->head, COUNT);
    if (!HAS(&r->head, COUNT) || qd_parse_int(t.p, t.n, &stated) || stated != entries)
        qd_md_message_defect(r, r->md->tags[COUNT]);
}

/* Appends the records of the message at bytes; its MsgType is 35=X or 35=W. */
static int read_message(reader *r, const uint8_t *bytes, size_t n, int64_t recv_ns)
{
    int64_t seq = 0;
    r->first = r->out->n;
    r->record = SIZE_MAX;
    int64_t entries = read_fields(r, bytes, bytes + n);
    check_count(r, entries);
    text number = GET(&r->head, SEQ_NUM), check = GET(&r->head, CHECK);
    if (!r->error && !entries) {
        adopt_head(r);
        if (qd_md_open_record(r))
            qd_md_put_ids(r);
    }
    if (r->error)
        return r->error;
    if (HAS(&r->head, CHECK))
        qd_md_put_checksum(r, check);
    if (qd_parse_int(number.p, number.n, &seq))
        seq = 0;
    finish(r, seq, recv_ns);
    return 0;
}

/* 'X' or 'W' when the message at bytes is one of them, else 0. */
static char md_type(const uint8_t *bytes, size_t body)
{
    char type = (char)bytes[body + 3];
    return bytes[body + 4] == QD_SOH && (type == 'X' || type == 'W') ? type : 0;
}

static bool is(text t, const uint8_t *p, size_t n)
{
    return t.n == n && !memcmp(t.p, p, n);
}

/* Why the session must see this message, or -1. */
static int judge(const qd_md *md, const entry *head, int64_t expected)
{
    text number = GET(head, SEQ_NUM), dup = GET(head, POSS_DUP);
    int64_t seq;
    if (!number.n || !HAS(head, SENDING_TIME) || qd_parse_int(number.p, number.n, &seq))
        return QD_STOP_HEADER;
    if (!is(GET(head, BEGIN_STRING), md->begin, md->begin_len) || !is(GET(head, SENDER), md->sender, md->sender_len) ||
        !is(GET(head, TARGET), md->target, md->target_len))
        return QD_STOP_COMP_ID;
    if (HAS(head, POSS_DUP) && !(dup.n == 1 && *dup.p == 'N'))
        return QD_STOP_POSS_DUP;
    return seq == expected ? -1 : QD_STOP_SEQ_NUM;
}

static void start(reader *r, qd_md *md, qd_words *out, char type)
{
    r->md = md;
    r->out = out;
    r->head.has = r->now.has = 0;
    r->n_records = 0;
    r->symbol = (text){NULL, 0};
    r->known = NULL;
    r->has_first = r->has_last = r->defect = false;
    r->first_id = r->last_id = r->sending_ns = 0;
    r->defect_tag = 0;
    r->incremental = type == 'X';
    r->error = 0;
}

int qd_md_message(qd_md *md, const uint8_t *bytes, size_t n, int64_t recv_ns, qd_words *out, uint32_t *n_records)
{
    qd_frame frame;
    *n_records = 0;
    if (qd_frame_check(bytes, n, n, &frame) != QD_FRAME_READY || !md_type(bytes, frame.body))
        return QD_STOP_OTHER_TYPE;
    reader r;
    start(&r, md, out, md_type(bytes, frame.body));
    int error = read_message(&r, bytes, frame.total, recv_ns);
    if (error)
        out->n = r.first;
    else
        *n_records = r.n_records;
    return error;
}

/* One message of a batch: -1 when its records were appended, else a QD_STOP_* and nothing appended. */
static int batch_one(qd_md *md, const qd_frame *frame, int64_t expected, int64_t recv_ns, qd_words *out)
{
    char type = md_type(frame->bytes, frame->body);
    if (!type)
        return QD_STOP_OTHER_TYPE;
    reader r;
    start(&r, md, out, type);
    int stop = read_message(&r, frame->bytes, frame->total, recv_ns);
    if (!stop)
        stop = judge(md, &r.head, expected);
    if (stop >= 0)
        out->n = r.first;
    return stop;
}

int qd_md_batch(qd_md *md, qd_framer *framer, int64_t *seq, int64_t recv_ns, uint32_t max_messages, qd_words *out,
                uint32_t *n_messages)
{
    qd_frame frame;
    for (*n_messages = 0; *n_messages < max_messages; ++*n_messages) {
        int state = qd_framer_peek(framer, &frame);
        if (state != QD_FRAME_READY)
            return state == QD_FRAME_MORE ? QD_STOP_INCOMPLETE : QD_STOP_GARBLED;
        int stop = batch_one(md, &frame, *seq, recv_ns, out);
        if (stop >= 0)
            return stop;
        qd_framer_take(framer, &frame);
        ++*seq;
    }
    return QD_STOP_LIMIT;
}
