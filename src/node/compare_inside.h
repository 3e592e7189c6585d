/* compare_inside: what the files of the full anti-entropy share. */
#ifndef SKEP_NODE_COMPARE_INSIDE_H
#define SKEP_NODE_COMPARE_INSIDE_H

#include "core/judge.h"
#include "node/brain.h"
#include "node/compare.h"
#include "store/scan.h"

#define LISTED_MS     15000 /* for so long a list waits for a person */
#define SLICE_ROWS    256   /* about 2 ms */
#define SLICE_BYTES   (512 * 1024)
#define PAUSE_MS      8  /* between slices */
#define PAUSE_LONG_MS 32 /* the same above ROWS_MANY */
#define ROWS_MANY     1000000
#define BUCKETS_MAX   256  /* looked into in one round */
#define KEYS_MAX      4096 /* of one list */
#define KEYS_BYTES    (512 * 1024)
#define FETCH_MAX     256 /* keys of one request */
#define DAMAGES_MAX   1024
#define DOUBTS_MAX    256

enum compare_step { STEP_NONE, STEP_PREPARE, STEP_ROOT, STEP_BUCKETS, STEP_KEYS, STEP_FETCH };
enum compare_status { COMPARE_OK, COMPARE_WAIT, COMPARE_BUSY };
enum entry_flag { ENTRY_DEAD = 1, ENTRY_ASIDE = 2, ENTRY_DAMAGED = 4, ENTRY_DOUBT = 8 };

/* A row that is not what was written; known until a look finds it sound. */
struct damage {
    char *tbl, *key; /* owned */
    size_t tbl_n, key_n;
    struct scan_row row; /* its spans are not used */
    unsigned bucket;
    int64_t seen; /* number of the newest look that found it */
    bool reported;
};

/* A key that differs, as both sides had it. */
struct suspect {
    char *tbl, *key; /* owned */
    size_t tbl_n, key_n;
    struct side mine, theirs;
    enum judgement verdict;
    bool alone; /* it may have been deleted, and nobody else has it or it lies aside there: it goes aside */
};

/* A row that may have been deleted: who has it not. */
struct row_doubt {
    char *tbl, *key; /* owned */
    size_t tbl_n, key_n;
    unsigned bucket;
    struct id holder;
    bool met;           /* in this list, alive */
    struct id *lacking; /* owned */
    size_t lacking_n, lacking_cap;
};

/* The rows of some buckets, listed in slices for somebody. */
struct listing {
    bool running, ready;
    struct id whom; /* zero: a person */
    uint64_t wanted[SUMS_BUCKETS / 64];
    struct vv vv; /* our own when it began */
    struct str entries;
    uint32_t count;
    bool cut;
    int64_t asked_ms;
};

/* Asking one other member. */
struct round {
    enum compare_step step;
    struct id peer;
    uint64_t call;
    int64_t due_ms, deadline_ms, next_ms;
    bool confirming;   /* the second pass */
    bool mended;       /* rows came in */
    int64_t mended_ms; /* when they last did */
    unsigned char groups[SUMS_GROUPS];
    size_t groups_n;
    uint32_t buckets[BUCKETS_MAX];
    size_t buckets_n;
    uint64_t differ[SUMS_BUCKETS / 64]; /* every bucket that differs, chosen or not */
    struct vv first;                    /* our own vector at the first pass */
    struct suspect *before, *found;     /* of the first pass; those to be fetched */
    size_t before_n, before_cap, found_n, found_cap, fetched;
    struct str rows; /* came, and wait for the store */
    uint32_t rows_n;
};

struct compare {
    struct scan *walk, *list;
    struct timer round_timer, walk_timer, work_timer;
    bool walking;
    int64_t looks, look_wanted; /* how many are done; the number of the last one wanted */
    int64_t began_ms, began_real_ms, done_ms, took_ms;
    int64_t sums_began_real_ms;
    struct sums *sums, *next; /* of the newest look, and of the one that is going on; NULL: none */
    struct digest digest;
    struct damage *damages;
    size_t damages_n, damages_cap;
    uint64_t reindexed; /* tables, in this look */
    bool unreadable;    /* said already */
    char *complaint;    /* the file cannot be read: to be reported */
    struct listing listing;
    struct row_doubt *doubts;
    size_t doubts_n, doubts_cap;
    struct round round;
};

/* ---- rescan.c ---- */

/* Work for the store: soon. */
void rescan_work(struct node *n);
void rescan_want(struct node *n);
/* Whether the newest look may serve a comparison: it is younger than a quarter of the time between rounds, or
 * than twice what it took (a large database would never be ready otherwise). */
bool rescan_fresh(const struct node *n);
void listing_begin(struct node *n, const struct id *whom, const uint64_t wanted[SUMS_BUCKETS / 64]);
struct damage *damage_find(const struct compare *c, struct span tbl, struct span key);
/* Reports new damage and mends what needs nobody else; inside a handler. */
int rescan_report(struct node *n);

/* ---- compare.c ---- */

int round_due(struct node *n, struct timer *t);
/* A look is done: who waits for it goes on. */
void round_looked(struct node *n);
/* The rows that came are in. */
void round_rows_in(struct node *n);
void round_end(struct node *n);

/* ---- heal.c ---- */

/* Judges a list; found, before and doubts follow from it. false: it is no list. */
bool heal_judge(struct node *n, struct reader *list);
/* The rows in doubt that lie in buckets of which both sides have the same are not there, either. */
void heal_lacking(struct node *n, const uint64_t differ[SUMS_BUCKETS / 64]);
/* How a row that was looked at takes part in a judgement. */
struct side side_of(const struct scan_row *row);
/* Takes the rows that came; inside a handler. */
int heal_rows(struct node *n);
int incident(struct node *n, const char *type, const char *from, struct span tbl, struct span key,
             const struct side *mine, const struct side *theirs, const char *how);

void suspects_clear(struct suspect *list, size_t *n);

static inline bool bit_get(const uint64_t *bits, unsigned i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *bits, unsigned i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline struct span span_of(const char *p, size_t n)
{
    return (struct span){p, n};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

#endif
