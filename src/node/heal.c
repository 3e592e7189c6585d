/* heal: what a comparison means for each row, and what is done about it. Judges by core/judge.h, on what is
 * here at that moment, and takes rows in by the one merge rule; only a damaged copy is taken out first, into
 * quarantine.
 */
#include <stdio.h>

#include "base/hlc.h"
#include "node/compare_inside.h"
#include "node/pull.h"
#include "node/vector.h"
#include "wire/buf.h"
#include "wire/json.h"

/* ---- incidents ---- */

static void put_stamp(struct jw *j, const char *key, const struct side *s)
{
    char text[64];
    if (!s || s->kind == SIDE_ABSENT) {
        jw_kv_null(j, key);
        return;
    }
    snprintf(text, sizeof text, "%llx-%llx-%llx", (unsigned long long)s->stamp.rank,
             (unsigned long long)s->stamp.hlc, (unsigned long long)s->stamp.actor);
    jw_kv_string(j, key, text);
}

static void put_hash(struct jw *j, const char *key, const struct side *s)
{
    AUTOSTR struct str hex = STR_INIT;
    if (s && s->kind == SIDE_ALIVE)
        str_hex(&hex, s->hash, sizeof s->hash);
    jw_kv_string(j, key, hex.n ? str_get(&hex) : NULL);
}

static int64_t *counter_of(struct node *n, const char *type)
{
    struct frozen_counters *c = &n->counters;
    return strcmp(type, "row_damaged") == 0  ? &c->rows_damaged
           : strcmp(type, "row_healed") == 0 ? &c->rows_healed
           : strcmp(type, "row_late") == 0   ? &c->rows_late
                                             : &c->rows_set_aside;
}

int incident(struct node *n, const char *type, const char *from, struct span tbl, struct span key,
             const struct side *mine, const struct side *theirs, const char *how)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_key(&j, "table");
    jw_string_n(&j, tbl.p, tbl.n);
    jw_key(&j, "key");
    jw_string_n(&j, key.p, key.n);
    jw_kv_string(&j, "how", how);
    jw_kv_string(&j, "from", from);
    put_stamp(&j, "version", mine);
    put_hash(&j, "hash", mine);
    put_stamp(&j, "taken_version", theirs);
    put_hash(&j, "taken_hash", theirs);
    jw_object_close(&j);
    int64_t *counter = counter_of(n, type);
    node_touch(n, counter, sizeof *counter);
    (*counter)++;
    node_settings_merged(n);
    log_warn(n->w.log, "%s: %s", type, str_get(&data));
    return node_log(n, type, NULL, NULL, n->name, 0, NULL, str_get(&data));
}

/* ---- sides ---- */

struct side side_of(const struct scan_row *row)
{
    struct side s = {.kind = row->damage == SCAN_ORPHAN ? SIDE_ABSENT
                             : row->dead                ? SIDE_DEAD
                                                        : SIDE_ALIVE,
                     .damaged = row->damage == SCAN_DIFFERS || row->damage == SCAN_MISSING ||
                                row->damage == SCAN_ORPHAN,
                     .doubt = row->doubt,
                     .stamp = row->stamp};
    memcpy(s.hash, row->real, sizeof s.hash);
    return s;
}

static int side_here(struct node *n, struct span tbl, struct span key, struct side *ret)
{
    struct scan_row row;
    int rc = scan_look(n->compare->list, tbl, key, &row, &n->fault);
    *ret = rc == 1 ? side_of(&row) : (struct side){.kind = SIDE_ABSENT};
    return rc < 0 ? rc : 0;
}

static struct side side_there(const struct compare_entry *e)
{
    struct side s = {.kind = e->dead ? SIDE_DEAD : SIDE_ALIVE,
                     .damaged = e->damaged,
                     .doubt = e->doubt,
                     .stamp = {e->rank, e->hlc, e->actor}};
    memcpy(s.hash, e->hash, sizeof s.hash);
    return s;
}

/* The usual case, at a glance. */
static bool same_here(struct node *n, const struct compare_entry *e)
{
    struct scan_row row;
    struct side theirs = side_there(e);
    if (n->compare->damages_n > 0 || scan_glance(n->compare->list, e->tbl, e->key, &row, NULL) != 1)
        return false;
    struct side mine = side_of(&row);
    return side_equal(&mine, &theirs);
}

/* ---- doubts ---- */

static struct row_doubt *doubt_find(struct compare *c, struct span tbl, struct span key)
{
    for (size_t i = 0; i < c->doubts_n; i++) {
        struct row_doubt *d = &c->doubts[i];
        if (span_equal(span_of(d->key, d->key_n), key) && span_equal(span_of(d->tbl, d->tbl_n), tbl))
            return d;
    }
    return NULL;
}

static void doubt_drop(struct compare *c, struct row_doubt *d)
{
    free(d->tbl);
    free(d->key);
    free(d->lacking);
    *d = c->doubts[--c->doubts_n];
}

static bool lacks(const struct row_doubt *d, const struct id *node)
{
    for (size_t i = 0; i < d->lacking_n; i++)
        if (id_equal(&d->lacking[i], node))
            return true;
    return false;
}

static void lacking_add(struct row_doubt *d, const struct id *node)
{
    if (id_equal(&d->holder, node) || lacks(d, node))
        return;
    ARRAY_GROW(d->lacking, d->lacking_n, d->lacking_cap);
    d->lacking[d->lacking_n++] = *node;
}

void heal_lacking(struct node *n, const uint64_t differ[SUMS_BUCKETS / 64])
{
    struct compare *c = n->compare;
    for (size_t i = 0; i < c->doubts_n; i++)
        if (!bit_get(differ, c->doubts[i].bucket))
            lacking_add(&c->doubts[i], &c->round.peer);
}

/* What this list had to have, and had not. */
static void lacking_listed(struct node *n, const uint64_t listed[SUMS_BUCKETS / 64])
{
    struct compare *c = n->compare;
    for (size_t i = 0; i < c->doubts_n; i++)
        if (!c->doubts[i].met && bit_get(listed, c->doubts[i].bucket))
            lacking_add(&c->doubts[i], &c->round.peer);
}

static bool nobody_else(struct node *n, const struct row_doubt *d)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->member && !p->left && !id_equal(&p->id, &d->holder) && !lacks(d, &p->id))
            return false;
    return true;
}

/* A row that the peer of the round holds, and that may have been deleted: JUDGE_TAKE_LATE if it was not, for
 * two have it; JUDGE_DOUBT: nobody else has it; JUDGE_NOT_YET: not all have been asked. */
static enum judgement doubt_judge(struct node *n, const struct compare_entry *e, unsigned bucket)
{
    struct compare *c = n->compare;
    struct row_doubt *d = doubt_find(c, e->tbl, e->key);
    if (!d && c->doubts_n < DOUBTS_MAX) {
        ARRAY_GROW(c->doubts, c->doubts_n, c->doubts_cap);
        d = &c->doubts[c->doubts_n++];
        *d = (struct row_doubt){.tbl = mem_copy(e->tbl.p, e->tbl.n),
                                .key = mem_copy(e->key.p, e->key.n),
                                .tbl_n = e->tbl.n,
                                .key_n = e->key.n,
                                .bucket = bucket,
                                .met = true,
                                .holder = c->round.peer};
    }
    if (!d)
        return JUDGE_NOT_YET;
    if (!id_equal(&d->holder, &c->round.peer))
        return JUDGE_TAKE_LATE;
    return nobody_else(n, d) ? JUDGE_DOUBT : JUDGE_NOT_YET;
}

/* ---- a list ---- */

struct judging {
    struct node *n;
    struct vv theirs;
    uint64_t listed[SUMS_BUCKETS / 64];
    size_t cursor; /* in the suspects of the first pass: both lists have one order */
};

static int key_compare(const struct suspect *s, const struct compare_entry *e)
{
    AUTOFREE char *tbl = mem_copy(e->tbl.p, e->tbl.n), *key = mem_copy(e->key.p, e->key.n);
    int c = strcmp(s->tbl, tbl);
    return c ? c : strcmp(s->key, key);
}

static bool seen_before(struct judging *w, const struct compare_entry *e, const struct side *mine,
                        const struct side *theirs)
{
    const struct round *r = &w->n->compare->round;
    while (w->cursor < r->before_n && key_compare(&r->before[w->cursor], e) < 0)
        w->cursor++;
    if (w->cursor == r->before_n || key_compare(&r->before[w->cursor], e) != 0)
        return false;
    const struct suspect *s = &r->before[w->cursor];
    return side_equal(&s->mine, mine) && side_equal(&s->theirs, theirs);
}

static struct suspect suspect_of(const struct compare_entry *e, const struct side *mine,
                                 const struct side *theirs, enum judgement verdict)
{
    return (struct suspect){.tbl = mem_copy(e->tbl.p, e->tbl.n),
                            .key = mem_copy(e->key.p, e->key.n),
                            .tbl_n = e->tbl.n,
                            .key_n = e->key.n,
                            .mine = *mine,
                            .theirs = *theirs,
                            .verdict = verdict,
                            .alone = verdict == JUDGE_DOUBT || verdict == JUDGE_TAKE_DOUBT};
}

static void wanted(struct node *n, const struct compare_entry *e, const struct side *mine,
                   const struct side *theirs, enum judgement verdict)
{
    struct round *r = &n->compare->round;
    ARRAY_GROW(r->found, r->found_n, r->found_cap);
    r->found[r->found_n++] = suspect_of(e, mine, theirs, verdict);
}

static enum judgement verdict_of(const struct judging *w, const struct side *mine, const struct side *theirs)
{
    struct node *n = w->n;
    const struct round *r = &n->compare->round;
    struct grounds g = {.we_cover = vv_covers(&n->vv, theirs->stamp.actor, theirs->stamp.hlc),
                        .they_cover = mine->kind == SIDE_ABSENT ||
                                      vv_covers(&w->theirs, mine->stamp.actor, mine->stamp.hlc),
                        .caught_up = !r->confirming || vv_reaches(&w->theirs, &r->first),
                        .gc_floor = store_gc_floor(n->store)};
    return judge(mine, theirs, &g);
}

static void act(struct judging *w, const struct compare_entry *e, const struct side *mine,
                const struct side *theirs, unsigned bucket)
{
    struct round *r = &w->n->compare->round;
    enum judgement v = verdict_of(w, mine, theirs);
    switch (v) {
    case JUDGE_EQUAL:
    case JUDGE_NOT_YET:
    case JUDGE_THEY_LOSE:
    case JUDGE_STUCK:
        return;
    case JUDGE_TAKE_HEAL: /* damage seen in one look cannot be a row on its way */
        if (!r->confirming)
            wanted(w->n, e, mine, theirs, v);
        return;
    case JUDGE_TAKE_LATE:
    case JUDGE_TAKE_OTHER:
    case JUDGE_TAKE_DOUBT:
    case JUDGE_DOUBT:
        break;
    }
    if (!r->confirming) {
        ARRAY_GROW(r->before, r->before_n, r->before_cap);
        r->before[r->before_n++] = suspect_of(e, mine, theirs, v);
        return;
    }
    if (!seen_before(w, e, mine, theirs))
        return;
    if (v == JUDGE_DOUBT && !e->doubt) /* what lies aside there will lie aside here, whoever else has it */
        v = doubt_judge(w->n, e, bucket);
    if (v != JUDGE_NOT_YET)
        wanted(w->n, e, mine, theirs, v);
}

/* False: the list cannot be relied on. */
static bool judge_entry(struct judging *w, const struct compare_entry *e)
{
    struct node *n = w->n;
    struct side mine, theirs = side_there(e);
    AUTOFREE char *tbl = mem_copy(e->tbl.p, e->tbl.n), *key = mem_copy(e->key.p, e->key.n);
    unsigned bucket = scan_bucket(tbl, key);
    if (!bit_get(w->listed, bucket))
        return false;
    struct row_doubt *d = doubt_find(n->compare, e->tbl, e->key);
    if (d)
        d->met = !e->dead && !e->doubt;
    if (same_here(n, e))
        return true;
    if (side_here(n, e->tbl, e->key, &mine) < 0)
        return false;
    if (d && mine.kind != SIDE_ABSENT)
        doubt_drop(n->compare, d);
    act(w, e, &mine, &theirs, bucket);
    return true;
}

bool heal_judge(struct node *n, struct reader *in)
{
    struct round *r = &n->compare->round;
    struct judging w = {.n = n};
    bool good = true;
    vector_read(in, &w.theirs);
    bool cut = read_bool(in);
    size_t count = read_count(in, 28);
    for (size_t i = 0; i < r->buckets_n; i++)
        bit_set(w.listed, r->buckets[i]);
    for (size_t i = 0; i < n->compare->doubts_n; i++)
        n->compare->doubts[i].met = false;
    suspects_clear(r->found, &r->found_n);
    /* who missed deletions is no witness until it has caught up */
    good = !in->bad && vv_reaches(&w.theirs, &n->gcvv);
    for (size_t i = 0; good && i < count; i++) {
        struct compare_entry e;
        good = compare_entry_read(in, &e) && judge_entry(&w, &e);
    }
    good = good && reader_done(in);
    if (good && !cut)
        lacking_listed(n, w.listed);
    if (r->confirming)
        suspects_clear(r->before, &r->before_n);
    vv_fini(&w.theirs);
    return good;
}

/* ---- rows that came ---- */

struct healing {
    const struct suspect *suspect;
    struct remote_row row;
    bool taken;
};

static bool is_as_listed(const struct node *n, const struct suspect *s, const struct remote_row *row)
{
    unsigned char hash[DIGEST16_BYTES];
    if (hlc_ms(row->stamp.hlc) > n->real_ms + HLC_AHEAD_MS_MAX ||
        hlc_ms(row->stamp.rank) > n->real_ms + HLC_AHEAD_MS_MAX)
        return false;
    digest16(&row->bytes, 1, hash);
    return stamp_compare(&row->stamp, &s->theirs.stamp) == 0 && row->dead == (s->theirs.kind == SIDE_DEAD) &&
           (row->dead || memcmp(hash, s->theirs.hash, sizeof hash) == 0);
}

/* The damaged copy loses: out of the way, then in by the merge rule like any row. */
static int take_out(struct node *n, const struct suspect *s)
{
    struct span tbl = span_of(s->tbl, s->tbl_n), key = span_of(s->key, s->key_n);
    int rc = scan_keep(n->compare->list, tbl, key, "a damaged copy, replaced by another node's", &n->fault);
    return rc < 0 ? rc : store_take_out(n->store, tbl, key, &n->fault);
}

static int row_take(struct node *n, const struct suspect *s, const struct remote_row *row, enum merged *ret)
{
    if (s->verdict != JUDGE_TAKE_DOUBT)
        return store_merge_as(n->store, row, s->alone ? STORE_ASIDE_AMBIGUOUS : NULL, ret, &n->fault);
    int rc = row->doubt ? store_doubt(n->store, row->tbl, row->key, &n->fault) : 0;
    *ret = rc == 1 ? MERGED_ASIDE : MERGED_KEPT;
    return rc < 0 ? rc : 0;
}

static int row_heal(struct node *n, void *arg)
{
    struct healing *h = arg;
    const struct suspect *s = h->suspect;
    struct side mine;
    enum merged how;
    bool heals = s->verdict == JUDGE_TAKE_HEAL || s->verdict == JUDGE_TAKE_OTHER;
    struct peer *p = peer_find(n, &n->compare->round.peer);
    int rc = side_here(n, h->row.tbl, h->row.key, &mine);
    if (rc < 0 || !p || !side_equal(&mine, &s->mine) || !is_as_listed(n, s, &h->row))
        return rc; /* it changed meanwhile: the next round will tell */
    if (heals)
        rc = take_out(n, s);
    if (rc == 0)
        rc = row_take(n, s, &h->row, &how);
    if (rc < 0 || how == MERGED_KEPT)
        return rc;
    if ((rc = store_vv_saw(n->store, h->row.stamp.actor, h->row.stamp.hlc, &n->fault)) < 0)
        return rc;
    h->taken = true;
    return incident(n,
                    s->alone ? "row_set_aside"
                    : heals  ? "row_healed"
                             : "row_late",
                    p->name, h->row.tbl, h->row.key, &mine, &s->theirs,
                    s->alone                         ? STORE_ASIDE_AMBIGUOUS
                    : s->verdict == JUDGE_TAKE_OTHER ? "one version had two contents"
                    : heals                          ? "the copy here was damaged"
                    : mine.kind == SIDE_ABSENT       ? "it was missing here"
                                                     : "an older version was here");
}

static const struct suspect *suspect_find(const struct round *r, const struct remote_row *row)
{
    for (size_t i = 0; i < r->fetched; i++) {
        const struct suspect *s = &r->found[i];
        if (span_equal(span_of(s->key, s->key_n), row->key) &&
            span_equal(span_of(s->tbl, s->tbl_n), row->tbl))
            return s;
    }
    return NULL;
}

static void rows_in(struct node *n, void *arg UNUSED)
{
    round_rows_in(n);
}

static void rows_bad(struct node *n, void *arg UNUSED)
{
    round_end(n);
}

/* 0, or SKEP_EARG; those nobody asked for are left out. */
static int rows_read(struct node *n, struct healing *all, size_t *ret_count)
{
    const struct round *r = &n->compare->round;
    struct reader in = reader_init(str_get(&r->rows), r->rows.n);
    for (uint32_t i = 0; i < r->rows_n; i++) {
        struct healing *h = &all[*ret_count];
        int rc = store_read_row(&in, &h->row, &n->fault);
        if (rc < 0)
            return rc;
        if ((h->suspect = suspect_find(r, &h->row)))
            ++*ret_count;
    }
    return 0;
}

int heal_rows(struct node *n)
{
    const struct round *r = &n->compare->round;
    size_t count = 0;
    if (r->rows.n == 0 || r->step != STEP_FETCH)
        return 0;
    AUTOFREE struct healing *all = mem_array(r->rows_n, sizeof *all);
    int rc = rows_read(n, all, &count);
    if (rc < 0) {
        eff_do(n, rows_bad, NULL, NULL);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = node_try(n, row_heal, &all[i], "a row of another node");
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (all[i].taken && all[i].suspect->verdict == JUDGE_TAKE_LATE) /* what heals was known */
            rc = told_merged(n, &all[i].row, 1);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (all[i].taken)
            rc = row_merged(n, &all[i].row);
    eff_do(n, rows_in, NULL, NULL);
    return rc;
}
