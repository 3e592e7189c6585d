/* Compares what stores say with what they said, and with each other. It refuses to know how the rows came to
 * be what they are.
 */
#include "sim/invariant.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/hlc.h"
#include "sim/heard.h"
#include "sim/look.h"
#include "sim/worker.h"
#include "wire/buf.h"

#define EVERY_US     SIM_SECOND
#define READ_US      (2 * SIM_SECOND) /* between two readings of a store … */
#define READ_ROW_US  4000             /* … or more, for each row of the last one: long runs have many */
#define DEEP         8                /* one of so many rounds of readings is */
#define DAY_MS       86400000
#define OWN_ROWS_MAX 4096

/* What it reads itself must not meet a fault that was planned for the node. */
static void spare(const struct invariants *v, bool spared)
{
    for (int i = 0; i < sim_nodes(v->sim); i++)
        simdisk_spare(sim_node_disk(sim_node(v->sim, i)), spared);
}

/* ---- After each turn ---- */

/* Its vector may only grow, as long as it runs. A run that begins with less than the one before had its files
 * replaced, or stamps anew with its first write what it wrote in a future that nobody else has seen. */
static void vector_grows(struct invariants *v, int i, struct look *l, const struct node *n)
{
    bool same = l->actor == n->actor && l->born == n->born; /* memory may be the same in the next life */
    bool fell = false;
    if (same && n->vv.n == l->vv.n && n->vv.floor == l->vv.floor &&
        (n->vv.n == 0 || memcmp(n->vv.e, l->vv.e, n->vv.n * sizeof *n->vv.e) == 0))
        return;
    for (size_t k = 0; k < l->vv.n && !fell; k++)
        fell = !vv_covers(&n->vv, l->vv.e[k].actor, l->vv.e[k].hlc);
    if (fell && same)
        look_broken(v, "%s: its vector fell [I4]", look_name(v, i));
    if (fell && !same) {
        look_clear(l);
        l->forgot = true;
    }
    if (!same) {
        l->written = fell ? store_written(n->store) : 0;
        l->own = l->actor == n->actor ? l->own : NULL;
    }
    l->actor = n->actor;
    l->born = n->born;
    vv_copy(&l->vv, &n->vv);
}

/* Rows that only the owner of a session or a name writes, under its epoch. ret: the key of their claim. */
static bool claim_key(const char *tbl, const char *key, char ret[LOOK_KEY_MAX])
{
    static const char *const of_session[] = {"entry", "turn", "session_state"};
    static const char *const of_name[] = {"checkpoint", "metadata"};
    for (size_t i = 0; i < COUNT(of_session); i++)
        if (strcmp(tbl, of_session[i]) == 0) {
            snprintf(ret, LOOK_KEY_MAX, "name /%.*s", (int)strcspn(key, "/"), key);
            return true;
        }
    for (size_t i = 0; i < COUNT(of_name); i++)
        if (strcmp(tbl, of_name[i]) == 0) {
            snprintf(ret, LOOK_KEY_MAX, "name %s", key);
            return true;
        }
    return false;
}

/* [I1] An epoch of a session is written by one actor. */
static void one_writer(struct invariants *v, const char *key, int64_t epoch, int64_t actor)
{
    char segment[LOOK_KEY_MAX];
    snprintf(segment, sizeof segment, "%.*s/%lld", (int)strcspn(key, "/"), key, (long long)epoch);
    struct fact *f = fact_get(v->writers, segment);
    if (!f)
        fact_new(&v->writers, segment)->writer = actor;
    else if (f->writer != actor)
        look_broken(v, "entry %s: epoch %lld was written by %lld and %lld [I1]", key, (long long)epoch,
                    (long long)f->writer, (long long)actor);
}

/* Without a tombstone, with the hand-off or the claim that it belongs to. */
static bool goes_silently(const struct row *r)
{
    return text_starts(r->key, "chunk ") || text_starts(r->key, "conflict ");
}

/* A write that changes nothing would be replicated all the same. What goes without a tombstone may have gone
 * since, and is new; a node that slept is drained and drained no more in one turn. */
static void changes_something(struct invariants *v, int i, struct row *was, const struct stamp *now,
                              const unsigned char *hash)
{
    if (!was->dead && !goes_silently(was) && !text_starts(was->key, "node ") &&
        was->stamp.actor == now->actor && was->stamp.rank == now->rank && was->stamp.hlc < now->hlc &&
        memcmp(was->hash, hash, sizeof was->hash) == 0)
        look_broken(v, "%s wrote %s again (%lld, then %lld), and nothing of it changed", look_name(v, i),
                    was->key, (long long)was->stamp.hlc, (long long)now->hlc);
    was->stamp = *now;
    was->dead = false;
    memcpy(was->hash, hash, sizeof was->hash);
}

/* Its tombstone may be dropped before the store is read again. */
static void own_grave(struct invariants *v, const char *text)
{
    struct fact *f = fact_get(v->keys, text);
    f = f ? f : fact_new(&v->keys, text);
    f->deleted = true;
}

/* A row that the node itself has written in this turn. */
static void own_row(struct invariants *v, int i, struct look *l, struct stmt *q)
{
    const char *tbl = col_text(q, 0), *key = col_text(q, 1);
    char claim[LOOK_KEY_MAX], text[LOOK_KEY_MAX];
    struct stamp stamp = {col_i64(q, 3), col_i64(q, 4), look_node(v, i)->actor};
    int64_t rank = col_i64(q, 2);
    struct row *known;
    snprintf(text, sizeof text, "%s %s", tbl, key);
    if (col_i64(q, 6)) {
        own_grave(v, text);
        return;
    }
    HASH_FIND_STR(l->rows, text, known);
    if (known && stamp_compare(&stamp, &known->stamp) > 0)
        changes_something(v, i, known, &stamp, col_blob(q, 5));
    if (strcmp(tbl, "entry") == 0)
        one_writer(v, key, rank, stamp.actor);
    if (!claim_key(tbl, key, claim))
        return;
    HASH_FIND_STR(l->rows, claim, known);
    if (known && !known->dead && known->stamp.rank > rank)
        look_broken(v, "%s wrote %s %s under epoch %lld, but knew that of the claim to be %lld [I3]",
                    look_name(v, i), tbl, key, (long long)rank, (long long)known->stamp.rank);
}

static void own_rows(struct invariants *v, int i, struct look *l, struct node *n)
{
    int64_t written = store_written(n->store);
    if (written <= l->written)
        return;
    /* an entry never changes, so its rank is 0: its epoch is a column */
    struct stmt *q = l->own =
        l->own ? l->own
               : stmt_new(store_db(n->store),
                          "SELECT tbl, key, CASE tbl WHEN 'entry' THEN (SELECT epoch FROM entry "
                          "WHERE session = substr(key, 1, instr(key, '/') - 1) AND entry = substr(key, "
                          "instr(key, '/') + 1)) "
                          "ELSE rank END, rank, hlc, hash, dead FROM change WHERE actor = ?1 AND hlc > ?2 "
                          "LIMIT ?3");
    stmt_i64(q, 1, n->actor);
    stmt_i64(q, 2, l->written);
    stmt_i64(q, 3, OWN_ROWS_MAX);
    while (stmt_step(q, NULL) == 1)
        own_row(v, i, l, q);
    l->written = written;
}

static bool each_turn(struct sim *s, void *ctx, struct str *why)
{
    struct invariants *v = ctx;
    v->why = why;
    spare(v, true);
    for (int i = 0; i < sim_nodes(s); i++) {
        struct node *n = look_node(v, i);
        if (!n)
            continue;
        look_clock(&v->looks[i], n);
        vector_grows(v, i, &v->looks[i], n);
        own_rows(v, i, &v->looks[i], n);
    }
    spare(v, false);
    return why->n == 0;
}

/* Whether a row of b may be gone at a: those that die with their parent do so without a tombstone. What
 * belongs to a session is there while that is alive, the same at both. */
static bool may_be_gone(const struct row *r, const struct look *a, const struct look *b)
{
    const struct row *here = look_parent(a, r), *there = look_parent(b, r);
    if (here != r)
        return !here || !there || stamp_compare(&here->stamp, &there->stamp) != 0;
    return goes_silently(r);
}

/* ---- One store: "change" and the rows ---- */

/* Every version has its row, with the bytes that its hash was made of. */
static void bytes_are_there(struct invariants *v, int i, struct look *l, struct store *s)
{
    AUTOSTR struct str page = STR_INIT, tbl = STR_INIT, key = STR_INIT;
    struct err e = {0};
    uint32_t count;
    bool more = true;
    while (more) {
        str_clear(&page);
        if (store_scan_page(s, str_get(&tbl), str_get(&key), &page, &count, &more, &e) < 0)
            return look_broken(v, "%s: %s", look_name(v, i), e.text);
        struct reader r = reader_init(str_get(&page), page.n);
        for (uint32_t k = 0; k < count; k++) {
            struct remote_row row;
            unsigned char hash[DIGEST16_BYTES];
            char text[LOOK_KEY_MAX];
            struct row *known;
            if (store_read_row(&r, &row, &e) < 0)
                return look_broken(v, "%s: a row that none can read: %s", look_name(v, i), e.text);
            snprintf(text, sizeof text, "%.*s %.*s", (int)row.tbl.n, row.tbl.p, (int)row.key.n, row.key.p);
            HASH_FIND_STR(l->rows, text, known);
            digest16(&row.bytes, 1, hash);
            if (known && !row.dead && memcmp(hash, known->hash, sizeof hash) != 0)
                look_broken(v, "%s: %s is not what its hash says", look_name(v, i), text);
            str_clear(&tbl);
            str_clear(&key);
            str_add(&tbl, row.tbl.p, row.tbl.n);
            str_add(&key, row.key.p, row.key.n);
        }
        more &= count > 0;
    }
}

/* … and every row its version. */
static void rows_are_described(struct invariants *v, int i, struct store *s)
{
    AUTOSTR struct str sql = STR_INIT;
    str_puts(&sql, "SELECT (SELECT count(*) FROM change WHERE dead = 0) - (SELECT count(*) FROM aside)");
    for (int t = 0; t < T_N; t++)
        str_printf(&sql, " - (SELECT count(*) FROM %s)", table_get((enum table_id)t)->name);
    int64_t odd = db_i64(store_db(s), str_get(&sql), 0);
    if (odd)
        look_broken(v, "%s: %lld versions more than rows", look_name(v, i), (long long)odd);
}

/* [I11] A hand-off that a vector covers has all its chunks, and they are its own. */
static void chunks_are_there(struct invariants *v, int i, struct store *s)
{
    struct stmt *q = stmt_new(
        store_db(s),
        "SELECT h.swarm, h.name, h.chunks, "
        "(SELECT count(*) FROM chunk c WHERE (c.swarm, c.name, c.epoch) = (h.swarm, h.name, h.epoch)) "
        "AS have, c.actor, c.hlc FROM handoff h JOIN change c ON c.tbl = 'handoff' AND c.dead = 0 "
        "AND c.key = h.swarm || '/' || h.name WHERE have < h.chunks");
    while (stmt_step(q, NULL) == 1)
        if (vv_covers(&v->looks[i].proven, col_i64(q, 4), col_i64(q, 5)))
            look_broken(v, "%s: the hand-off of %s/%s has %lld of %lld chunks [I11]", look_name(v, i),
                        col_text(q, 0), col_text(q, 1), (long long)col_i64(q, 3), (long long)col_i64(q, 2));
    stmt_free(q);
}

/* [I5] What was deleted stays deleted where that is known. */
static void the_dead_stay_dead(struct invariants *v, int i, struct look *l)
{
    for (const struct row *r = l->rows; r; r = r->hh.next) {
        const struct fact *f = r->dead ? NULL : fact_get(v->keys, r->key);
        if (f && stamp_compare(&r->stamp, &f->grave) < 0 &&
            vv_covers(&l->proven, f->grave.actor, f->grave.hlc) && !look_in_doubt(look_node(v, i), r->key))
            look_broken(v, "%s: %s is there again, deleted at %lld [I5]", look_name(v, i), r->key,
                        (long long)f->grave.hlc);
    }
}

/* [I13] A tombstone is dropped when every member has it, or is too old to wait for. */
static void drops_are_known(struct invariants *v, int i, struct node *n)
{
    AUTOVV struct vv gc = VV_INIT;
    const struct look *l = &v->looks[i];
    if (store_gcvv(n->store, &gc, NULL) < 0)
        return;
    for (size_t k = 0; k < gc.n; k++) {
        if (hlc_ms(gc.e[k].hlc) < l->real_max_ms - (n->o.tombstone_max_ms ? n->o.tombstone_max_ms : DAY_MS))
            continue;
        for (int j = 0; j < sim_nodes(v->sim); j++) {
            const struct node *other = j == i ? NULL : look_node(v, j);
            if (other && other->member && !v->looks[j].forgot &&
                !vv_covers(&other->vv, gc.e[k].actor, gc.e[k].hlc))
                look_broken(v, "%s dropped the tombstone (%lld, %lld), which %s has not [I13]",
                            look_name(v, i), (long long)gc.e[k].actor, (long long)gc.e[k].hlc,
                            look_name(v, j));
        }
    }
}

/* ---- Two stores ---- */

/* A look is of the run that goes on: turns have been looked at since. */
static bool looked_at(const struct invariants *v, int i)
{
    const struct node *n = look_node(v, i);
    return n && v->looks[i].actor == n->actor;
}

/* [I4] What the vector of i covers of the rows of j is at i, or what replaced it. */
static bool covered_is_there(struct invariants *v, int i, const struct row *r, int j, bool tell)
{
    const struct look *a = &v->looks[i];
    const struct row *own;
    char lack[200] = "nothing";
    if (!vv_covers(&a->proven, r->stamp.actor, r->stamp.hlc) || may_be_gone(r, a, &v->looks[j]))
        return true;
    HASH_FIND_STR(a->rows, r->key, own);
    int order = own ? stamp_compare(&own->stamp, &r->stamp) : -1;
    if (order == 0 && !r->dead && memcmp(own->hash, r->hash, sizeof r->hash) != 0)
        look_broken(v, "%s and %s differ in %s under one stamp [I7]", look_name(v, i), look_name(v, j),
                    r->key);
    const struct fact *f = order < 0 ? fact_get(v->keys, r->key) : NULL;
    /* dropped: it is not there, or what it may have been about lies aside */
    bool dropped = f && store_gc_floor(look_node(v, i)->store) > 0 && f->deleted &&
                   (!own || look_in_doubt(look_node(v, i), r->key));
    if (order >= 0 || dropped)
        return true;
    if (own)
        snprintf(lack, sizeof lack, "(%lld, %lld)", (long long)own->stamp.actor, (long long)own->stamp.hlc);
    if (tell)
        look_broken(v, "%s covers (%lld, %lld) of %s, but has %s; %s has it [I4]", look_name(v, i),
                    (long long)r->stamp.actor, (long long)r->stamp.hlc, r->key, lack, look_name(v, j));
    return false;
}

/* i against all others, as they were read last. */
static bool compare(struct invariants *v, int i, bool tell)
{
    bool good = true;
    for (int j = 0; j < sim_nodes(v->sim); j++) {
        if (j == i || !look_node(v, j) || !v->looks[j].round)
            continue;
        for (const struct row *r = v->looks[j].rows; r; r = r->hh.next)
            good &= covered_is_there(v, i, r, j, tell);
    }
    return good;
}

/* The others were read some time ago, and may have replaced what is missing here. */
static void all_is_there(struct invariants *v, int i)
{
    if (compare(v, i, false))
        return;
    for (int k = 0; k < sim_nodes(v->sim); k++)
        if (looked_at(v, k))
            look_read(v, k);
    compare(v, i, true);
}

/* A live row of a that b has not, or under another stamp. */
static const struct row *lacking(const struct look *a, const struct look *b)
{
    for (const struct row *r = a->rows; r; r = r->hh.next) {
        const struct row *other;
        HASH_FIND_STR(b->rows, r->key, other);
        if (!r->dead && look_parent(a, r) &&
            (!other || other->dead || stamp_compare(&r->stamp, &other->stamp) != 0))
            return r;
    }
    return NULL;
}

/* [I7] */
static void equal_is_equal(struct invariants *v, int i, int j)
{
    const struct look *a = &v->looks[i], *b = &v->looks[j];
    if (!a->exact || !b->exact || a->sum == b->sum || !vv_equal(&a->proven, &b->proven))
        return;
    const struct row *more = lacking(a, b), *less = lacking(b, a);
    look_broken(v, "%s and %s have equal vectors and different rows: %s, %s [I7]", look_name(v, i),
                look_name(v, j), more ? more->key : "none more", less ? less->key : "none less");
}

/* ---- Processes ---- */

struct crowd {
    struct invariants *v;
    struct sim_process all[512];
    int n;
};

static void process_add(void *ctx, const struct sim_process *p)
{
    struct crowd *c = ctx;
    if (c->n < (int)COUNT(c->all) && *p->name)
        c->all[c->n++] = *p;
}

static int process_order(const void *a, const void *b)
{
    const struct sim_process *p = a, *q = b;
    int order = strcmp(sim_node_name(p->node), sim_node_name(q->node));
    order = order ? order : strcmp(p->swarm, q->swarm);
    order = order ? order : strcmp(p->name, q->name);
    return order ? order : p->pid - q->pid;
}

/* [I11] Nothing runs that its node never knew to be claimed. */
static void claimed(struct invariants *v, const struct sim_process *p)
{
    for (int i = 0; i < sim_nodes(v->sim); i++) {
        struct node *n = sim_node(v->sim, i) == p->node && !p->orphan ? look_node(v, i) : NULL;
        if (!n)
            continue;
        struct name_row row = {.swarm = mem_dup(p->swarm), .name = mem_dup(p->name)};
        struct stamp stamp = {0};
        int rc = store_version(n->store, T_NAME, &row, &stamp, NULL, NULL);
        if (rc == 1 ? stamp.rank < p->epoch : rc == 0 && store_gc_floor(n->store) < p->epoch)
            look_broken(v, "%s runs %s/%s under epoch %lld, but knows of %lld only [I11]", look_name(v, i),
                        p->swarm, p->name, (long long)p->epoch, (long long)stamp.rank);
        row_fini(T_NAME, &row);
    }
}

static void processes_hold(struct invariants *v)
{
    struct crowd c = {.v = v};
    sim_processes(v->sim, process_add, &c);
    qsort(c.all, (size_t)c.n, sizeof *c.all, process_order);
    for (int k = 0; k < c.n; k++) {
        const struct sim_process *p = &c.all[k], *q = k ? &c.all[k - 1] : NULL;
        claimed(v, p);
        if (q && !p->orphan && !q->orphan && p->node == q->node && strcmp(p->swarm, q->swarm) == 0 &&
            strcmp(p->name, q->name) == 0)
            look_broken(v, "%s runs %s/%s twice: pid %d, epoch %lld, and pid %d, epoch %lld [I11]",
                        sim_node_name(p->node), p->swarm, p->name, q->pid, (long long)q->epoch, p->pid,
                        (long long)p->epoch);
    }
}

/* ---- Each second ---- */

/* deep: the bytes of the rows, too, which costs most. */
static void store_holds(struct invariants *v, int i, bool deep)
{
    struct node *n = look_node(v, i);
    struct look *l = &v->looks[i];
    look_read(v, i);
    if (deep) {
        bytes_are_there(v, i, l, n->store);
        rows_are_described(v, i, n->store);
        chunks_are_there(v, i, n->store);
        heard_hold(v, i);
    }
    the_dead_stay_dead(v, i, l);
    drops_are_known(v, i, n);
    for (int j = 0; j < sim_nodes(v->sim); j++) {
        if (j != i && look_node(v, j))
            equal_is_equal(v, i, j);
    }
    all_is_there(v, i);
}

static void second_fire(struct sim *s, void *arg)
{
    struct invariants *v = arg;
    AUTOSTR struct str why = STR_INIT;
    v->why = &why;
    spare(v, true);
    processes_hold(v);
    for (int tries = 0; sim_now_us(s) >= v->read_us && tries < sim_nodes(s); tries++) {
        int i = v->turn_of++ % sim_nodes(s);
        if (!looked_at(v, i))
            continue;
        store_holds(v, i, v->turn_of / sim_nodes(s) % DEEP == 0);
        int64_t rest_us = READ_ROW_US * (int64_t)HASH_COUNT(v->looks[i].rows);
        v->read_us = sim_now_us(s) + (rest_us > READ_US ? rest_us : READ_US);
    }
    spare(v, false);
    if (why.n)
        sim_violation(s, "%s", str_get(&why));
    sim_at(s, sim_now_us(s) + EVERY_US, second_fire, v, NULL);
}

bool invariants_hold(struct invariants *v, struct str *why)
{
    size_t before = why->n;
    v->why = why;
    spare(v, true);
    processes_hold(v);
    for (int round = 0; round < 2; round++) /* the second one compares all with all as they are now */
        for (int i = 0; i < sim_nodes(v->sim); i++)
            if (looked_at(v, i))
                store_holds(v, i, round == 0);
    spare(v, false);
    return why->n == before;
}

/* Every table and index of every node is in order. */
static bool files_hold(struct sim *s, void *ctx, struct str *why)
{
    struct invariants *v = ctx;
    struct err e = {0};
    spare(v, true);
    for (int i = 0; i < sim_nodes(s); i++) {
        struct node *n = look_node(v, i);
        int rc = n ? 1 : 0;
        for (size_t slice = 0; rc > 0; slice++)
            rc = store_check_slice(n->store, slice, &e);
        if (rc < 0)
            str_printf(why, "%s: %s; ", look_name(v, i), e.text);
    }
    spare(v, false);
    return why->n == 0;
}

static bool at_the_end(struct sim *s UNUSED, void *ctx, struct str *why)
{
    return invariants_hold(ctx, why);
}

struct invariants *invariants_new(struct sim *s)
{
    struct invariants *v = mem_alloc(sizeof *v);
    v->sim = s;
    for (int i = 0; i < SIM_NODES_MAX; i++)
        v->looks[i].writes = -1;
    sim_check_add(s, &(struct sim_check){"each turn keeps the invariants", true, each_turn, v});
    sim_check_add(s, &(struct sim_check){"the invariants hold", false, at_the_end, v});
    sim_check_add(s, &(struct sim_check){"the databases are in order", false, files_hold, v});
    sim_at(s, EVERY_US, second_fire, v, NULL);
    return v;
}

void invariants_free(struct invariants *v)
{
    if (!v)
        return;
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        look_clear(&v->looks[i]);
        vv_fini(&v->looks[i].proven);
        vv_fini(&v->looks[i].vv);
    }
    facts_free(&v->keys);
    facts_free(&v->writers);
    free(v);
}
