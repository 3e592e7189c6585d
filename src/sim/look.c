/* Reads version tables and remembers them. A row may only move up, and what it says under a stamp never
 * changes.
 */
#include "sim/look.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hlc.h"
#include "sim/brain.h"

#define AHEAD_MS (HLC_AHEAD_MS_MAX + 1000) /* a counter that overflows, and what a turn may take */

struct node *look_node(const struct invariants *v, int i)
{
    const struct sim_node *n = sim_node(v->sim, i);
    void *brain = sim_node_retired(n) ? NULL : sim_node_brain(n);
    return brain ? sim_brain_of(brain) : NULL;
}

const char *look_name(const struct invariants *v, int i)
{
    return sim_node_name(sim_node(v->sim, i));
}

void look_broken(struct invariants *v, const char *fmt, ...)
{
    char text[600];
    va_list args;
    if (v->why->n > 2000)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    str_printf(v->why, "%s%s", v->why->n ? "; " : "", text);
}

/* ---- Facts ---- */

struct fact *fact_get(struct fact *all, const char *key)
{
    struct fact *f;
    HASH_FIND_STR(all, key, f);
    return f;
}

struct fact *fact_new(struct fact **all, const char *key)
{
    struct fact *f = mem_alloc(sizeof *f);
    f->key = mem_dup(key);
    HASH_ADD_KEYPTR(hh, *all, f->key, strlen(f->key), f);
    return f;
}

void facts_free(struct fact **all)
{
    struct fact *f, *next;
    HASH_ITER(hh, *all, f, next)
    {
        HASH_DEL(*all, f);
        free(f->key);
        free(f);
    }
}

static void row_drop(struct look *l, struct row *r)
{
    HASH_DEL(l->rows, r);
    free(r->key);
    free(r);
}

void look_clear(struct look *l)
{
    struct row *r, *next;
    HASH_ITER(hh, l->rows, r, next)
    row_drop(l, r);
    l->exact = false;
    l->round = 0;
    l->writes = -1;
    vv_clear(&l->proven);
}

/* ---- Reading a store ---- */

static const char doubt_sql[] =
    "SELECT 1 FROM aside WHERE (tbl, key, why) = (?1, ?2, '" STORE_ASIDE_AMBIGUOUS "')";

bool look_in_doubt(struct node *n, const char *key)
{
    char tbl[64];
    snprintf(tbl, sizeof tbl, "%.*s", (int)strcspn(key, " "), key);
    struct stmt *q = stmt_new(store_db(n->store), doubt_sql);
    stmt_text(q, 1, tbl);
    stmt_text(q, 2, key + strlen(tbl) + 1);
    bool is = stmt_step(q, NULL) == 1;
    stmt_free(q);
    return is;
}

/* What a row is now against what it was. What is in doubt may be older than a deletion that was dropped, and
 * so may the tombstone that somebody still had. */
static void row_moved(struct invariants *v, int i, const struct row *was, const struct stamp *stamp,
                      bool dead, const unsigned char *hash)
{
    int order = stamp_compare(stamp, &was->stamp);
    bool same_bytes = dead == was->dead && (dead || memcmp(hash, was->hash, DIGEST16_BYTES) == 0);
    bool dropped = dead && was->dead && store_gc_floor(look_node(v, i)->store) > 0;
    if (order < 0 && !dropped && !look_in_doubt(look_node(v, i), was->key))
        look_broken(v, "%s: %s fell from (%lld, %lld) to (%lld, %lld)%s", look_name(v, i), was->key,
                    (long long)was->stamp.rank, (long long)was->stamp.hlc, (long long)stamp->rank,
                    (long long)stamp->hlc, text_starts(was->key, "name ") ? ": its epoch" : "");
    if (order == 0 && !same_bytes)
        look_broken(v, "%s: %s has other bytes under the same stamp [I7]", look_name(v, i), was->key);
}

static void row_note(struct invariants *v, const char *key, const struct stamp *stamp, bool dead)
{
    struct fact *f = fact_get(v->keys, key);
    if (!f)
        f = fact_new(&v->keys, key);
    if (stamp_compare(stamp, &f->newest) > 0)
        f->newest = *stamp;
    if (dead && stamp_compare(stamp, &f->grave) > 0)
        f->grave = *stamp;
    f->deleted |= dead;
}

static void row_read(struct invariants *v, int i, struct look *l, struct node *n, struct stmt *q)
{
    char key[LOOK_KEY_MAX];
    struct stamp stamp = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)};
    bool dead = col_i64(q, 5) != 0;
    struct row *r;
    snprintf(key, sizeof key, "%s %s", col_text(q, 0), col_text(q, 1));
    HASH_FIND_STR(l->rows, key, r);
    if (r)
        row_moved(v, i, r, &stamp, dead, col_blob(q, 6));
    else {
        r = mem_alloc(sizeof *r);
        r->key = mem_dup(key);
        HASH_ADD_KEYPTR(hh, l->rows, r->key, strlen(r->key), r);
    }
    r->stamp = stamp;
    r->dead = dead;
    r->round = l->round;
    if (!dead)
        memcpy(r->hash, col_blob(q, 6), sizeof r->hash);
    row_note(v, key, &stamp, dead);
    if (stamp.actor != n->actor && hlc_ms(stamp.hlc) > l->real_max_ms + AHEAD_MS)
        look_broken(v, "%s: %s is %lld ms ahead of its clock [I8]", look_name(v, i), key,
                    (long long)(hlc_ms(stamp.hlc) - l->real_max_ms));
}

const struct row *look_parent(const struct look *l, const struct row *r)
{
    static const char *const tables[] = {"entry ", "turn ", "session_state "};
    char key[LOOK_KEY_MAX];
    struct row *parent = NULL;
    for (size_t i = 0; i < COUNT(tables); i++) {
        if (!text_starts(r->key, tables[i]))
            continue;
        const char *name = r->key + strlen(tables[i]);
        snprintf(key, sizeof key, "session %.*s", (int)strcspn(name, "/"), name);
        HASH_FIND_STR(l->rows, key, parent);
        return parent && parent->round == l->round && !parent->dead ? parent : NULL;
    }
    return r;
}

/* An order-free sum of the live rows, and whether there are rows beyond the vector. */
static void look_sum(struct look *l)
{
    struct row *r, *next;
    l->sum = 0;
    l->exact = true;
    HASH_ITER(hh, l->rows, r, next)
    {
        if (r->round != l->round) {
            row_drop(l, r);
            continue;
        }
        l->exact &= vv_covers(&l->proven, r->stamp.actor, r->stamp.hlc);
        uint64_t one;
        memcpy(&one, r->hash, sizeof one);
        uint64_t stamp = prng_mix((uint64_t)r->stamp.hlc ^ prng_mix((uint64_t)r->stamp.actor));
        l->sum += r->dead || !look_parent(l, r) ? 0 : prng_mix(one ^ stamp);
    }
}

void look_clock(struct look *l, const struct node *n)
{
    const struct world_clock *c = &n->w.clock;
    int64_t real_ms = c->real_ms(c->self);
    real_ms = n->real_ms > real_ms ? n->real_ms : real_ms; /* what it takes the time to be */
    l->real_max_ms = real_ms > l->real_max_ms ? real_ms : l->real_max_ms;
}

/* The version table of a node, compared with what it was. */
void look_read(struct invariants *v, int i)
{
    struct look *l = &v->looks[i];
    struct node *n = look_node(v, i);
    look_clock(l, n);
    if (store_writes(n->store) == l->writes && vv_equal(&n->vv, &l->proven))
        return;
    l->round++;
    vv_copy(&l->proven, &n->vv);
    struct stmt *q =
        stmt_new(store_db(n->store), "SELECT tbl, key, rank, hlc, actor, dead, hash FROM change");
    while (stmt_step(q, NULL) == 1)
        row_read(v, i, l, n, q);
    stmt_free(q);
    l->writes = store_writes(n->store);
    look_sum(l);
}
