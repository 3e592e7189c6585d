/* rescan: this node's look at each of its own rows, a slice of 2 ms at a time, and lists of rows for others.
 *
 * A slice runs between the transactions of a turn: it needs no lock that writers have, and nothing of it can
 * be rolled back. What it finds is written by a handler afterwards.
 */
#include "node/compare_inside.h"
#include "wire/buf.h"
#include "wire/json.h"

struct slice {
    struct node *n;
    struct compare *c;
};

bool rescan_fresh(const struct node *n)
{
    const struct compare *c = n->compare;
    int64_t quarter = n->o.compare_ms / 4, twice = 2 * c->took_ms;
    if (c->round.mended_ms > c->began_ms) /* they are of before that */
        return false;
    return c->sums && n->now_ms - c->done_ms < (quarter > twice ? quarter : twice);
}

void rescan_work(struct node *n)
{
    timer_set(n, &n->compare->work_timer, n->now_ms);
}

static void walk_soon(struct node *n)
{
    struct compare *c = n->compare;
    if (c->walk_timer.due_ms == INT64_MAX || !c->walk_timer.at)
        timer_set(n, &c->walk_timer, n->now_ms);
}

void rescan_want(struct node *n)
{
    struct compare *c = n->compare;
    int64_t number = c->looks + 1;
    if (c->look_wanted < number)
        c->look_wanted = number;
    walk_soon(n);
}

int64_t compare_look(struct node *n)
{
    struct compare *c = n->compare;
    int64_t number = c->looks + 1 + c->walking;
    if (c->look_wanted < number)
        c->look_wanted = number;
    walk_soon(n);
    return number;
}

bool compare_looked(struct node *n, int64_t number, struct compare_digest *ret)
{
    const struct compare *c = n->compare;
    if (c->looks < number || !c->sums)
        return false;
    *ret = (struct compare_digest){.sums = c->sums,
                                   .rows = sums_rows(c->sums),
                                   .damaged = (int64_t)c->damages_n,
                                   .began_ms = c->sums_began_real_ms};
    sums_root(c->sums, ret->root);
    return true;
}

/* ---- damage ---- */

struct damage *damage_find(const struct compare *c, struct span tbl, struct span key)
{
    for (size_t i = 0; i < c->damages_n; i++) {
        struct damage *d = &c->damages[i];
        if (span_equal(span_of(d->key, d->key_n), key) && span_equal(span_of(d->tbl, d->tbl_n), tbl))
            return d;
    }
    return NULL;
}

static bool holds_up(struct node *n, const struct damage *d, const struct peer *p)
{
    struct scan_row now;
    bool is_row = d->row.damage == SCAN_DIFFERS || d->row.damage == SCAN_MISSING;
    if (!is_row || vv_covers(&p->vv, d->row.stamp.actor, d->row.stamp.hlc))
        return false;
    return scan_look(n->compare->list, span_of(d->tbl, d->tbl_n), span_of(d->key, d->key_n), &now, NULL) ==
               1 &&
           now.damage == d->row.damage;
}

bool compare_sends(struct node *n, const struct peer *p)
{
    const struct compare *c = n->compare;
    for (size_t i = 0; i < c->damages_n; i++)
        if (holds_up(n, &c->damages[i], p))
            return false;
    return true;
}

static void damage_fini(struct damage *d)
{
    free(d->tbl);
    free(d->key);
}

static void damage_seen(struct node *n, const struct scan_row *row)
{
    struct compare *c = n->compare;
    struct damage *d = damage_find(c, row->tbl, row->key);
    if (!d && c->damages_n == DAMAGES_MAX)
        return;
    if (!d) {
        ARRAY_GROW(c->damages, c->damages_n, c->damages_cap);
        d = &c->damages[c->damages_n++];
        *d = (struct damage){.tbl = mem_copy(row->tbl.p, row->tbl.n),
                             .key = mem_copy(row->key.p, row->key.n),
                             .tbl_n = row->tbl.n,
                             .key_n = row->key.n,
                             .bucket = scan_bucket(row->tbl.p, row->key.p)};
    }
    if (d->row.damage != row->damage || stamp_compare(&d->row.stamp, &row->stamp) != 0)
        d->reported = false;
    d->row = *row;
    d->seen = c->looks + 1;
    if (!d->reported)
        rescan_work(n);
}

/* What this look has not found any more is well. */
static void damages_forget(struct compare *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->damages_n; i++)
        if (c->damages[i].seen == c->looks)
            c->damages[kept++] = c->damages[i];
        else
            damage_fini(&c->damages[i]);
    c->damages_n = kept;
}

/* ---- the look ---- */

static void row_found(void *ctx, const struct scan_row *row)
{
    struct slice *s = ctx;
    unsigned char entry[DIGEST_BYTES];
    s->n->counters.rows_scanned++;
    if (row->damage != SCAN_SOUND)
        damage_seen(s->n, row);
    /* what is damaged does not count, whatever its bytes are: so its bucket differs, and is asked for */
    if (row->dead || row->idle || (row->damage != SCAN_SOUND && row->damage != SCAN_UNLISTED))
        return;
    /* what is in doubt differs from what is not: a rank that no row has */
    int64_t stamp[3] = {row->doubt ? -1 - row->stamp.rank : row->stamp.rank, row->stamp.hlc,
                        row->stamp.actor};
    sums_entry(&s->c->digest, row->tbl, row->key, stamp, row->real, entry);
    sums_add(s->c->next, scan_bucket(row->tbl.p, row->key.p), entry);
}

static void look_begins(struct node *n)
{
    struct compare *c = n->compare;
    c->walking = true;
    c->reindexed = 0;
    c->began_ms = n->now_ms;
    c->began_real_ms = n->real_ms;
    if (!c->next)
        c->next = mem_alloc(sizeof *c->next);
    memset(c->next, 0, sizeof *c->next);
    scan_begin(c->walk, false);
}

static void look_ends(struct node *n)
{
    struct compare *c = n->compare;
    struct sums *old = c->sums;
    c->walking = false;
    c->sums = c->next;
    c->next = old;
    c->looks++;
    c->done_ms = n->now_ms;
    c->took_ms = n->now_ms - c->began_ms;
    c->sums_began_real_ms = c->began_real_ms;
    c->unreadable = false;
    n->counters.looks++;
    damages_forget(c);
    node_wake(n, "compare", "");
    round_looked(n);
}

/* The file cannot be read. Whoever needs such a row will find out the hard way; here it is only said. */
static void look_fails(struct node *n, const struct err *e)
{
    struct compare *c = n->compare;
    c->walking = false;
    c->look_wanted = c->looks;
    if (c->unreadable)
        return;
    c->unreadable = true;
    mem_replace(&c->complaint, e->text);
    rescan_work(n);
}

static void look_slice(struct node *n)
{
    struct slice s = {n, n->compare};
    struct err e = {0};
    if (!s.c->walking)
        look_begins(n);
    int rc = scan_step(s.c->walk, SLICE_ROWS, SLICE_BYTES, row_found, &s, &e);
    if (rc == 0)
        look_ends(n);
    else if (rc < 0)
        look_fails(n, &e);
}

/* ---- lists ---- */

static void row_listed(void *ctx, const struct scan_row *row)
{
    struct slice *s = ctx;
    struct listing *l = &s->c->listing;
    if (l->cut || row->idle || !bit_get(l->wanted, scan_bucket(row->tbl.p, row->key.p)))
        return;
    if (l->count == KEYS_MAX || l->entries.n >= KEYS_BYTES) {
        l->cut = true;
        return;
    }
    const struct damage *d = damage_find(s->c, row->tbl, row->key);
    bool doubt = false;
    bool aside = !row->dead && scan_is_aside(s->c->list, row->tbl, row->key, &doubt, NULL) == 1;
    buf_bytes(&l->entries, row->tbl.p, row->tbl.n);
    buf_bytes(&l->entries, row->key.p, row->key.n);
    buf_i64(&l->entries, row->stamp.rank);
    buf_i64(&l->entries, row->stamp.hlc);
    buf_i64(&l->entries, row->stamp.actor);
    buf_u8(&l->entries,
           (uint8_t)((row->dead ? ENTRY_DEAD : 0) | (aside ? ENTRY_ASIDE : 0) | (doubt ? ENTRY_DOUBT : 0) |
                     (d && d->row.damage != SCAN_UNLISTED ? ENTRY_DAMAGED : 0)));
    if (!row->dead)
        str_add(&l->entries, row->stored, DIGEST16_BYTES);
    l->count++;
}

bool compare_entry_read(struct reader *r, struct compare_entry *ret)
{
    ret->tbl = read_bytes(r);
    ret->key = read_bytes(r);
    ret->rank = read_i64(r);
    ret->hlc = read_i64(r);
    ret->actor = read_i64(r);
    uint8_t flags = read_u8(r);
    ret->dead = flags & ENTRY_DEAD;
    ret->aside = flags & ENTRY_ASIDE;
    ret->doubt = flags & ENTRY_DOUBT;
    ret->damaged = flags & ENTRY_DAMAGED;
    memset(ret->hash, 0, sizeof ret->hash);
    for (size_t i = 0; !ret->dead && i < sizeof ret->hash; i++)
        ret->hash[i] = read_u8(r);
    return !r->bad && ret->rank >= 0 && ret->hlc > 0 && ret->actor > 0 && ret->tbl.n > 0 &&
           text_is_utf8(ret->tbl.p, ret->tbl.n) && text_is_utf8(ret->key.p, ret->key.n);
}

void listing_begin(struct node *n, const struct id *whom, const uint64_t wanted[SUMS_BUCKETS / 64])
{
    struct listing *l = &n->compare->listing;
    l->running = true;
    l->ready = l->cut = false;
    l->whom = *whom;
    l->count = 0;
    l->asked_ms = n->now_ms;
    memcpy(l->wanted, wanted, sizeof l->wanted);
    vv_copy(&l->vv, &n->vv);
    str_clear(&l->entries);
    scan_begin(n->compare->list, true);
    walk_soon(n);
}

static void list_slice(struct node *n)
{
    struct slice s = {n, n->compare};
    struct listing *l = &s.c->listing;
    int rc = scan_step(s.c->list, 8 * SLICE_ROWS, SLICE_BYTES, row_listed, &s, NULL);
    if (rc == 1)
        return;
    l->running = false;
    l->ready = rc == 0;
    node_wake(n, "compare", "");
}

struct wish {
    uint64_t wanted[SUMS_BUCKETS / 64];
};

static void list_for_people(struct node *n, void *arg)
{
    AUTOFREE struct wish *w = arg;
    const struct listing *l = &n->compare->listing;
    bool free_now = !l->running && (!l->ready || n->now_ms - l->asked_ms > 1000);
    if (free_now)
        listing_begin(n, &(struct id){{0}}, w->wanted);
}

int compare_bucket(struct node *n, unsigned bucket, struct str *ret_entries, uint32_t *ret_count)
{
    struct listing *l = &n->compare->listing;
    if (l->ready && id_is_zero(&l->whom) && bit_get(l->wanted, bucket) &&
        n->now_ms - l->asked_ms < LISTED_MS) {
        str_add(ret_entries, str_get(&l->entries), l->entries.n);
        *ret_count = l->count;
        l->ready = false; /* the next one is made anew */
        return 1;
    }
    struct wish *w = mem_alloc(sizeof *w);
    bit_set(w->wanted, bucket);
    eff_do(n, list_for_people, w, free);
    return 0;
}

/* ---- the timer ---- */

static void slice_run(struct node *n, void *arg UNUSED)
{
    struct compare *c = n->compare;
    if (n->resync.wanted) { /* half of what is here is about to change */
        timer_set(n, &c->walk_timer, n->now_ms + 1000);
        return;
    }
    if (c->listing.running)
        list_slice(n);
    else if (c->walking || c->looks < c->look_wanted)
        look_slice(n);
    bool more = c->listing.running || c->walking || c->looks < c->look_wanted;
    bool many = c->sums && sums_rows(c->sums) > ROWS_MANY;
    timer_set(n, &c->walk_timer, more ? n->now_ms + (many ? PAUSE_LONG_MS : PAUSE_MS) : INT64_MAX);
}

static int walk_due(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + 1000); /* unless the slice says otherwise */
    eff_do(n, slice_run, NULL, NULL);
    return 0;
}

/* ---- what is written ---- */

/* What needs nobody else: an index without an entry, a row that outlived its deletion. */
static int mend_here(struct node *n, const struct damage *d)
{
    struct compare *c = n->compare;
    struct span tbl = span_of(d->tbl, d->tbl_n), key = span_of(d->key, d->key_n);
    struct scan_row row;
    enum table_id t = table_find(tbl);
    int rc = 0;
    if (d->row.damage == SCAN_UNDEAD) {
        rc = scan_undead(c->walk, tbl, key, "its version says that it was deleted", &n->fault);
    } else if (d->row.damage != SCAN_DIFFERS && !(c->reindexed >> t & 1)) {
        node_touch(n, &c->reindexed, sizeof c->reindexed);
        c->reindexed |= UINT64_C(1) << t;
        if (scan_reindex(c->walk, tbl, &n->fault) < 0)
            log_warn(n->w.log, "the indexes of table %.*s cannot be made anew: %s", (int)tbl.n, tbl.p,
                     n->fault.text);
    }
    if (rc == 0)
        rc = scan_look(c->walk, tbl, key, &row, &n->fault);
    if (rc <= 0 || row.damage != SCAN_SOUND)
        return rc < 0 ? rc : 0;
    return incident(n, "row_healed", NULL, tbl, key, NULL, NULL, scan_damage_word(d->row.damage));
}

static int report_one(struct node *n, struct damage *d)
{
    struct side was = side_of(&d->row);
    int rc = incident(n, "row_damaged", NULL, span_of(d->tbl, d->tbl_n), span_of(d->key, d->key_n), &was,
                      NULL, scan_damage_word(d->row.damage));
    node_touch(n, &d->reported, sizeof d->reported);
    d->reported = true;
    if (rc == 0)
        rc = mend_here(n, d);
    timer_set(n, &n->compare->round_timer, n->now_ms); /* somebody may have it whole */
    return rc;
}

static void complaint_made(struct node *n, void *arg UNUSED)
{
    free(TAKE(n->compare->complaint));
}

static int report_file(struct node *n)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "complaint", n->compare->complaint);
    jw_object_close(&j);
    log_error(n->w.log, "the database cannot be read: %s", n->compare->complaint);
    eff_do(n, complaint_made, NULL, NULL);
    return node_log(n, "file_damaged", NULL, NULL, n->name, 0, NULL, str_get(&data));
}

int rescan_report(struct node *n)
{
    struct compare *c = n->compare;
    int rc = c->complaint ? report_file(n) : 0, said = 0;
    for (size_t i = 0; rc == 0 && i < c->damages_n; i++)
        if (!c->damages[i].reported && said++ < 64)
            rc = report_one(n, &c->damages[i]);
    if (rc == 0 && said > 64)
        rescan_work(n);
    return rc;
}

static int work_due(struct node *n, struct timer *t UNUSED)
{
    int rc = rescan_report(n);
    return rc < 0 ? rc : heal_rows(n);
}

/* ---- begin and end ---- */

void compare_begin(struct node *n)
{
    struct compare *c = n->compare = mem_alloc(sizeof *c);
    c->walk = scan_new(n->store);
    c->list = scan_new(n->store);
    digest_init(&c->digest);
    c->walk_timer.fire = walk_due;
    c->work_timer.fire = work_due;
    c->round_timer.fire = round_due;
    if (n->o.compare_ms > 0)
        timer_set(n, &c->round_timer,
                  n->now_ms + n->o.compare_ms / 2 +
                      (int64_t)prng_below(&n->prng, (uint64_t)n->o.compare_ms / 2 + 1));
}

void compare_free(struct compare *c)
{
    if (!c)
        return;
    scan_free(c->walk);
    scan_free(c->list);
    digest_fini(&c->digest);
    free(c->sums);
    free(c->next);
    for (size_t i = 0; i < c->damages_n; i++)
        damage_fini(&c->damages[i]);
    free(c->damages);
    free(c->complaint);
    vv_fini(&c->listing.vv);
    str_fini(&c->listing.entries);
    for (size_t i = 0; i < c->doubts_n; i++) {
        free(c->doubts[i].tbl);
        free(c->doubts[i].key);
        free(c->doubts[i].lacking);
    }
    free(c->doubts);
    suspects_clear(c->round.before, &c->round.before_n);
    suspects_clear(c->round.found, &c->round.found_n);
    free(c->round.before);
    free(c->round.found);
    vv_fini(&c->round.first);
    str_fini(&c->round.rows);
    free(c);
}
