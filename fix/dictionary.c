#include "fix/dictionary.h"
#include "fix/codec_scan.h"
#include <string.h>

enum { HEADER, BODY, TRAILER };

/* One open block: the message's body, the header, the trailer, or a repeating group's present entry. */
typedef struct {
    const qd_dict_block *block;
    uint64_t *seen;
    int64_t expected; /* groups: NumInGroup as sent, -1 when it cannot be read */
    int64_t entries;
    uint16_t first, last; /* places of the member that opens an entry, and of the latest one */
} level;

typedef struct {
    const qd_dictionary *dict;
    uint32_t checks;
    qd_fault *faults;
    int n_faults, room;
    int region;
    const qd_dict_block *body; /* NULL: a type that is not known, only header and trailer are looked at */
    level levels[QD_MAX_DEPTH + 1]; /* levels[0] stands for the region and is filled when a group opens in it */
    int depth; /* groups open */
    uint64_t seen_header[QD_MAX_GROUP_MEMBERS / 64], seen_trailer[QD_MAX_GROUP_MEMBERS / 64];
    uint64_t seen_body[QD_MAX_MEMBERS / 64];
    uint64_t seen_group[QD_MAX_DEPTH][QD_MAX_GROUP_MEMBERS / 64];
} walk;

uint32_t qd_text_hash(const uint8_t *text, size_t n)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ text[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/* Answers true when there is no room for more. */
static bool fault(walk *w, int32_t reason, int32_t tag, int32_t business)
{
    w->faults[w->n_faults++] = (qd_fault){reason, tag, business};
    return w->n_faults == w->room;
}

#define FAULT(reason, tag)              \
    do {                                \
        if (fault(w, reason, tag, 0))   \
            return true;                \
    } while (0)

static inline const qd_dict_slot *probe(const qd_dict_slot *slots, uint32_t shift, int32_t tag)
{
    uint32_t mask = shift == 32 ? 0 : UINT32_MAX >> shift;
    for (uint32_t i = qd_tag_hash(tag, shift);; i = (i + 1) & mask) {
        if (slots[i].tag == tag)
            return &slots[i];
        if (slots[i].tag == 0)
            return NULL;
    }
}

static inline const qd_dict_slot *find(const qd_dictionary *dict, const qd_dict_block *block, int32_t tag)
{
    return block ? probe(dict->slots + block->slots, block->shift, tag) : NULL;
}

/* ---- values ---- */

static bool listed(const qd_dictionary *dict, const qd_dict_field *field, const uint8_t *p, size_t n)
{
    if (n == 1)
        return field->single[*p >> 6] >> (*p & 63) & 1;
    if (!field->mask)
        return false;
    for (uint32_t i = qd_text_hash(p, n) & field->mask;; i = (i + 1) & field->mask) {
        const qd_dict_value *value = &dict->values[field->values + i];
        if (!value->len)
            return false;
        if (value->len == n && !memcmp(dict->text + value->off, p, n))
            return true;
    }
}

static bool value_ok(const qd_dictionary *dict, const qd_dict_field *field, const uint8_t *p, size_t n)
{
    if (field->type != QD_WORDS && field->type != QD_CHARS)
        return listed(dict, field, p, n);
    const uint8_t *end = p + n;
    while (p < end) {
        const uint8_t *stop = memchr(p, ' ', (size_t)(end - p));
        stop = stop ? stop : end;
        if (stop > p && !listed(dict, field, p, (size_t)(stop - p)))
            return false;
        p = stop + 1;
    }
    return true;
}

static bool check_value(walk *w, const qd_dict_field *field, const uint8_t *p, size_t n)
{
    if (!n) {
        if (w->checks & QD_CHECK_EMPTY)
            FAULT(4, field->tag);
        return false;
    }
    if (w->checks & QD_CHECK_FORMATS && !qd_format_ok(field->type, p, n))
        FAULT(6, field->tag);
    else if (!field->any_value && w->checks & QD_CHECK_VALUES && !value_ok(w->dict, field, p, n))
        FAULT(5, field->tag);
    return false;
}

/* ---- groups ---- */

static bool missing(walk *w, const qd_dict_block *block, const uint64_t *seen)
{
    const qd_dictionary *dict = w->dict;
    if (!(w->checks & QD_CHECK_REQUIRED))
        return false;
    for (uint32_t word = 0; word * 64 < block->n; word++) {
        uint64_t gone = dict->required[block->required + word] & ~seen[word];
        for (; gone; gone &= gone - 1)
            FAULT(1, dict->members[block->members + word * 64 + (uint32_t)__builtin_ctzll(gone)]);
    }
    return false;
}

static void clear(level *l)
{
    memset(l->seen, 0, (l->block->n + 63) / 64 * sizeof *l->seen);
}

/* The innermost group has ended. */
static bool close_group(walk *w)
{
    level *l = &w->levels[w->depth--];
    if (l->entries && missing(w, l->block, l->seen))
        return true;
    if (l->expected >= 0 && l->entries != l->expected && w->checks & QD_CHECK_GROUP_COUNT)
        FAULT(16, l->block->count_tag);
    return false;
}

/* A count field's value: -1 when it is no number that a message can hold. */
static int64_t count_of(const uint8_t *p, size_t n)
{
    int64_t count = 0;
    if (!n || n > 9)
        return -1;
    for (; n; n--, p++) {
        unsigned d = (unsigned)*p - '0';
        if (d > 9)
            return -1;
        count = count * 10 + d;
    }
    return count;
}

static void open_group(walk *w, int32_t block, const uint8_t *p, size_t n)
{
    if (w->depth == QD_MAX_DEPTH) /* no dictionary that was loaded goes so deep */
        return;
    level *l = &w->levels[++w->depth];
    l->block = &w->dict->blocks[block];
    l->seen = w->seen_group[w->depth - 1];
    l->expected = count_of(p, n);
    l->entries = 0;
}

/* A member of the innermost group: the delimiter opens an entry, the others follow in their order. Where order is
 * not looked at, entries begin with whatever tag the first of them began with. */
static bool group_member(walk *w, level *l, const qd_dict_slot *slot)
{
    bool ordered = w->checks & QD_CHECK_GROUP_ORDER, first = !l->entries;
    if (first)
        l->first = ordered ? 0 : slot->at;
    if (first || slot->at == l->first) {
        if (!first && missing(w, l->block, l->seen))
            return true;
        l->entries++;
        clear(l);
        if (slot->at != l->first)
            FAULT(15, slot->tag);
    } else if (l->seen[slot->at >> 6] >> (slot->at & 63) & 1) {
        if (w->checks & QD_CHECK_REPEATED)
            FAULT(13, slot->tag);
    } else if (ordered && slot->at < l->last) {
        FAULT(15, slot->tag);
    }
    l->seen[slot->at >> 6] |= 1ULL << (slot->at & 63);
    l->last = slot->at;
    return false;
}

/* ---- one field ---- */

static bool member(walk *w, uint64_t *seen, const qd_dict_slot *slot, const uint8_t *p, size_t n)
{
    if (seen[slot->at >> 6] >> (slot->at & 63) & 1) {
        if (w->checks & QD_CHECK_REPEATED)
            FAULT(13, slot->tag);
    }
    seen[slot->at >> 6] |= 1ULL << (slot->at & 63);
    if (check_value(w, &w->dict->fields[slot->field], p, n))
        return true;
    if (slot->group >= 0)
        open_group(w, slot->group, p, n);
    return false;
}

static bool close_to(walk *w, int depth)
{
    while (w->depth > depth)
        if (close_group(w))
            return true;
    return false;
}

/* A tag of no place in this message. It closes no group: what follows may well belong to the open entry. */
static bool unknown(walk *w, const qd_dict_slot *defined, int32_t tag, const uint8_t *p, size_t n)
{
    uint32_t flag = tag >= QD_USER_TAGS ? QD_CHECK_USER : QD_CHECK_UNKNOWN;
    if (!n && w->checks & QD_CHECK_EMPTY)
        FAULT(4, tag);
    else if (w->checks & flag)
        FAULT(defined ? 2 : w->checks & QD_SAY_UNDEFINED ? 3 : 0, tag);
    else if (defined)
        return check_value(w, &w->dict->fields[defined->field], p, n);
    return false;
}

static bool out_of_order(walk *w, int32_t tag)
{
    if (w->checks & QD_CHECK_ORDER)
        FAULT(14, tag);
    return false;
}

static bool take(walk *w, const qd_dict_slot *defined, int32_t tag, const uint8_t *p, size_t n)
{
    const qd_dictionary *dict = w->dict;
    const qd_dict_slot *slot = NULL;
    int where = defined ? defined->at : 0;
    for (int depth = w->depth; depth > 0; depth--)
        if ((slot = find(dict, w->levels[depth].block, tag))) {
            if (close_to(w, depth) || group_member(w, &w->levels[depth], slot) ||
                check_value(w, &dict->fields[slot->field], p, n))
                return true;
            if (slot->group >= 0)
                open_group(w, slot->group, p, n);
            return false;
        }
    if (where == QD_IN_HEADER && (slot = find(dict, &dict->blocks[dict->header], tag)))
        return close_to(w, 0) || (w->region != HEADER && out_of_order(w, tag)) || member(w, w->seen_header, slot, p, n);
    if (where == QD_IN_TRAILER && (slot = find(dict, &dict->blocks[dict->trailer], tag))) {
        if (close_to(w, 0))
            return true;
        w->region = TRAILER;
        return member(w, w->seen_trailer, slot, p, n);
    }
    if ((slot = find(dict, w->body, tag))) {
        if (close_to(w, 0) || (w->region == TRAILER && out_of_order(w, tag)))
            return true;
        w->region = BODY;
        return member(w, w->seen_body, slot, p, n);
    }
    return w->body ? unknown(w, defined, tag, p, n) : false;
}

/* MsgType(35) has been read: which body to hold the rest against. */
static bool take_type(walk *w, const uint8_t *p, size_t n)
{
    const qd_dictionary *dict = w->dict;
    for (uint32_t i = qd_text_hash(p, n) & dict->message_mask;; i = (i + 1) & dict->message_mask) {
        const qd_dict_message *message = &dict->messages[i];
        if (message->block == -1)
            break;
        if (message->len != n || memcmp(dict->text + message->off, p, n))
            continue;
        if (message->block >= 0) {
            w->body = &dict->blocks[message->block];
            memset(w->seen_body, 0, (w->body->n + 63) / 64 * sizeof *w->seen_body);
            return false;
        }
        if (w->checks & QD_CHECK_TYPES)
            return fault(w, -1, 0, 3);
        return false;
    }
    if (w->checks & QD_CHECK_TYPES && n)
        FAULT(11, 0);
    return false;
}

/* ---- the whole ---- */

/* Tag at p, or -1; *value is behind the equals sign. */
static inline int32_t read_tag(const uint8_t *p, const uint8_t *end, const uint8_t **value)
{
    const uint8_t *field = p;
    uint32_t tag = 0;
    unsigned d;
    while (p < end && (d = (unsigned)*p - '0') <= 9 && p - field < 9) {
        tag = tag * 10 + d;
        p++;
    }
    if (p == field || p == end || *p != '=' || *field == '0')
        return -1;
    *value = p + 1;
    return (int32_t)tag;
}

/* The number that stands for a tag but cannot be one: negative, 0 or with leading zeros; 0 when there is none. */
static int32_t bad_number(const uint8_t *p, const uint8_t *equals)
{
    bool negative = *p == '-';
    int64_t number = count_of(p + negative, (size_t)(equals - p - negative));
    return number < 0 ? 0 : (int32_t)(negative ? -number : number);
}

/* What cannot be read as `tag=`: a value with SOH in it when there is no equals sign, else a bad tag number. */
static bool unreadable(walk *w, const uint8_t *field, const uint8_t *stop, int32_t before)
{
    const uint8_t *equals = memchr(field, '=', (size_t)(stop - field));
    FAULT(equals ? 0 : 17, equals ? bad_number(field, equals) : before);
    return false;
}

static bool first_three(walk *w, int index, int32_t tag)
{
    static const int32_t WANTED[] = {8, 9, 35};
    return index < 3 && tag != WANTED[index] && out_of_order(w, tag);
}

/* The value's end. Data is as long as the length field before it says, when that leads to a SOH. */
static bool data_end(walk *w, const qd_dict_field *field, const uint8_t *value, const uint8_t *end, int64_t length,
                     int32_t length_tag, const uint8_t **stop)
{
    if (!length_tag || (field->length_tag && length_tag != field->length_tag)) {
        if (field->length_tag && w->checks & QD_CHECK_REQUIRED)
            FAULT(1, field->length_tag);
    } else if (length < end - value && value[length] == QD_SOH) {
        *stop = value + length;
    } else if (w->checks & QD_CHECK_VALUES) {
        FAULT(5, length_tag);
    }
    return false;
}

static void walk_fields(walk *w, const uint8_t *p, const uint8_t *end)
{
    const qd_dictionary *dict = w->dict;
    int32_t tag = 0, before = 0, length_tag = 0;
    int64_t length = 0;
    for (int index = 0; p < end; index += index < 3) {
        const uint8_t *value = p, *stop = qd_find_soh(p, end);
        before = tag;
        tag = read_tag(p, end, &value);
        if (tag < 0) {
            if (unreadable(w, p, stop, before))
                return;
            tag = before;
            length_tag = 0;
            p = stop + 1;
            continue;
        }
        const qd_dict_slot *defined = probe(dict->by_tag, dict->by_tag_shift, tag);
        const qd_dict_field *field = defined ? &dict->fields[defined->field] : NULL;
        int type = field ? field->type : QD_TEXT;
        if (type == QD_DATA && data_end(w, field, value, end, length, length_tag, &stop))
            return;
        size_t n = (size_t)(stop - value);
        if (first_three(w, index, tag) || (before == 10 && out_of_order(w, tag)))
            return;
        if (take(w, defined, tag, value, n) || (tag == 35 && index == 2 && take_type(w, value, n)))
            return;
        length = type == QD_LENGTH ? count_of(value, n) : -1;
        length_tag = length >= 0 ? tag : 0;
        p = stop + 1;
    }
    if (close_to(w, 0) || missing(w, &dict->blocks[dict->header], w->seen_header))
        return;
    if (w->body && missing(w, w->body, w->seen_body))
        return;
    missing(w, &dict->blocks[dict->trailer], w->seen_trailer);
}

int qd_dictionary_check(const qd_dictionary *dict, const uint8_t *bytes, size_t n, uint32_t checks, qd_fault *faults,
                        int room)
{
    walk w;
    w.dict = dict;
    w.checks = checks;
    w.faults = faults;
    w.n_faults = 0;
    w.room = room;
    w.region = HEADER;
    w.body = NULL;
    w.depth = 0;
    memset(w.seen_header, 0, sizeof w.seen_header);
    memset(w.seen_trailer, 0, sizeof w.seen_trailer);
    walk_fields(&w, bytes, bytes + n);
    return w.n_faults;
}
