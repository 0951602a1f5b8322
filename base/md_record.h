/* Decoded market data as flat 64-bit words: what fix/ writes and ipc/ applies.
 *
 * A buffer holds records one after the other. A record is a header of QD_MD_HEADER words followed by
 * n_changes changes of QD_MD_CHANGE words. One FIX message gives one record per run of entries of
 * the same symbol. Prices and sizes are integers at the instrument's scale; times are UTC nanoseconds.
 */
#ifndef QD_MD_RECORD_H
#define QD_MD_RECORD_H

/* header words */
#define QD_MD_N_CHANGES 0
#define QD_MD_INSTRUMENT 1   /* index given when the symbol was registered; -1 = unknown symbol */
#define QD_MD_KIND 2         /* 0 incremental (35=X), 1 snapshot (35=W) */
#define QD_MD_FLAGS 3        /* QD_MD_HAS_* | QD_MD_DEFECT */
#define QD_MD_CHECKSUM 4     /* venue's book checksum, unsigned 32-bit */
#define QD_MD_FIRST_ID 5     /* first book update id */
#define QD_MD_LAST_ID 6      /* last book update id */
#define QD_MD_SEQ_NUM 7      /* MsgSeqNum(34) */
#define QD_MD_SENDING_NS 8   /* SendingTime(52); 0 when unreadable */
#define QD_MD_RECV_NS 9      /* wall clock at the socket read */
#define QD_MD_REQ_KEY 10     /* qd_key64 of MDReqID(262); 0 when absent */
#define QD_MD_DEFECT_TAG 11  /* tag of the first defect when QD_MD_DEFECT is set */
#define QD_MD_HEADER 12

#define QD_MD_HAS_CHECKSUM 1
#define QD_MD_HAS_FIRST_ID 2
#define QD_MD_HAS_LAST_ID 4
#define QD_MD_MORE 8         /* a piece of a snapshot: more of it follows in later records of the instrument */
#define QD_MD_DEFECT 256     /* a number did not fit, or a field was malformed or missing */

/* change words */
#define QD_MD_WHAT 0         /* bits 0-7 MDEntryType: 0 bid, 1 offer, 2 trade, 255 anything else;
                                bits 8-15 MDUpdateAction: 0 new, 1 change, 2 delete, QD_MD_REDUCE;
                                bits 16-23 AggressorSide: 0 absent, 1 buy, 2 sell;
                                bit 24: MDEntrySize was present */
#define QD_MD_REDUCE 3       /* L3: a trade takes the size away from the order; gone when nothing is left of it */
#define QD_MD_PX 1
#define QD_MD_QTY 2
#define QD_MD_KEY 3          /* L3: qd_key64 of the order id; trades: TradeID as integer, or its key when not a number */
#define QD_MD_TIME_NS 4      /* L3: when the order joined its level; trades: transaction time; else 0 */
#define QD_MD_CHANGE 5

/* 64-bit key of an identifier text: FNV-1a with a final avalanche. 0 is never returned. */
#include <stddef.h>
#include <stdint.h>
static inline uint64_t qd_key64(const char *text, size_t n)
{
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < n; i++) {
        h ^= (unsigned char)text[i];
        h *= 1099511628211ULL;
    }
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
    return h ? h : 1;
}
#endif
