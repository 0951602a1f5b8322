/* What the decoder is told of a venue: which tag plays which role, and the symbols. */
#include "fix/codec_md.h"
#include <stdlib.h>
#include <string.h>

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
    md->skip_unkeyed = tags->skip_unkeyed;
    md->trade_reduces = tags->trade_reduces;
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++)
        give_role(md, FIXED[i][0], FIXED[i][1]);
    return give_role(md, tags->order_key ? tags->order_key : 278, ENTRY_ID) ||
                   give_role(md, tags->queue_time, QUEUE_TIME) || give_role(md, tags->checksum, CHECK) ||
                   give_role(md, tags->first_id, FIRST_ID) || give_role(md, tags->last_id, LAST_ID) ||
                   give_role(md, tags->trade_id, TRADE_ID) || give_role(md, tags->trade_time, TRADE_TIME) ||
                   give_role(md, tags->aggressor, AGGRESSOR) || give_role(md, tags->fragment, FRAGMENT)
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

const qd_symbol *qd_md_find(const qd_md *md, text symbol)
{
    if (!md->n_symbols || !symbol.n)
        return NULL;
    const char *p = (const char *)symbol.p;
    const qd_symbol *s = slot(md->symbols, md->symbols_cap, p, symbol.n, qd_key64(p, symbol.n));
    return s->text ? s : NULL;
}
