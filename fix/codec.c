#include "fix/codec.h"
#include "fix/codec_scan.h"
#include <stdlib.h>
#include <string.h>

static const uint64_t POW10[] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
};

/* ---- numbers ---- */

/* Digits from p on into *value, the leading zeros free; answers where they end. Beyond 19 digits *n counts on. */
static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end, uint64_t *value, int *n)
{
    unsigned d;
    while (p < end && (d = (unsigned)*p - '0') <= 9) {
        *n += *n || d;
        if (*n <= 19)
            *value = *value * 10 + d;
        p++;
    }
    return p;
}

static inline int finish(uint64_t value, bool negative, int64_t *out)
{
    if (value > INT64_MAX)
        return QD_NUM_OVERFLOW;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return 0;
}

int qd_parse_int(const uint8_t *p, size_t n, int64_t *out)
{
    const uint8_t *end = p + n;
    bool negative = n && *p == '-';
    uint64_t value = 0;
    int count = 0;
    p += negative;
    if (p == end || digits(p, end, &value, &count) != end)
        return QD_NUM_MALFORMED;
    return count > 19 ? QD_NUM_OVERFLOW : finish(value, negative, out);
}

/* Decimals go on in the same integer up to the scale; behind it only zeros may stand. */
static int fraction(const uint8_t *p, const uint8_t *end, int scale, uint64_t *value, int *n, int *decimals)
{
    bool lost = false;
    unsigned d;
    for (; p < end; p++) {
        if ((d = (unsigned)*p - '0') > 9)
            return QD_NUM_MALFORMED;
        if (*decimals == scale) {
            lost |= d != 0;
            continue;
        }
        *n += *n || d;
        if (*n <= 19)
            *value = *value * 10 + d;
        ++*decimals;
    }
    return lost ? QD_NUM_DECIMALS : 0;
}

int qd_parse_scaled(const uint8_t *p, size_t n, int scale, int64_t *out)
{
    const uint8_t *end = p + n;
    bool negative = n && *p == '-';
    uint64_t value = 0;
    int count = 0, decimals = 0;
    p += negative;
    const uint8_t *start = p;
    p = digits(p, end, &value, &count);
    if (p < end) {
        if (*p != '.' || end - start < 2)
            return QD_NUM_MALFORMED;
        int error = fraction(p + 1, end, scale, &value, &count, &decimals);
        if (error)
            return error;
    } else if (p == start) {
        return QD_NUM_MALFORMED;
    }
    if (count > 19 || __builtin_mul_overflow(value, POW10[scale - decimals], &value))
        return QD_NUM_OVERFLOW;
    return finish(value, negative, out);
}

/* ---- times ---- */

static inline int two(const uint8_t *p)
{
    unsigned a = (unsigned)p[0] - '0', b = (unsigned)p[1] - '0';
    return a > 9 || b > 9 ? -1 : (int)(a * 10 + b);
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; years begin in March so that a leap day comes last. */
static int64_t days_from(int year, int month, int day)
{
    int y = year - (month <= 2);
    int era = y / 400, of_era = y - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month)
{
    static const uint8_t LENGTH[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return LENGTH[month - 1] + (month == 2 && leap);
}

/* `step` is 1 when the parts of the date are set apart by a dash. */
static int date(const uint8_t *p, int step, int64_t *days)
{
    int century = two(p), rest = two(p + 2), month = two(p + 4 + step), day = two(p + 6 + 2 * step);
    int year = century * 100 + rest;
    if (century < 0 || rest < 0 || year < 1970 || year > 2261 || month < 1 || month > 12)
        return QD_NUM_MALFORMED;
    if (day < 1 || day > days_in(year, month))
        return QD_NUM_MALFORMED;
    *days = days_from(year, month, day);
    return 0;
}

int qd_parse_time(const uint8_t *p, size_t n, int64_t *out)
{
    if (n < 8 || p[2] != ':' || p[5] != ':')
        return QD_NUM_MALFORMED;
    int hour = two(p), minute = two(p + 3), second = two(p + 6);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) /* 60: a leap second */
        return QD_NUM_MALFORMED;
    uint64_t ns = 0;
    if (n > 8) {
        if (p[8] != '.' || n < 10 || n > 21)
            return QD_NUM_MALFORMED;
        size_t i = 9;
        for (; i < n; i++) {
            unsigned d = (unsigned)p[i] - '0';
            if (d > 9)
                return QD_NUM_MALFORMED;
            if (i < 18)
                ns = ns * 10 + d;
        }
        if (n < 18)
            ns *= POW10[18 - n];
    }
    *out = (int64_t)(hour * 3600 + minute * 60 + second) * 1000000000 + (int64_t)ns;
    return 0;
}

#define NS_A_DAY 86400000000000LL

int qd_parse_date(const uint8_t *p, size_t n, int64_t *out)
{
    int64_t days;
    if (n != 8 || date(p, 0, &days))
        return QD_NUM_MALFORMED;
    *out = days * NS_A_DAY;
    return 0;
}

int qd_parse_utc(const uint8_t *p, size_t n, int64_t *out)
{
    int64_t days, time;
    if (n >= 17 && p[8] == '-') {
        if (date(p, 0, &days) || qd_parse_time(p + 9, n - 9, &time))
            return QD_NUM_MALFORMED;
    } else if (n >= 20 && p[4] == '-' && p[7] == '-' && p[10] == 'T' && p[n - 1] == 'Z') {
        if (date(p, 1, &days) || qd_parse_time(p + 11, n - 12, &time))
            return QD_NUM_MALFORMED;
    } else {
        return QD_NUM_MALFORMED;
    }
    *out = days * NS_A_DAY + time;
    return 0;
}

/* ---- checksum ---- */

uint8_t qd_sum(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;
#ifdef __SSE2__
    __m128i total = _mm_setzero_si128();
    for (; n >= 16; n -= 16, p += 16)
        total = _mm_add_epi64(total, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)p), _mm_setzero_si128()));
    uint64_t half[2];
    _mm_storeu_si128((__m128i *)half, total);
    sum = half[0] + half[1];
#endif
    while (n--)
        sum += *p++;
    return (uint8_t)sum;
}

/* ---- rules ---- */

static int set_bit(uint64_t *bits, int32_t tag)
{
    if (tag < 1 || tag >= QD_RULE_TAGS)
        return -1;
    bits[tag >> 6] |= 1ULL << (tag & 63);
    return 0;
}

int qd_rules_add_data(qd_rules *rules, int32_t length_tag, int32_t data_tag)
{
    if (rules->n_pairs == QD_MAX_PAIRS || data_tag < 1 || set_bit(rules->length_bits, length_tag))
        return -1;
    for (int i = 0; i < rules->n_pairs; i++)
        if (rules->length_tags[i] == length_tag) {
            rules->data_tags[i] = data_tag;
            return 0;
        }
    rules->length_tags[rules->n_pairs] = length_tag;
    rules->data_tags[rules->n_pairs++] = data_tag;
    return 0;
}

int qd_rules_add_count(qd_rules *rules, int32_t tag)
{
    return set_bit(rules->count_bits, tag);
}

/* Length and data fields, and NumInGroup fields, of FIX 4.2 to 5.0 SP2. */
static const int16_t DATA_PAIRS[][2] = {
    {90, 91}, {93, 89}, {95, 96}, {212, 213}, {348, 349}, {350, 351}, {352, 353}, {354, 355}, {356, 357},
    {358, 359}, {360, 361}, {362, 363}, {364, 365}, {445, 446}, {618, 619}, {621, 622},
};
static const int16_t COUNT_TAGS[] = {
    33,  73,  78,  85,  124, 136, 146, 199, 215, 232, 267,  268,  295,  296,  382,  384,  386,  398,  420,  428,
    453, 454, 457, 473, 510, 518, 539, 552, 555, 576, 580,  604,  627,  670,  683,  702,  711,  735,  753,  756,
    768, 778, 781, 801, 802, 804, 806, 816, 862, 864, 870,  887,  897,  938,  948,  952,  957,  1016, 1018, 1052,
    1058, 1062, 1116, 1120, 1141, 1205, 1232, 1234, 1235, 1237, 1239, 1310,
};

void qd_rules_init(qd_rules *rules)
{
    memset(rules, 0, sizeof *rules);
    for (size_t i = 0; i < sizeof DATA_PAIRS / sizeof *DATA_PAIRS; i++)
        qd_rules_add_data(rules, DATA_PAIRS[i][0], DATA_PAIRS[i][1]);
    for (size_t i = 0; i < sizeof COUNT_TAGS / sizeof *COUNT_TAGS; i++)
        qd_rules_add_count(rules, COUNT_TAGS[i]);
}

/* ---- index ---- */

void qd_index_init(qd_index *index)
{
    index->tags = index->inline_tags;
    index->spans = index->inline_spans;
    index->n = index->n_defects = 0;
    index->cap = QD_INLINE_FIELDS;
}

void qd_index_free(qd_index *index)
{
    if (index->spans != index->inline_spans)
        free(index->spans);
    qd_index_init(index);
}

/* Tags and spans share one block, the spans first. */
static int grow(qd_index *index)
{
    uint32_t cap = index->cap * 2;
    qd_span *spans = malloc((size_t)cap * (sizeof(qd_span) + sizeof(int32_t)));
    if (!spans)
        return -1;
    int32_t *tags = (int32_t *)(spans + cap);
    memcpy(spans, index->spans, index->n * sizeof *spans);
    memcpy(tags, index->tags, index->n * sizeof *tags);
    if (index->spans != index->inline_spans)
        free(index->spans);
    index->spans = spans;
    index->tags = tags;
    index->cap = cap;
    return 0;
}

void qd_index_defect(qd_index *index, int kind, int32_t tag, uint32_t offset)
{
    for (uint32_t i = 0; i < index->n_defects; i++)
        if (index->defects[i].kind == kind && index->defects[i].offset == offset)
            return;
    if (index->n_defects < QD_MAX_DEFECTS)
        index->defects[index->n_defects++] = (qd_defect){kind, tag, offset};
}

uint32_t qd_index_find(const qd_index *index, int32_t tag, uint32_t from, uint32_t to)
{
    const int32_t *tags = index->tags;
    while (from < to && tags[from] != tag)
        from++;
    return from;
}

/* Has this tag been here before? Only the first fields are held against each other: the time stays linear. */
#define REPEAT_FIELDS 1024
static inline bool repeated(uint64_t *seen, const qd_index *index, int32_t tag)
{
    uint64_t *word = &seen[(tag >> 6) & 15], bit = 1ULL << (tag & 63);
    if (!(*word & bit)) {
        *word |= bit;
        return false;
    }
    return qd_index_find(index, tag, 0, index->n) < index->n;
}

int qd_index_build(qd_index *index, const uint8_t *bytes, size_t n, const qd_rules *rules)
{
    const uint8_t *p = bytes, *end = bytes + n;
    qd_scan s = {0};
    uint64_t seen[16] = {0};
    bool check = true; /* until the first NumInGroup: in groups tags repeat */
    while (p < end) {
        const uint8_t *field = p;
        p = qd_scan_field(&s, p, end, rules);
        if (__builtin_expect(s.defect != 0, 0))
            qd_index_defect(index, s.defect, s.tag, (uint32_t)(field - bytes));
        if (check && s.tag) {
            if (repeated(seen, index, s.tag))
                qd_index_defect(index, QD_DEFECT_REPEATED_TAG, s.tag, (uint32_t)(field - bytes));
            check = !qd_bit(rules->count_bits, s.tag) && index->n < REPEAT_FIELDS;
        }
        if (index->n == index->cap && grow(index))
            return -1;
        index->tags[index->n] = s.tag;
        index->spans[index->n++] = (qd_span){(uint32_t)(s.value - bytes), (uint32_t)(s.value_end - s.value)};
    }
    return 0;
}

/* ---- groups ---- */

int qd_group_add(qd_group *group, int32_t tag)
{
    return set_bit(group->member_bits, tag);
}

void qd_group_merge(qd_group *group, const qd_group *nested)
{
    qd_group_add(group, nested->count_tag);
    for (size_t i = 0; i < QD_RULE_TAGS / 64; i++)
        group->member_bits[i] |= nested->member_bits[i];
}

uint32_t qd_group_scan(const qd_index *index, const qd_group *group, uint32_t at, uint32_t to, uint32_t *starts,
                       uint32_t room, uint32_t *n_entries)
{
    uint32_t i = at + 1;
    *n_entries = 0;
    if (i >= to)
        return i;
    int32_t delimiter = index->tags[i];
    for (; i < to && qd_bit(group->member_bits, index->tags[i]); i++)
        if (index->tags[i] == delimiter) {
            if (*n_entries < room)
                starts[*n_entries] = i;
            ++*n_entries;
        }
    return i;
}
