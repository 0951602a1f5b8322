/* 35=X and 35=W -> words of base/md_record.h, in one pass over the bytes and without a field index. */
#include "base/md_record.h"
#include "fix/codec.h"
#include "fix/codec_scan.h"
#include <stdlib.h>
#include <string.h>

enum role {
    OTHER, BEGIN_STRING, SEQ_NUM, SENDER, TARGET, SENDING_TIME, POSS_DUP, MSG_TYPE, REQ_ID, COUNT, SYMBOL, ACTION, TYPE,
    PX, SIZE, ENTRY_ID, ENTRY_DATE, ENTRY_TIME, QUEUE_TIME, CHECK, FIRST_ID, LAST_ID, TRADE_ID, TRADE_TIME, AGGRESSOR,
    N_ROLES
};

#define HAS(entry, role) ((entry)->has >> (role) & 1)
#define NOTHING ((text){(const uint8_t *)"", 0})
#define GET(entry, role) (HAS(entry, role) ? (entry)->field[role] : NOTHING)

typedef struct {
    const uint8_t *p;
    size_t n;
} text;

typedef struct {
    uint32_t has; /* bit of each role seen */
    text field[N_ROLES];
} entry;

typedef struct {
    qd_md *md;
    qd_words *out;
    entry head, now; /* fields of the message; of the entry being read */
    size_t first;    /* word at which this message's records begin */
    size_t record;   /* header of the open record; SIZE_MAX: none */
    uint32_t n_records;
    text symbol;     /* carried from entry to entry, as are the update ids */
    const qd_symbol *known;
    int64_t first_id, last_id;
    bool has_first, has_last;
    int64_t sending_ns;
    int32_t defect_tag; /* of the message as a whole */
    bool defect, incremental;
    int error;
} reader;

/* ---- configuration ---- */

static int give_role(qd_md *md, int tag, int role)
{
    if (!tag)
        return 0;
    if (tag < 1 || tag >= QD_RULE_TAGS || md->role[tag])
        return -1;
    md->role[tag] = (uint8_t)role;
    md->tags[role] = tag;
    return 0;
}

int qd_md_init(qd_md *md, const qd_md_tags *tags, const qd_rules *rules)
{
    static const int16_t FIXED[][2] = {
        {8, BEGIN_STRING}, {34, SEQ_NUM}, {49, SENDER}, {56, TARGET}, {52, SENDING_TIME}, {43, POSS_DUP},
        {35, MSG_TYPE}, {262, REQ_ID}, {268, COUNT}, {55, SYMBOL}, {279, ACTION}, {269, TYPE}, {270, PX},
        {271, SIZE}, {272, ENTRY_DATE}, {273, ENTRY_TIME},
    };
    memset(md, 0, sizeof *md);
    md->rules = rules;
    md->order_keys = tags->order_key != 0;
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++)
        give_role(md, FIXED[i][0], FIXED[i][1]);
    return give_role(md, tags->order_key ? tags->order_key : 278, ENTRY_ID) ||
                   give_role(md, tags->queue_time, QUEUE_TIME) || give_role(md, tags->checksum, CHECK) ||
                   give_role(md, tags->first_id, FIRST_ID) || give_role(md, tags->last_id, LAST_ID) ||
                   give_role(md, tags->trade_id, TRADE_ID) || give_role(md, tags->trade_time, TRADE_TIME) ||
                   give_role(md, tags->aggressor, AGGRESSOR)
               ? -1
               : 0;
}

void qd_md_free(qd_md *md)
{
    for (size_t i = 0; i < md->symbols_cap; i++)
        free(md->symbols[i].text);
    free(md->symbols);
    md->symbols = NULL;
    md->symbols_cap = md->n_symbols = 0;
}

/* The slot that holds this text, or the free one where it belongs. */
static qd_symbol *slot(qd_symbol *table, size_t cap, const void *text, size_t n, uint64_t hash)
{
    size_t i = hash & (cap - 1);
    while (table[i].text && (table[i].hash != hash || table[i].len != n || memcmp(table[i].text, text, n)))
        i = (i + 1) & (cap - 1);
    return &table[i];
}

static int grow_symbols(qd_md *md)
{
    size_t cap = md->symbols_cap ? md->symbols_cap * 2 : 64;
    qd_symbol *table = calloc(cap, sizeof *table);
    if (!table)
        return -1;
    for (size_t i = 0; i < md->symbols_cap; i++) {
        qd_symbol *old = &md->symbols[i];
        if (old->text)
            *slot(table, cap, old->text, old->len, old->hash) = *old;
    }
    free(md->symbols);
    md->symbols = table;
    md->symbols_cap = cap;
    return 0;
}

int qd_md_add_symbol(qd_md *md, const char *text, size_t n, int64_t instrument, int px_scale, int qty_scale)
{
    if (md->n_symbols * 2 >= md->symbols_cap && grow_symbols(md))
        return -1;
    uint64_t hash = qd_key64(text, n);
    qd_symbol *s = slot(md->symbols, md->symbols_cap, text, n, hash);
    if (!s->text) {
        char *copy = malloc(n ? n : 1);
        if (!copy)
            return -1;
        memcpy(copy, text, n);
        *s = (qd_symbol){.text = copy, .len = (uint32_t)n, .hash = hash};
        md->n_symbols++;
    }
    s->instrument = instrument;
    s->px_scale = px_scale;
    s->qty_scale = qty_scale;
    return 0;
}

static const qd_symbol *find_symbol(const qd_md *md, text symbol)
{
    if (!md->n_symbols || !symbol.n)
        return NULL;
    const char *p = (const char *)symbol.p;
    const qd_symbol *s = slot(md->symbols, md->symbols_cap, p, symbol.n, qd_key64(p, symbol.n));
    return s->text ? s : NULL;
}

/* ---- words ---- */

static int64_t *room(reader *r, size_t n)
{
    qd_words *out = r->out;
    if (out->cap - out->n < n) {
        size_t cap = out->cap ? out->cap * 2 : 4096;
        if (out->pinned) {
            r->error = QD_STOP_PINNED;
            return NULL;
        }
        int64_t *words = realloc(out->words, cap * sizeof *words);
        if (!words) {
            r->error = QD_STOP_NO_MEMORY;
            return NULL;
        }
        out->words = words;
        out->cap = cap;
    }
    int64_t *at = out->words + out->n;
    memset(at, 0, n * sizeof *at);
    out->n += n;
    return at;
}

static int64_t *header(reader *r)
{
    return r->out->words + r->record;
}

static void record_defect(reader *r, int32_t tag)
{
    int64_t *h = header(r);
    if (!(h[QD_MD_FLAGS] & QD_MD_DEFECT)) {
        h[QD_MD_FLAGS] |= QD_MD_DEFECT;
        h[QD_MD_DEFECT_TAG] = tag;
    }
}

static void message_defect(reader *r, int32_t tag)
{
    if (!r->defect) {
        r->defect = true;
        r->defect_tag = tag;
    }
}

static bool open_record(reader *r)
{
    int64_t *h = room(r, QD_MD_HEADER);
    if (!h)
        return false;
    r->record = (size_t)(h - r->out->words);
    r->n_records++;
    h[QD_MD_INSTRUMENT] = r->known ? r->known->instrument : -1;
    h[QD_MD_KIND] = !r->incremental;
    return true;
}

/* ---- one entry ---- */

static bool same(text a, text b)
{
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* Takes over what an entry says of its symbol; true when the open record cannot hold the entry. */
static bool new_symbol(reader *r, const entry *e)
{
    if (!HAS(e, SYMBOL) || (r->symbol.p && same(e->field[SYMBOL], r->symbol)))
        return false;
    bool was = r->symbol.p != NULL;
    r->symbol = e->field[SYMBOL];
    r->known = find_symbol(r->md, r->symbol);
    return was || r->n_records;
}

static bool new_id(reader *r, const entry *e, int role, bool *has, int64_t *id)
{
    int64_t value;
    text t = GET(e, role);
    if (!HAS(e, role))
        return false;
    if (qd_parse_int(t.p, t.n, &value)) {
        message_defect(r, r->md->tags[role]);
        return false;
    }
    bool differs = *has && *id != value;
    *has = true;
    *id = value;
    return differs;
}

static void put_ids(reader *r)
{
    int64_t *h = header(r);
    if (r->has_first) {
        h[QD_MD_FLAGS] |= QD_MD_HAS_FIRST_ID;
        h[QD_MD_FIRST_ID] = r->first_id;
    }
    if (r->has_last) {
        h[QD_MD_FLAGS] |= QD_MD_HAS_LAST_ID;
        h[QD_MD_LAST_ID] = r->last_id;
    }
}

static void put_checksum(reader *r, text t)
{
    int64_t value;
    if (qd_parse_int(t.p, t.n, &value) || value < 0 || value > UINT32_MAX) {
        record_defect(r, r->md->tags[CHECK]);
        return;
    }
    int64_t *h = header(r);
    h[QD_MD_FLAGS] |= QD_MD_HAS_CHECKSUM;
    h[QD_MD_CHECKSUM] = value;
}

static int entry_type(const entry *e)
{
    text t = GET(e, TYPE);
    return t.n == 1 && *t.p >= '0' && *t.p <= '2' ? *t.p - '0' : 255;
}

/* Without an action the entry of a snapshot is new; anything but new, change, delete is -1. */
static int entry_action(const reader *r, const entry *e)
{
    text t = GET(e, ACTION);
    if (!HAS(e, ACTION))
        return r->incremental ? -1 : 0;
    return t.n == 1 && *t.p >= '0' && *t.p <= '2' ? *t.p - '0' : -1;
}

static int64_t trade_key(const entry *e)
{
    text t = HAS(e, TRADE_ID) ? e->field[TRADE_ID] : GET(e, ENTRY_ID);
    int64_t id;
    if (!t.n)
        return 0;
    if (!qd_parse_int(t.p, t.n, &id))
        return id;
    return (int64_t)qd_key64((const char *)t.p, t.n);
}

/* MDEntryTime has no date: without MDEntryDate it is the last such time not after SendingTime and a minute. */
static int64_t trade_time(const reader *r, const entry *e)
{
    const int64_t day = 86400000000000LL;
    int64_t ns, date;
    text t = GET(e, TRADE_TIME), d = GET(e, ENTRY_DATE);
    if (HAS(e, TRADE_TIME))
        return qd_parse_utc(t.p, t.n, &ns) ? 0 : ns;
    t = GET(e, ENTRY_TIME);
    if (!HAS(e, ENTRY_TIME) || qd_parse_time(t.p, t.n, &ns))
        return 0;
    if (HAS(e, ENTRY_DATE))
        return qd_parse_date(d.p, d.n, &date) ? 0 : date + ns;
    if (!r->sending_ns)
        return 0;
    int64_t limit = r->sending_ns + 60000000000LL, at = limit - limit % day + ns;
    return at > limit ? at - day : at;
}

static bool number(reader *r, const entry *e, int role, int scale, bool needed, int64_t *out)
{
    text t = GET(e, role);
    if (!HAS(e, role)) {
        if (needed)
            record_defect(r, r->md->tags[role]);
        return !needed;
    }
    if (!qd_parse_scaled(t.p, t.n, scale, out))
        return true;
    record_defect(r, r->md->tags[role]);
    return false;
}

/* Bids, offers and trades of known symbols. An entry that cannot be read is left out and its record marked. */
static void add_change(reader *r, const entry *e, int type, int action)
{
    bool keyed = r->md->order_keys && type < 2;
    bool needs_px = !keyed || action == 0, needs_qty = action == 0 || (action == 1 && !keyed);
    int64_t px = 0, qty = 0, key = 0, ns = 0;
    if (!number(r, e, PX, r->known->px_scale, needs_px, &px) ||
        !number(r, e, SIZE, r->known->qty_scale, needs_qty, &qty))
        return;
    if (keyed) {
        text id = GET(e, ENTRY_ID), t = GET(e, QUEUE_TIME);
        if (!id.n) {
            record_defect(r, r->md->tags[ENTRY_ID]);
            return;
        }
        key = (int64_t)qd_key64((const char *)id.p, id.n);
        if (HAS(e, QUEUE_TIME) && qd_parse_utc(t.p, t.n, &ns)) {
            record_defect(r, r->md->tags[QUEUE_TIME]);
            return;
        }
    } else if (type == 2) {
        key = trade_key(e);
        ns = trade_time(r, e);
    }
    text side = GET(e, AGGRESSOR);
    int aggressor = side.n == 1 && (*side.p == '1' || *side.p == '2') ? *side.p - '0' : 0;
    int64_t *c = room(r, QD_MD_CHANGE);
    if (!c)
        return;
    c[QD_MD_WHAT] = type | action << 8 | aggressor << 16 | (int64_t)HAS(e, SIZE) << 24;
    c[QD_MD_PX] = px;
    c[QD_MD_QTY] = qty;
    c[QD_MD_KEY] = key;
    c[QD_MD_TIME_NS] = ns;
    header(r)[QD_MD_N_CHANGES]++;
}

/* Entry types we do not know are passed on without numbers. */
static void add_other(reader *r, int action)
{
    int64_t *c = room(r, QD_MD_CHANGE);
    if (!c)
        return;
    c[QD_MD_WHAT] = 255 | action << 8;
    header(r)[QD_MD_N_CHANGES]++;
}

static void end_entry(reader *r)
{
    const entry *e = &r->now;
    if (r->error)
        return;
    bool fresh = new_symbol(r, e);
    fresh |= new_id(r, e, FIRST_ID, &r->has_first, &r->first_id);
    fresh |= new_id(r, e, LAST_ID, &r->has_last, &r->last_id);
    if ((fresh || r->record == SIZE_MAX) && !open_record(r))
        return;
    put_ids(r);
    if (HAS(e, CHECK))
        put_checksum(r, e->field[CHECK]);
    int type = entry_type(e), action = entry_action(r, e);
    if (!HAS(e, TYPE))
        record_defect(r, r->md->tags[TYPE]);
    else if (action < 0)
        record_defect(r, r->md->tags[ACTION]);
    else if (!r->known)
        return;
    else if (type == 255)
        add_other(r, action);
    else
        add_change(r, e, type, action);
}

/* ---- one message ---- */

static inline void keep(reader *r, entry *e, int role, const qd_scan *s)
{
    if (HAS(e, role)) {
        message_defect(r, s->tag);
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
    new_symbol(r, &r->head);
    new_id(r, &r->head, FIRST_ID, &r->has_first, &r->first_id);
    new_id(r, &r->head, LAST_ID, &r->has_last, &r->last_id);
}

static void begin_entry(reader *r, int64_t entry)
{
    if (entry)
        end_entry(r);
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
    bool counted = false; /* the next tag is the delimiter */
    while (p < end) {
        p = qd_scan_field(&s, p, end, r->md->rules);
        if (__builtin_expect(s.defect != 0, 0)) {
            message_defect(r, s.tag);
            if (s.defect != QD_DEFECT_DATA_LENGTH)
                continue;
        }
        if (counted) {
            delimiter = s.tag;
            counted = false;
        }
        if (s.tag == delimiter)
            begin_entry(r, entries++);
        int role = s.tag < QD_RULE_TAGS ? r->md->role[s.tag] : OTHER;
        if (role == OTHER)
            continue;
        keep(r, entries && !of_message(role) ? &r->now : &r->head, role, &s);
        if (role == COUNT && !delimiter)
            counted = !(s.value_end - s.value == 1 && *s.value == '0');
    }
    if (entries)
        end_entry(r);
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
    for (size_t at = r->first; at < r->out->n;) {
        int64_t *h = words + at;
        h[QD_MD_SEQ_NUM] = seq;
        h[QD_MD_SENDING_NS] = r->sending_ns;
        h[QD_MD_RECV_NS] = recv_ns;
        h[QD_MD_REQ_KEY] = key;
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
        message_defect(r, r->md->tags[COUNT]);
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
        if (open_record(r))
            put_ids(r);
    }
    if (r->error)
        return r->error;
    if (HAS(&r->head, CHECK))
        put_checksum(r, check);
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
