/* What passes between the nodes besides rows: calls for others, comparisons; and rows that rot. */
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "made.h"
#include "node/compare_inside.h"
#include "node/relay.h"
#include "wire/digest.h"
#include "world/event.h"

/* ---- calls for others ---- */

static const char *const passed_on[] = {PING_PATH, PULL, RESYNC, "/v1/peer/mail", COMPARE, "/v1/status"};

/* path u8, target u8, time u8, body. */
void make_relay(struct rig *g, const struct mate *by, struct feed f)
{
    static const struct id nobody;
    const struct id *const targets[] = {&mate_b.id, &mate_c.id, &self, &nobody};
    AUTOSTR struct str s = STR_INIT;
    const char *path = passed_on[take(&f) % COUNT(passed_on)];
    buf_id(&s, targets[take(&f) % COUNT(targets)]);
    buf_varint(&s, take(&f) * 50);
    buf_text(&s, path);
    buf_bytes(&s, f.p, f.n);
    peer_posts(g, by, RELAY_PATH, str_get(&s), s.n);
}

/* Something that `by` passes on. path u8, for whom u8: B, C, this node, or what follows up to a line break;
 * then the body. Only what relay_speaks_for lets through is heard. */
void make_relayed(struct rig *g, const struct mate *by, struct feed f)
{
    static const struct id *const origins[] = {&mate_b.id, &mate_c.id, &self};
    char id[ID_TEXT];
    const char *path = passed_on[take(&f) % COUNT(passed_on)];
    unsigned whom = take(&f) % (COUNT(origins) + 1);
    struct principal who = {.role = ROLE_PEER, .node = by->id};
    AUTOSTR struct str query = STR_INIT;
    if (whom < COUNT(origins))
        str_printf(&query, "for=%s", id_text(origins[whom], id));
    while (whom == COUNT(origins) && f.n > 0 && *f.p != '\n' && *f.p != 0)
        str_printf(&query, "%c", (int)take(&f));
    const struct frozen *now = node_frozen(g->node);
    bool may = relay_speaks_for(now, path, str_get(&query), &who);
    frozen_unref(now);
    ensure(!may || !id_equal(&who.node, &self), "somebody speaks for this node");
    ensure(memchr(who.name, 0, sizeof who.name), "a name without an end");
    if (!may)
        return;
    if (strcmp(path, PULL) == 0)
        pulled(g, &who.node, f.p, f.n);
    else if (strcmp(path, PING_PATH) == 0)
        pinged(g, &who.node, f.p, f.n);
    else {
        struct request *r = request_new(g, HTTP_M_POST, path, f.p, f.n);
        r->who = who;
        asked(g, r);
    }
}

/* ---- damage ---- */

static void copy_keep(struct rig *g, const char *key, struct str *bytes TAKES)
{
    struct remote_row row;
    struct err e = {0};
    struct row_copy *list = mem_array(g->whole_n + 1, sizeof *list);
    if (g->whole_n)
        memcpy(list, g->whole, g->whole_n * sizeof *list);
    free(g->whole);
    g->whole = list;
    struct row_copy *one = &list[g->whole_n++];
    one->bytes = *bytes;
    struct reader r = reader_init(str_get(&one->bytes), one->bytes.n);
    ensure(store_read_row(&r, &row, &e) == 0, "our own row cannot be read: %s", e.text);
    one->tbl = mem_copy(row.tbl.p, row.tbl.n);
    one->key = mem_dup(key);
    one->key_n = row.key.n;
    one->stamp = row.stamp;
    one->dead = row.dead;
    digest16(&row.bytes, 1, one->hash);
}

/* table u8, how u8: its bytes, its row, its version, its death. */
void make_rot(struct rig *g, struct feed f)
{
    static const char *const how[] = {
        "UPDATE change SET hash = zeroblob(16) WHERE tbl = '%s' AND key = '%s'",
        "DELETE FROM \"%s\" WHERE '%s' <> ''", "DELETE FROM change WHERE tbl = '%s' AND key = '%s'",
        "UPDATE change SET dead = 1, hash = NULL WHERE tbl = '%s' AND key = '%s'"};
    const char *tbl = table_get((enum table_id)(take(&f) % T_N))->name;
    struct db *db = store_db(node_store(g->node));
    struct stmt *q = stmt_new(db, "SELECT key FROM change WHERE tbl = ? AND dead = 0 ORDER BY key LIMIT 1");
    struct str bytes = STR_INIT;
    struct err e = {0};
    stmt_text(q, 1, tbl);
    AUTOFREE char *key = stmt_step(q, NULL) == 1 ? mem_dup(col_text(q, 0)) : NULL;
    stmt_free(q);
    struct span at = {tbl, strlen(tbl)};
    if (!key || strchr(key, '\'') || g->whole_n > 8 || node_ended(g->node) >= 0)
        return;
    if (scan_fetch(g->node->compare->list, at, (struct span){key, strlen(key)}, &bytes, NULL) == 1)
        copy_keep(g, key, &bytes);
    else
        str_fini(&bytes);
    AUTOSTR struct str sql = STR_INIT;
    str_printf(&sql, how[take(&f) % COUNT(how)], tbl, key);
    ensure(db_exec(db, str_get(&sql), &e) == 0, "%s: %s", str_get(&sql), e.text);
}

/* ---- comparisons: the other side ---- */

enum compare_flag {
    FLAG_UNPROVEN = 1, /* our vector does not cover those rows */
    FLAG_DAMAGED = 2,
    FLAG_ASIDE = 4,
    FLAG_CUT = 8,
    FLAG_BEHIND = 16, /* their vector covers nothing */
    FLAG_OTHER = 32,  /* what is fetched has other bytes */
    FLAG_EQUAL = 64,
    FLAG_LATER = 128, /* asks to be asked again, first */
};

struct other_side {
    unsigned flags;
    struct row_copy *rows;
    size_t rows_n;
    bool later[8], done;
};

static bool has_bucket(const struct other_side *o, unsigned bucket)
{
    for (size_t i = 0; i < o->rows_n; i++)
        if (scan_bucket(o->rows[i].tbl, o->rows[i].key) == bucket)
            return true;
    return false;
}

static bool has_group(const struct other_side *o, unsigned group)
{
    for (size_t i = 0; i < o->rows_n; i++)
        if (scan_bucket(o->rows[i].tbl, o->rows[i].key) / SUMS_EACH == group)
            return true;
    return false;
}

static void put_root(struct rig *g, struct other_side *o, struct str *s)
{
    const struct sums *sums = g->node->compare->sums;
    buf_u8(s, (o->flags & FLAG_EQUAL) != 0);
    for (unsigned i = 0; !(o->flags & FLAG_EQUAL) && i < SUMS_GROUPS; i++) {
        unsigned char digest[DIGEST16_BYTES] = {0};
        if (sums)
            sums_group(sums, i, digest);
        digest[0] = (unsigned char)(digest[0] + has_group(o, i));
        str_add(s, digest, 8);
    }
}

static void put_buckets(struct rig *g, struct other_side *o, struct reader *r, struct str *s)
{
    const struct sums *sums = g->node->compare->sums;
    for (size_t n = read_count(r, 1); n > 0; n--) {
        unsigned group = read_u8(r);
        for (unsigned i = 0; i < SUMS_EACH; i++) {
            unsigned char digest[DIGEST16_BYTES] = {0};
            if (sums)
                sums_bucket(sums, group * SUMS_EACH + i, digest);
            digest[0] = (unsigned char)(digest[0] + has_bucket(o, group * SUMS_EACH + i));
            str_add(s, digest, 8);
            buf_varint(s, 1);
        }
    }
}

static void put_entry(const struct other_side *o, const struct row_copy *row, struct str *s)
{
    buf_bytes(s, row->tbl, strlen(row->tbl));
    buf_bytes(s, row->key, row->key_n);
    buf_i64(s, row->stamp.rank);
    buf_i64(s, row->stamp.hlc);
    buf_i64(s, row->stamp.actor);
    buf_u8(s, (uint8_t)((row->dead ? ENTRY_DEAD : 0) | (o->flags & FLAG_ASIDE ? ENTRY_ASIDE : 0) |
                        (o->flags & FLAG_DAMAGED ? ENTRY_DAMAGED : 0)));
    if (!row->dead)
        str_add(s, row->hash, sizeof row->hash);
}

static void put_keys(struct rig *g, struct other_side *o, struct reader *r, struct str *s)
{
    uint64_t wanted[SUMS_BUCKETS / 64] = {0};
    AUTOSTR struct str entries = STR_INIT;
    size_t count = 0;
    for (size_t n = read_count(r, 4); n > 0; n--) {
        uint32_t bucket = read_u32(r);
        ensure(bucket < SUMS_BUCKETS, "bucket %u is asked for", bucket);
        bit_set(wanted, bucket);
    }
    for (size_t i = 0; i < o->rows_n; i++)
        if (bit_get(wanted, scan_bucket(o->rows[i].tbl, o->rows[i].key))) {
            put_entry(o, &o->rows[i], &entries);
            count++;
        }
    vector_write(s, o->flags & FLAG_BEHIND ? &VV_INIT : &g->node->vv);
    buf_u8(s, (o->flags & FLAG_CUT) != 0);
    buf_varint(s, count);
    str_add(s, str_get(&entries), entries.n);
}

static void put_rows_asked(struct other_side *o, struct reader *r, struct str *s)
{
    AUTOSTR struct str rows = STR_INIT;
    uint32_t count = 0;
    for (size_t n = read_count(r, 2); n > 0; n--) {
        struct span tbl = read_bytes(r), key = read_bytes(r);
        for (size_t i = 0; i < o->rows_n; i++) {
            const struct row_copy *row = &o->rows[i];
            if (!span_equal(span_of(row->tbl, strlen(row->tbl)), tbl) ||
                !span_equal(span_of(row->key, row->key_n), key))
                continue;
            str_add(&rows, str_get(&row->bytes), row->bytes.n);
            count++;
        }
    }
    if (o->flags & FLAG_OTHER && rows.n)
        rows.p[rows.n - 1] ^= 1;
    if (o->flags & FLAG_OTHER && o->flags & FLAG_CUT && rows.n)
        rows.n--;
    buf_u32(s, count);
    str_add(s, str_get(&rows), rows.n);
    o->done = true;
}

static void compare_reply(struct rig *g, struct other_side *o, struct peer_call *call TAKES)
{
    AUTOSTR struct str s = STR_INIT;
    struct reader r = reader_init(call->body, call->body_n);
    read_id(&r);
    read_id(&r);
    unsigned step = read_u8(&r) % COUNT(o->later);
    bool later = o->flags & FLAG_LATER && !o->later[step];
    o->later[step] = true;
    buf_u8(&s, later ? COMPARE_WAIT : COMPARE_OK);
    if (!later && step == STEP_ROOT)
        put_root(g, o, &s);
    else if (!later && step == STEP_BUCKETS)
        put_buckets(g, o, &r, &s);
    else if (!later && step == STEP_KEYS)
        put_keys(g, o, &r, &s);
    else if (!later && step == STEP_FETCH)
        put_rows_asked(o, &r, &s);
    answered(g, call, 200, str_get(&s), s.n);
}

/* A page without rows that proves all rows that may follow. */
static void prove(struct rig *g, const struct mate *by)
{
    static const char spec[] = {PULL_PAGE, 2, 0, 1, (char)0xbf, 2, (char)0xbf, 0};
    make_page(g, by, (struct feed){spec, sizeof spec});
}

/* flags u8, rounds u8, rows: what the other side has and this one has not, or not so. */
void make_comparison(struct rig *g, const struct mate *by, struct feed f)
{
    struct other_side o = {.flags = take(&f)}, same = {.flags = FLAG_EQUAL};
    unsigned rounds = 1 + take(&f) % 3;
    o.rows_n = rows_sorted(g, &f, &o.rows);
    if (!(o.flags & FLAG_UNPROVEN))
        prove(g, by);
    for (int i = 0; i < 80 && rounds > 0 && node_ended(g->node) < 0; i++) {
        struct peer_call *call = call_take_path(g, by, COMPARE);
        struct peer_call *another = call_take_path(g, by == &mate_b ? &mate_c : &mate_b, COMPARE);
        if (call)
            compare_reply(g, &o, call);
        if (another)
            compare_reply(g, &same, another);
        good_pongs(g);
        pass(g, 100);
        rounds -= o.done;
        o.done = false;
    }
    copies_free(o.rows, o.rows_n);
}

/* step u8, then for a root equal u8, for buckets and keys of which rows, and what is asked for: rows. */
void make_compare_ask(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    unsigned char root[DIGEST16_BYTES] = {0};
    struct row_copy *rows;
    unsigned step = take(&f) % (STEP_FETCH + 2);
    buf_u8(&s, (uint8_t)step);
    if (step == STEP_ROOT) {
        if (take(&f) & 1 && g->node->compare->sums)
            sums_root(g->node->compare->sums, root);
        str_add(&s, root, sizeof root);
    }
    size_t n = rows_sorted(g, &f, &rows);
    if (step == STEP_BUCKETS) {
        buf_varint(&s, SUMS_GROUPS);
        for (unsigned i = 0; i < SUMS_GROUPS; i++)
            buf_u8(&s, (uint8_t)i);
    } else if (step == STEP_KEYS || step == STEP_FETCH) {
        buf_varint(&s, n);
    }
    for (size_t i = 0; i < n; i++)
        if (step == STEP_KEYS) {
            buf_u32(&s, scan_bucket(rows[i].tbl, rows[i].key));
        } else if (step == STEP_FETCH) {
            buf_bytes(&s, rows[i].tbl, strlen(rows[i].tbl));
            buf_bytes(&s, rows[i].key, rows[i].key_n);
        }
    copies_free(rows, n);
    peer_posts(g, by, COMPARE, str_get(&s), s.n);
}
