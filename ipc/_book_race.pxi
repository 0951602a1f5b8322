# What tests and benchmarks race with: a writer that does nothing but publish, a reader that does nothing but check. Version k
# has 1 + k % 50 levels a side, every word of which follows from k, so that any mixture of two versions shows.

cdef extern from *:
    """
    static void qd_race_write(qd_engine *e, int64_t k)
    {
        uint32_t n = 1 + (uint32_t)(k % QD_TOP_LEVELS);
        qd_begin(e);
        for (int s = 0; s < 2; s++) {
            e->start[s] = 0;
            e->n[s] = n;
            for (uint32_t i = 0; i < n; i++) { /* from worst to best */
                int64_t *level = qd_at(e, s, i), far = (int64_t)(n - 1 - i);
                qd_st(level, k * 128 + (s ? 1 + far : -far));
                qd_st(level + 1, k + far);
            }
        }
        e->base = QD_LIVE;
        e->last_seq = e->venue_ns = e->recv_ns = k;
        qd_message_end(e);
    }

    /* 1 when the words and levels are not those of one version */
    static int qd_race_torn(const int64_t *w, const int64_t *bids, const int64_t *asks, size_t step, int levels)
    {
        const int64_t k = w[QD_W_LAST_SEQ], n = 1 + k % QD_TOP_LEVELS;
        if (k == 0)
            return 0;
        int64_t wrong = (w[QD_W_VENUE_NS] ^ k) | (w[QD_W_RECV_NS] ^ k) | (w[QD_W_N_BIDS] ^ n) | (w[QD_W_N_ASKS] ^ n)
            | (w[QD_W_BID_PX] ^ (k * 128)) | (w[QD_W_ASK_PX] ^ (k * 128 + 1)) | (w[QD_W_BID_QTY] ^ k) | (w[QD_W_ASK_QTY] ^ k);
        for (int64_t i = 0; i < levels && i < n; i++)
            wrong |= (bids[i * (int64_t)step] ^ (k * 128 - i)) | (bids[i * (int64_t)step + 1] ^ (k + i))
                | (asks[i * (int64_t)step] ^ (k * 128 + 1 + i)) | (asks[i * (int64_t)step + 1] ^ (k + i));
        return wrong != 0;
    }

    typedef struct {
        int64_t reads, torn, busy, retried;
        int worst;
    } qd_race;

    static void qd_race_read(const void *base, const qd_entry *e, int area, int64_t reads, int tries, qd_race *r)
    {
        const qd_book *b = qd_book_at(base, e);
        int64_t w[QD_N_WORDS], level[4 * QD_TOP_LEVELS], sides[2][3 * QD_TOP_LEVELS], *to[2] = {sides[0], sides[1]};
        size_t n[2];
        for (int64_t i = 0; i < reads; i++) {
            int t = area == 0 ? qd_read_best(b, w, tries)
                : area == 1 ? qd_read_top(b, w, level, NULL, QD_TOP_LEVELS, tries)
                            : qd_read_depth(base, e, w, to, QD_TOP_LEVELS, 0, n, tries);
            r->reads++;
            if (t < 0) {
                r->busy++;
                continue;
            }
            r->retried += t > 1;
            r->worst = t > r->worst ? t : r->worst;
            if (area == 0)
                r->torn += qd_race_torn(w, NULL, NULL, 2, 0);
            else if (area == 1)
                r->torn += qd_race_torn(w, level, level + 2 * QD_TOP_LEVELS, 2, QD_TOP_LEVELS);
            else
                r->torn += qd_race_torn(w, sides[0], sides[1], 3, QD_TOP_LEVELS);
        }
    }
    """
    ctypedef struct qd_race:
        int64_t reads, torn, busy, retried
        int worst
    void qd_race_write(qd_engine *e, int64_t k) nogil
    void qd_race_read(const void *base, const qd_entry *e, int area, int64_t reads, int tries, qd_race *r) nogil


def race_write(SharedBook book not None, int64_t first, int64_t n):
    """Publishes the patterns first .. first + n - 1 into an L2 book, flat out."""
    cdef int64_t k
    if book.e.kind != 2 or book.e.cap < <uint32_t>QD_TOP_LEVELS:
        raise BookError("a race is run on an L2 book with room for 50 levels")
    with nogil:
        for k in range(first, first + n):
            qd_race_write(&book.e, k)


def race_read(BookReader reader not None, int area, int64_t n):
    """n reads of area 0 (best), 1 (top 50) or 2 (depth): reads, torn, busy, reads that took more than one try, most tries."""
    cdef qd_race r
    memset(&r, 0, sizeof(r))
    with nogil:
        qd_race_read(reader.base, reader.entry, area, n, reader.tries, &r)
    return r.reads, r.torn, r.busy, r.retried, r.worst
