/* What the three files of the market-data decoder share. Internal to fix/codec_md*.c. */
#ifndef QD_CODEC_MD_H
#define QD_CODEC_MD_H
#include "base/md_record.h"
#include "fix/codec.h"

enum role {
    OTHER, BEGIN_STRING, SEQ_NUM, SENDER, TARGET, SENDING_TIME, POSS_DUP, MSG_TYPE, REQ_ID, FRAGMENT, COUNT, SYMBOL,
    ACTION, TYPE, PX, SIZE, ENTRY_ID, ENTRY_DATE, ENTRY_TIME, QUEUE_TIME, CHECK, FIRST_ID, LAST_ID, TRADE_ID, TRADE_TIME, AGGRESSOR,
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


const qd_symbol *qd_md_find(const qd_md *md, text symbol);
void qd_md_record_defect(reader *r, int32_t tag);
void qd_md_message_defect(reader *r, int32_t tag);
bool qd_md_open_record(reader *r);
bool qd_md_new_symbol(reader *r, const entry *e);
bool qd_md_new_id(reader *r, const entry *e, int role, bool *has, int64_t *id);
void qd_md_put_ids(reader *r);
void qd_md_put_checksum(reader *r, text value);
void qd_md_end_entry(reader *r);
#endif
