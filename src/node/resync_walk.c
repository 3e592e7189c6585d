/* resync_walk: the rows of a peer's page and our own beside them, one after the other. Decides what becomes
 * of a row that only one side has; where the page comes from and what follows it is resync.c's.
 */
#include "node/resync_inside.h"

#include <string.h>

#include "core/judge.h"

void walk_free(void *arg)
{
    struct walk *w = arg;
    str_fini(&w->tbl);
    str_fini(&w->key);
    free(w->changed);
    for (size_t i = 0; i < w->memory_n; i++)
        free((void *)(uintptr_t)w->memory[i].p);
    free(w->memory);
    resync_fini(&w->next);
    free(w);
}

static int span_compare(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int key_compare(struct span tbl_a, struct span key_a, struct span tbl_b, struct span key_b)
{
    int c = span_compare(tbl_a, tbl_b);
    return c ? c : span_compare(key_a, key_b);
}

static struct span span_of(const struct str *s)
{
    return (struct span){str_get(s), s->n};
}

static int next_ours(struct node *n, struct walk *w)
{
    int rc = store_row_after(n->store, &w->tbl, &w->key, &w->stamp, &w->dead, &n->fault);
    w->has_ours = rc == 1;
    return rc < 0 ? rc : 0;
}

/* The next row of theirs, which must stand behind the one before it. */
static int next_theirs(struct node *n, struct walk *w)
{
    struct remote_row before = w->theirs;
    w->has_theirs = w->rows > 0;
    if (w->rows == 0)
        return 0;
    w->rows--;
    int rc = store_read_row(&w->r, &w->theirs, &n->fault);
    if (rc == 0 && before.tbl.p && key_compare(before.tbl, before.key, w->theirs.tbl, w->theirs.key) >= 0)
        rc = err_set(&n->fault, SKEP_EARG, "a page is out of order");
    return rc;
}

static void note(struct walk *w, const struct remote_row *row)
{
    ARRAY_GROW(w->changed, w->changed_n, w->changed_cap);
    w->changed[w->changed_n++] = *row;
}

static struct span keep(struct walk *w, const struct str *s)
{
    ARRAY_GROW(w->memory, w->memory_n, w->memory_cap);
    w->memory[w->memory_n] = (struct span){mem_copy(str_get(s), s->n), s->n};
    return w->memory[w->memory_n++];
}

static int ours_away(struct node *n, struct walk *w)
{
    struct remote_row gone = {
        .tbl = keep(w, &w->tbl), .key = keep(w, &w->key), .stamp = w->stamp, .dead = true};
    gone.t = table_find(gone.tbl);
    if (!w->dead)
        note(w, &gone);
    int rc = w->dead ? 0 : told_losing(n, &gone);
    w->next.dropped++;
    return rc < 0 ? rc : store_take_out(n->store, gone.tbl, gone.key, &n->fault);
}

/* A row that one side has alone, whether it may be older than a deletion which its side never saw. Of two
 * tables nobody deletes what he has never seen whole: the row of a run goes once all know its end, and what
 * was answered under an Idempotency-Key with its age. */
static bool is_in_doubt(enum table_id t, const struct stamp *stamp, bool knows, int64_t gc_floor)
{
    return !knows && t != T_ACTOR && t != T_IDEM && judge_may_be_deleted(stamp, gc_floor);
}

/* It goes aside where it is, and stays among the versions. */
static int ours_in_doubt(struct node *n, struct walk *w)
{
    struct remote_row row = {.tbl = keep(w, &w->tbl), .key = keep(w, &w->key), .stamp = w->stamp};
    row.t = table_find(row.tbl);
    int rc = store_doubt(n->store, row.tbl, row.key, &n->fault);
    if (rc == 1)
        note(w, &row);
    w->next.aside += rc == 1;
    return rc < 0 ? rc : 0;
}

/* A row that the peer does not have. */
static int only_ours(struct node *n, struct walk *w)
{
    if (vv_covers(&w->at->vv, w->stamp.actor, w->stamp.hlc))
        return ours_away(n, w);
    if (!w->dead && is_in_doubt(table_find(span_of(&w->tbl)), &w->stamp, w->we_know, w->at->gc_floor))
        return ours_in_doubt(n, w);
    w->next.kept++;
    return 0;
}

/* A row that is not here. */
static int only_theirs(struct node *n, struct walk *w, enum merged *ret)
{
    const struct remote_row *row = &w->theirs;
    if (vv_covers(&n->vv, row->stamp.actor, row->stamp.hlc))
        return 0;
    bool doubt = !row->dead &&
                 (row->doubt || is_in_doubt(row->t, &row->stamp, w->they_know, store_gc_floor(n->store)));
    w->next.aside += doubt;
    return store_merge_as(n->store, row, doubt ? STORE_ASIDE_AMBIGUOUS : crasher_why(n, row), ret, &n->fault);
}

/* A row of both. Of one version with and without doubt the doubt stays. */
static int of_both(struct node *n, struct walk *w, enum merged *ret)
{
    const struct remote_row *row = &w->theirs;
    if (row->doubt && stamp_compare(&row->stamp, &w->stamp) == 0)
        return ours_in_doubt(n, w);
    return store_merge_as(n->store, row, crasher_why(n, row), ret, &n->fault);
}

static int theirs_in(struct node *n, struct walk *w, bool both)
{
    enum merged how = MERGED_KEPT;
    if (pull_too_far_ahead(n, w->theirs.stamp.hlc) || pull_too_far_ahead(n, w->theirs.stamp.rank)) {
        w->next.cut = true;
        return 0;
    }
    crasher_note(n, &w->theirs);
    int rc = both ? of_both(n, w, &how) : only_theirs(n, w, &how);
    if (rc == SKEP_EARG) { /* as in a pull: one stamp for two rows */
        w->next.aside++;
        return store_quarantine(n->store, &w->theirs, n->fault.text, &n->fault);
    }
    if (rc < 0 || how == MERGED_KEPT)
        return rc;
    w->next.taken++;
    note(w, &w->theirs);
    return store_vv_saw(n->store, w->theirs.stamp.actor, w->theirs.stamp.hlc, &n->fault);
}

/* Whether the row of ours is within the page: nothing is known of what stands behind its last row. */
static bool within(const struct walk *w)
{
    return w->has_ours && (w->has_theirs || !w->more);
}

static int step(struct node *n, struct walk *w)
{
    int c = !within(w)       ? 1
            : !w->has_theirs ? -1
                             : key_compare(span_of(&w->tbl), span_of(&w->key), w->theirs.tbl, w->theirs.key);
    struct span tbl = c < 0 ? span_of(&w->tbl) : w->theirs.tbl,
                key = c < 0 ? span_of(&w->key) : w->theirs.key;
    free(w->next.tbl);
    free(w->next.key);
    w->next.tbl = mem_copy(tbl.p, tbl.n);
    w->next.key = mem_copy(key.p, key.n);
    w->ours_left -= c < 0;
    int rc = c < 0 ? only_ours(n, w) : theirs_in(n, w, c == 0);
    if (rc == 0 && c >= 0)
        rc = next_theirs(n, w);
    if (rc == 0 && c <= 0)
        rc = next_ours(n, w);
    return rc;
}

/* Whether a vector has seen all deletions that a node of that gcvv and that vector's floor has dropped. */
static bool knows_drops(const struct vv *vv, const struct vv *gcvv, int64_t floor)
{
    AUTOVV struct vv dropped = VV_INIT;
    vv_copy(&dropped, gcvv);
    dropped.floor = floor;
    return vv_reaches(vv, &dropped);
}

int walk_page(struct node *n, struct walk *w)
{
    w->we_know = knows_drops(&n->vv, &w->at->gcvv, w->at->vv.floor);
    w->they_know = knows_drops(&w->at->vv, &n->gcvv, n->vv.floor);
    str_puts(&w->tbl, w->at->tbl ? w->at->tbl : "");
    str_puts(&w->key, w->at->key ? w->at->key : "");
    int rc = next_ours(n, w);
    if (rc == 0)
        rc = next_theirs(n, w);
    if (rc == 0 && w->more && !w->has_theirs)
        rc = err_set(&n->fault, SKEP_EARG, "an empty page promises more");
    while (rc == 0 && (w->has_theirs || within(w)) && w->ours_left > 0)
        rc = step(n, w);
    w->ended = !w->more && !w->has_theirs && !w->has_ours;
    if (rc == 0)
        rc = told_merged(n, w->changed, w->changed_n);
    for (size_t i = 0; rc == 0 && i < w->changed_n; i++) {
        crasher_note(n, &w->changed[i]);
        rc = row_merged(n, &w->changed[i]);
    }
    crasher_clear(n);
    return rc;
}
