/* One entry of a market-data message -> change words, in a record of its symbol. */
#include "fix/codec_md.h"
#include <stdlib.h>
#include <string.h>

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

void qd_md_record_defect(reader *r, int32_t tag)
{
    int64_t *h = header(r);
    if (!(h[QD_MD_FLAGS] & QD_MD_DEFECT)) {
        h[QD_MD_FLAGS] |= QD_MD_DEFECT;
        h[QD_MD_DEFECT_TAG] = tag;
    }
}

void qd_md_message_defect(reader *r, int32_t tag)
{
    if (!r->defect) {
        r->defect = true;
        r->defect_tag = tag;
    }
}

bool qd_md_open_record(reader *r)
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
bool qd_md_new_symbol(reader *r, const entry *e)
{
    if (!HAS(e, SYMBOL) || (r->symbol.p && same(e->field[SYMBOL], r->symbol)))
        return false;
    bool was = r->symbol.p != NULL;
    r->symbol = e->field[SYMBOL];
    r->known = qd_md_find(r->md, r->symbol);
    return was || r->n_records;
}

bool qd_md_new_id(reader *r, const entry *e, int role, bool *has, int64_t *id)
{
    int64_t value;
    text t = GET(e, role);
    if (!HAS(e, role))
        return false;
    if (qd_parse_int(t.p, t.n, &value)) {
        qd_md_message_defect(r, r->md->tags[role]);
        return false;
    }
    bool differs = *has && *id != value;
    *has = true;
    *id = value;
    return differs;
}

void qd_md_put_ids(reader *r)
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

void qd_md_put_checksum(reader *r, text t)
{
    int64_t value;
    if (qd_parse_int(t.p, t.n, &value) || value < 0 || value > UINT32_MAX) {
        qd_md_record_defect(r, r->md->tags[CHECK]);
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
            qd_md_record_defect(r, r->md->tags[role]);
        return !needed;
    }
    if (!qd_parse_scaled(t.p, t.n, scale, out))
        return true;
    qd_md_record_defect(r, r->md->tags[role]);
    return false;
}

/* What a trade does to the order that rested; its side is the one that the aggressor did not have, 0 if unknown. */
static void add_reduction(reader *r, int side, int64_t px, int64_t qty, int64_t key)
{
    int64_t *c = room(r, QD_MD_CHANGE);
    if (!c)
        return;
    c[QD_MD_WHAT] = side | QD_MD_REDUCE << 8 | 1 << 24;
    c[QD_MD_PX] = px;
    c[QD_MD_QTY] = qty;
    c[QD_MD_KEY] = key;
    header(r)[QD_MD_N_CHANGES]++;
}

/* Bids, offers and trades of known symbols. An entry that cannot be read is left out and its record marked. */
static void add_change(reader *r, const entry *e, int type, int action)
{
    bool keyed = r->md->order_keys && type < 2;
    bool needs_px = !keyed || action == 0, needs_qty = action == 0 || (action == 1 && !keyed);
    int64_t px = 0, qty = 0, key = 0, ns = 0;
    if (keyed && r->md->skip_unkeyed && !HAS(e, ENTRY_ID))
        return;
    if (!number(r, e, PX, r->known->px_scale, needs_px, &px) ||
        !number(r, e, SIZE, r->known->qty_scale, needs_qty, &qty))
        return;
    if (keyed) {
        text id = GET(e, ENTRY_ID), t = GET(e, QUEUE_TIME);
        if (!id.n) {
            qd_md_record_defect(r, r->md->tags[ENTRY_ID]);
            return;
        }
        key = (int64_t)qd_key64((const char *)id.p, id.n);
        if (HAS(e, QUEUE_TIME) && qd_parse_utc(t.p, t.n, &ns)) {
            qd_md_record_defect(r, r->md->tags[QUEUE_TIME]);
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
    text resting = GET(e, ENTRY_ID);
    if (type == 2 && r->md->trade_reduces && resting.n)
        add_reduction(r, aggressor == 1, px, qty, (int64_t)qd_key64((const char *)resting.p, resting.n));
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

void qd_md_end_entry(reader *r)
{
    const entry *e = &r->now;
    if (r->error)
        return;
    bool fresh = qd_md_new_symbol(r, e);
    fresh |= qd_md_new_id(r, e, FIRST_ID, &r->has_first, &r->first_id);
    fresh |= qd_md_new_id(r, e, LAST_ID, &r->has_last, &r->last_id);
    if ((fresh || r->record == SIZE_MAX) && !qd_md_open_record(r))
        return;
    qd_md_put_ids(r);
    if (HAS(e, CHECK))
        qd_md_put_checksum(r, e->field[CHECK]);
    int type = entry_type(e), action = entry_action(r, e);
    if (!HAS(e, TYPE))
        qd_md_record_defect(r, r->md->tags[TYPE]);
    else if (action < 0)
        qd_md_record_defect(r, r->md->tags[ACTION]);
    else if (!r->known)
        return;
    else if (type == 255)
        add_other(r, action);
    else
        add_change(r, e, type, action);
}
