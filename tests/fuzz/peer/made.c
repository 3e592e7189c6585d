/* Rows, vectors, and what moves them: pages, pull requests, RESYNC. */
#include "made.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "node/brain.h"
#include "wire/digest.h"
#include "world/event.h"

#define ROWS_MAX    32   /* of one message */
#define TABLE_LATER 0xf8 /* from this byte on */
#define BASE_HLC    ((REAL_MS + 100000) << 16)

unsigned take(struct feed *f)
{
    if (f->n == 0)
        return 0;
    f->n--;
    return (unsigned char)*f->p++;
}

void copies_free(struct row_copy *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].tbl);
        free(list[i].key);
        str_fini(&list[i].bytes);
    }
    free(list);
}

/* ---- rows ---- */

static const char *const texts[] = {"",
                                    "w",
                                    "default",
                                    "02000000000000000000000000000000",
                                    "01000000000000000000000000000000",
                                    "{}",
                                    "{\"argv\":[\"w\"],\"ready\":\"spawn\",\"handoff\":true}",
                                    "{\"nodes\":[\"a\"]}",
                                    "running",
                                    "child",
                                    "address",
                                    "session",
                                    "s",
                                    "e1",
                                    "user",
                                    "\"half"};

/* A value of a column, from one byte: NULL, a small number, a moment, a text that means something there. */
static struct val value(const struct col *c, unsigned what)
{
    if (what == 0xff || (what == 0xfe && c->type != VAL_TEXT))
        return (struct val){.type = VAL_NULL};
    switch (c->type) {
    case VAL_INT:
        return (struct val){.type = VAL_INT,
                            .i = what < 0x80   ? (int64_t)what - 2
                                 : what < 0xf0 ? (REAL_MS + 1000 * (int64_t)what) << (what % 2 ? 16 : 0)
                                               : TABLE_INT_MAX - (what & 1)};
    case VAL_REAL:
        return (struct val){.type = VAL_REAL, .real = what};
    case VAL_TEXT:
    case VAL_BLOB:
    case VAL_NULL:
        break;
    }
    const char *text = texts[what % COUNT(texts)];
    return (struct val){.type = c->type, .p = text, .n = strlen(text)};
}

/* Of a table that a newer version has. */
static int row_of_later(struct str *s, struct feed *f, unsigned flags, unsigned age)
{
    char bytes[] = {1, 2, 3, (char)take(f)};
    buf_bytes(s, "later", 5);
    buf_bytes(s, "k", 1);
    buf_i64(s, 0);
    buf_i64(s, BASE_HLC + age);
    buf_i64(s, flags & 2 ? 78 : 77);
    buf_u8(s, flags & 1);
    buf_bytes(s, bytes, flags & 1 ? 0 : sizeof bytes);
    return 1;
}

int row_make(struct str *s, struct feed *f)
{
    unsigned which = take(f), flags = take(f), age = take(f);
    const struct table *t = table_get((enum table_id)(which % T_N));
    if (which >= TABLE_LATER)
        return row_of_later(s, f, flags, age);
    struct val vals[TABLE_COLS_MAX];
    AUTOSTR struct str key = STR_INIT, bytes = STR_INIT;
    for (size_t i = 0; i < (size_t)t->cols_n; i++)
        vals[i] = value(&t->cols[i], take(f));
    if (!table_fits(t, vals))
        return 0;
    table_key(t, vals, &key);
    row_encode(&bytes, t->cols, vals, (size_t)t->cols_n, (struct span){NULL, 0});
    buf_bytes(s, t->name, strlen(t->name));
    buf_bytes(s, str_get(&key), key.n);
    buf_i64(s, t->epoch >= 0 && !(flags & 4) ? vals[t->epoch].i : flags >> 3);
    buf_i64(s, BASE_HLC + age);
    buf_i64(s, flags & 2 ? 78 : 77);
    buf_u8(s, flags & 1);
    buf_bytes(s, flags & 1 ? "" : str_get(&bytes), flags & 1 ? 0 : bytes.n);
    return 1;
}

static bool copy_make(struct feed *f, struct row_copy *ret)
{
    struct remote_row row;
    struct err e = {0};
    ret->bytes = STR_INIT;
    if (!row_make(&ret->bytes, f))
        return false;
    struct reader r = reader_init(str_get(&ret->bytes), ret->bytes.n);
    if (store_read_row(&r, &row, &e) < 0) { /* half a character, say: pages of WHAT_ROWS have those */
        str_fini(&ret->bytes);
        return false;
    }
    ret->tbl = mem_copy(row.tbl.p, row.tbl.n);
    ret->key = mem_copy(row.key.p, row.key.n);
    ret->key_n = row.key.n;
    ret->stamp = row.stamp;
    ret->dead = row.dead;
    digest16(&row.bytes, 1, ret->hash);
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct row_copy *x = a, *y = b;
    int order = strcmp(x->tbl, y->tbl);
    return order ? order : strcmp(x->key, y->key);
}

static struct row_copy copy_dup(const struct row_copy *from)
{
    struct row_copy to = *from;
    to.tbl = mem_dup(from->tbl);
    to.key = mem_copy(from->key, from->key_n);
    to.bytes = STR_INIT;
    str_add(&to.bytes, str_get(&from->bytes), from->bytes.n);
    return to;
}

size_t rows_sorted(const struct rig *g, struct feed *f, struct row_copy **ret)
{
    struct row_copy *list = mem_array(ROWS_MAX + g->whole_n, sizeof *list);
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < g->whole_n; i++)
        list[n++] = copy_dup(&g->whole[i]);
    while (f->n > 0 && n < ROWS_MAX + g->whole_n)
        n += copy_make(f, &list[n]);
    qsort(list, n, sizeof *list, by_key);
    for (size_t i = 0; i < n; i++)
        if (kept && by_key(&list[kept - 1], &list[i]) == 0) {
            free(list[i].tbl);
            free(list[i].key);
            str_fini(&list[i].bytes);
        } else {
            list[kept++] = list[i];
        }
    *ret = list;
    return kept;
}

/* ---- vectors ---- */

void vector_make(struct rig *g, struct feed *f, struct vv *ret)
{
    unsigned count = take(f) % 5, floor = take(f);
    for (unsigned i = 0; i < count; i++) {
        unsigned who = take(f), when = take(f);
        const int64_t actors[] = {g->node->actor, 77, 78, 79, g->node->actor - 2, 1 + who};
        int64_t actor = actors[who % COUNT(actors)];
        vv_put(ret, actor,
               when == 0     ? vv_get(&g->node->vv, actor)
               : when < 0xc0 ? BASE_HLC + when
               : when < 0xf0 ? (REAL_MS + 1000 * (int64_t)when) << 16
                             : INT64_MAX - when);
    }
    ret->floor = floor == 0     ? 0
                 : floor < 0xc0 ? BASE_HLC + floor
                 : floor < 0xf0 ? (REAL_MS - 1000 * (int64_t)floor) << 16
                                : INT64_MAX - floor;
}

static void put_vector(struct rig *g, struct feed *f, struct str *s)
{
    AUTOVV struct vv v = VV_INIT;
    vector_make(g, f, &v);
    vector_write(s, &v);
}

/* ---- pages ---- */

/* Until the node asks this for a page. */
static void wait_for_pull(struct rig *g, const struct mate *by)
{
    for (int i = 0; i < 40 && !is_asked(g, by, PULL); i++) {
        good_pongs(g);
        pass(g, 20);
    }
}

static void put_rows(struct str *s, struct feed f)
{
    AUTOSTR struct str all = STR_INIT;
    uint32_t count = 0;
    while (f.n > 0 && count < ROWS_MAX)
        count += (uint32_t)row_make(&all, &f);
    buf_u32(s, count);
    str_add(s, str_get(&all), all.n);
}

void make_rows(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    buf_u8(&s, PULL_PAGE);
    vector_write(&s, &VV_INIT);
    buf_u8(&s, false);
    put_rows(&s, f);
    wait_for_pull(g, by);
    answered(g, call_take_path(g, by, PULL), 200, str_get(&s), s.n);
}

/* verdict u8, vector, more u8, rows. */
void make_page(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    wait_for_pull(g, by);
    buf_u8(&s, (uint8_t)(take(&f) % (PULL_BUSY + 2)));
    put_vector(g, &f, &s);
    buf_u8(&s, (uint8_t)(take(&f) % 5));
    put_rows(&s, f);
    answered(g, call_take_path(g, by, PULL), 200, str_get(&s), s.n);
}

/* ---- pull requests ---- */

void pulled(struct rig *g, const struct id *who, const void *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    node_serve_pull(node_store(g->node), g->pullers, who, p, n, &s, NULL);
    turn(g, (struct event){.kind = EV_PULLED, .node = *who, .bytes = mem_copy(p, n), .bytes_n = n});
}

void pinged(struct rig *g, const struct id *who, const void *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    const struct frozen *f = node_frozen(g->node);
    node_serve_ping(f, 1, REAL_MS + g->boot_ms, p, n, &s, NULL);
    frozen_unref(f);
    turn(g, (struct event){.kind = EV_PINGED, .node = *who, .bytes = mem_copy(p, n), .bytes_n = n});
}

/* number u8, base u8, what it has, what it dropped, its cursor: three vectors. */
void make_pull(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    buf_u8(&s, PULL_PROTO);
    buf_id(&s, &cluster);
    buf_id(&s, &by->id);
    buf_i64(&s, by->actor);
    buf_varint(&s, take(&f));
    buf_varint(&s, take(&f));
    for (int i = 0; i < 3; i++)
        put_vector(g, &f, &s);
    pulled(g, &by->id, str_get(&s), s.n);
}

/* ---- RESYNC ---- */

/* Until the node asks this for a page of a RESYNC; if it wants none, it is told that it needs one. */
static struct peer_call *resync_call(struct rig *g, const struct mate *by)
{
    static const char needed[] = {PULL_RESYNC};
    struct peer_call *call = NULL;
    if (!g->node->resync.wanted) {
        wait_for_pull(g, by);
        answered(g, call_take_path(g, by, PULL), 200, needed, sizeof needed);
    }
    for (int i = 0; i < 30 && !(call = call_take_path(g, by, RESYNC)); i++) {
        good_pongs(g);
        pass(g, 50);
    }
    return call;
}

/* flags u8 (1 more, 2 another verdict, 4 out of order), its vector, what it dropped, floor of that u8, rows.
 */
void make_resync_page(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    struct row_copy *rows;
    struct peer_call *call = resync_call(g, by);
    unsigned flags = take(&f);
    buf_u8(&s, flags & 2 ? (uint8_t)((flags >> 3) % (PULL_BUSY + 2)) : PULL_PAGE);
    put_vector(g, &f, &s);
    put_vector(g, &f, &s);
    unsigned floor = take(&f);
    buf_i64(&s, floor < 0x80 ? (floor ? BASE_HLC + (int64_t)floor : 0) : BASE_HLC * (floor % 3));
    buf_u8(&s, flags & 1);
    size_t n = rows_sorted(g, &f, &rows);
    buf_u32(&s, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        const struct row_copy *one = &rows[flags & 4 ? n - 1 - i : i];
        str_add(&s, str_get(&one->bytes), one->bytes.n);
    }
    copies_free(rows, n);
    answered(g, call, 200, str_get(&s), s.n);
}

/* behind which table u8, key. */
void make_resync_ask(struct rig *g, const struct mate *by, struct feed f)
{
    AUTOSTR struct str s = STR_INIT;
    unsigned t = take(&f);
    buf_u8(&s, PULL_PROTO);
    buf_id(&s, &cluster);
    buf_id(&s, &by->id);
    buf_i64(&s, by->actor);
    buf_text(&s, t < T_N ? table_get((enum table_id)t)->name : "");
    AUTOFREE char *key = mem_copy(f.p, f.n);
    buf_text(&s, key);
    struct request *r = request_new(g, HTTP_M_POST, RESYNC, str_get(&s), s.n);
    r->who = (struct principal){.role = ROLE_PEER, .node = by->id};
    asked(g, r);
}
