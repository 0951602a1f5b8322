/* A FIX dictionary as tables, and the check of a message against it: no Python, no I/O, no allocation while checking.
 *
 * dictionary.c          tables, and the walk over a message
 * dictionary_format.c   whether a value has its type's format
 */
#ifndef QD_DICTIONARY_H
#define QD_DICTIONARY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- types; fix/dictionary_types.py has the same numbers ---- */
enum {
    QD_TEXT, QD_INT, QD_COUNT, QD_DAY, QD_FLOAT, QD_CHAR, QD_BOOLEAN, QD_WORDS, QD_CHARS, QD_CURRENCY, QD_COUNTRY,
    QD_LANGUAGE, QD_TIMESTAMP, QD_TIME, QD_DATE, QD_MONTH_YEAR, QD_TZ_TIME, QD_TZ_TIMESTAMP, QD_LOCAL_TIME, QD_DATA,
    QD_LENGTH, QD_TYPES
};

bool qd_format_ok(int type, const uint8_t *value, size_t n);

/* ---- what is looked at; fix/dictionary_types.py has the same bits ---- */
#define QD_CHECK_ORDER 1u        /* header, body, trailer; 8, 9, 35 first, 10 last */
#define QD_CHECK_EMPTY 2u
#define QD_CHECK_USER 4u         /* tags from 5000 on that are not defined here */
#define QD_CHECK_UNKNOWN 8u      /* the same below 5000 */
#define QD_CHECK_REQUIRED 16u
#define QD_CHECK_VALUES 32u
#define QD_CHECK_FORMATS 64u
#define QD_CHECK_GROUP_ORDER 128u
#define QD_CHECK_GROUP_COUNT 256u
#define QD_CHECK_REPEATED 512u
#define QD_CHECK_TYPES 1024u     /* MsgTypes that are not defined here */
#define QD_SAY_UNDEFINED 2048u   /* 3 instead of 0 for a number that the dictionary does not have */

typedef struct {
    int32_t reason, tag, business; /* SessionRejectReason(373), RefTagID(371), BusinessRejectReason(380) */
} qd_fault;

/* ---- tables ---- */
#define QD_MAX_MEMBERS 4096 /* of one message */
#define QD_MAX_GROUP_MEMBERS 1024
#define QD_MAX_DEPTH 14
#define QD_USER_TAGS 5000

typedef struct {
    int32_t tag, length_tag; /* of data: the field that must stand before it, 0 when not known */
    uint8_t type;
    bool any_value; /* no list, or values beside the list are fine */
    uint64_t single[4]; /* values of one byte, by byte */
    uint32_t values, mask; /* longer ones: a hash table at `values` of the dictionary's, with mask + 1 places */
} qd_dict_field;

#define QD_IN_HEADER 1
#define QD_IN_TRAILER 2

typedef struct {
    uint32_t off, len;
} qd_dict_value; /* len 0: a free place */

typedef struct {
    int32_t tag;    /* 0: a free place */
    uint16_t at;    /* place in the definition's order */
    uint16_t field; /* its field */
    int32_t group;  /* block of its entries, or -1 */
} qd_dict_slot;

/* A message's body, the header, the trailer, or the entries of a group. */
typedef struct {
    uint32_t slots, shift; /* hash table of 1 << (32 - shift) places */
    uint32_t members;      /* n tags in order, at `members` of the dictionary's list */
    uint32_t n;
    uint32_t required; /* words of bits, one a member, at `required` of the dictionary's list */
    int32_t count_tag; /* 0: not a group */
} qd_dict_block;

typedef struct {
    uint32_t off, len;
    int32_t block; /* -1: free; -2: a type of the standard that the dictionary does not have */
} qd_dict_message;

typedef struct {
    qd_dict_field *fields;
    qd_dict_slot *by_tag; /* every field, `at` being QD_IN_HEADER, QD_IN_TRAILER or 0, `group` unused */
    uint32_t n_fields, by_tag_shift;
    qd_dict_value *values;
    uint8_t *text;
    qd_dict_slot *slots;
    int32_t *members;
    uint64_t *required;
    qd_dict_block *blocks;
    qd_dict_message *messages;
    uint32_t message_mask;
    uint32_t header, trailer; /* blocks */
    uint32_t n_values, n_text, n_slots, n_members, n_required, n_blocks;
} qd_dictionary;

static inline uint32_t qd_tag_hash(int32_t tag, uint32_t shift)
{
    return shift == 32 ? 0 : ((uint32_t)tag * 2654435761u) >> shift;
}

uint32_t qd_text_hash(const uint8_t *text, size_t n);

/* Faults of one message in the order of its bytes, at most `room` (>= 1); answers how many. */
int qd_dictionary_check(const qd_dictionary *dict, const uint8_t *bytes, size_t n, uint32_t checks, qd_fault *faults,
                        int room);
#endif
