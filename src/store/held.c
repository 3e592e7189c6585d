#include "store/held.h"

#include <stdio.h>

#include "store/inside.h"
#include "wire/json.h"

void held_fini(struct held *h)
{
    free(h->id);
    free(h->tbl);
    free(h->key);
    free(h->why);
    str_fini(&h->bytes);
    *h = (struct held){.bytes = STR_INIT};
}

/* ---- finding ---- */

/* "a:TABLE/KEY" */
static bool aside_id(const char *id, char **ret_tbl, char **ret_key)
{
    const char *slash = strchr(id, '/');
    if (!text_starts(id, "a:") || !slash)
        return false;
    *ret_tbl = mem_copy(id + 2, (size_t)(slash - id - 2));
    *ret_key = mem_dup(slash + 1);
    return true;
}

static bool number_id(const char *id, int64_t *ret)
{
    char *end;
    long long n = strtoll(id, &end, 10);
    *ret = n;
    return n >= 0 && *id >= '0' && *id <= '9' && *end == 0;
}

/* tbl, key, at, why, row, rank, hlc, actor, dead, id */
static int take(struct stmt *q, bool aside, struct held *ret, struct err *e)
{
    int rc = stmt_step(q, e);
    if (rc == 1) {
        held_fini(ret);
        ret->tbl = mem_copy(col_text(q, 0), col_bytes(q, 0));
        ret->key = mem_copy(col_text(q, 1), col_bytes(q, 1));
        ret->at = col_i64(q, 2);
        ret->why = mem_dup(col_text(q, 3));
        str_add(&ret->bytes, col_blob(q, 4), col_bytes(q, 4));
        ret->stamp = (struct stamp){col_i64(q, 5), col_i64(q, 6), col_i64(q, 7)};
        ret->dead = col_i64(q, 8) != 0;
        ret->aside = aside;
        ret->id =
            aside ? mem_printf("a:%s/%s", ret->tbl, ret->key) : mem_printf("%lld", (long long)col_i64(q, 9));
    }
    stmt_reset(q);
    return rc;
}

int held_after(struct store *s, const char *id, struct held *ret, struct err *e)
{
    AUTOFREE char *tbl = NULL, *key = NULL;
    int64_t number = 0;
    if (aside_id(id, &tbl, &key))
        return take(store_ask(s, Q_HELD_ASIDE_AFTER, "tt", tbl, key), true, ret, e);
    if (*id && !number_id(id, &number))
        return err_field(e, SKEP_EARG, "after", "is no id of a row that is held");
    int rc = take(store_ask(s, Q_QUARANTINE_AFTER, "i", number), false, ret, e);
    return rc ? rc : take(store_ask(s, Q_HELD_ASIDE_AFTER, "tt", "", ""), true, ret, e);
}

int held_get(struct store *s, const char *id, struct held *ret, struct err *e)
{
    AUTOFREE char *tbl = NULL, *key = NULL;
    int64_t number;
    if (aside_id(id, &tbl, &key))
        return take(store_ask(s, Q_HELD_ASIDE_GET, "tt", tbl, key), true, ret, e);
    if (!number_id(id, &number))
        return 0;
    return take(store_ask(s, Q_QUARANTINE_GET, "i", number), false, ret, e);
}

/* ---- showing ---- */

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void column(const struct col *c, const struct val *v, bool json, struct jw *j)
{
    AUTOSTR struct str hex = STR_INIT;
    AUTOFREE char *text = NULL;
    if (v->type == VAL_NULL) {
        jw_kv_null(j, c->name);
    } else if (v->type == VAL_INT) {
        jw_kv_i64_text(j, c->name, v->i);
    } else if (json && json_check(v->p, v->n, NULL) == 0) {
        jw_kv_raw(j, c->name, (struct span){v->p, v->n});
    } else if (v->type == VAL_TEXT) {
        text = mem_copy(v->p, v->n);
        jw_kv_string(j, c->name, text);
    } else {
        str_hex(&hex, v->p, v->n);
        jw_kv_string(j, c->name, str_get(&hex));
    }
}

bool held_columns(const struct held *h, struct jw *j)
{
    AUTOSTR struct str extra = STR_INIT;
    struct val vals[TABLE_COLS_MAX];
    enum table_id id = table_find(span_of(h->tbl));
    struct span bytes = {str_get(&h->bytes), h->bytes.n};
    if (id == T_N || h->dead)
        return false;
    const struct table *t = table_get(id);
    if (row_decode(bytes, t->cols, vals, (size_t)t->cols_n, &extra, NULL) < 0)
        return false;
    jw_object(j);
    for (int i = 0; i < t->cols_n; i++)
        column(&t->cols[i], &vals[i], t->json & (UINT32_C(1) << i), j);
    jw_object_close(j);
    return true;
}

/* ---- deciding ---- */

/* As a row of this run, above what is there. */
static int restamp(struct store *s, const struct held *h, struct remote_row *ret, struct err *e)
{
    struct version old;
    *ret = (struct remote_row){.t = table_find(span_of(h->tbl)),
                               .tbl = span_of(h->tbl),
                               .key = span_of(h->key),
                               .stamp = {.rank = h->stamp.rank, .actor = s->actor},
                               .dead = h->dead,
                               .bytes = {str_get(&h->bytes), h->bytes.n}};
    int rc = version_get(s, ret->tbl, ret->key, &old, e);
    if (rc < 0)
        return rc;
    if (old.found && old.stamp.hlc > s->hlc)
        s->hlc = old.stamp.hlc;
    ret->stamp.hlc = store_stamp(s);
    if (old.found && stamp_compare(&old.stamp, &ret->stamp) > 0)
        return err_set(e, SKEP_ECONFLICT,
                       "what is there under %s %s now has a higher epoch than this row, and counts for more: "
                       "drop this one",
                       h->tbl, h->key);
    return 0;
}

static int forget(struct store *s, const struct held *h, struct err *e)
{
    return h->aside ? 0 : store_do(s, Q_QUARANTINE_DROP, e, "i", (int64_t)strtoll(h->id, NULL, 10));
}

int held_keep(struct store *s, const struct held *h, struct remote_row *ret_row, struct err *e)
{
    enum merged how;
    int rc = restamp(s, h, ret_row, e);
    if (rc == 0)
        rc = store_merge(s, ret_row, &how, e);
    if (rc < 0)
        return rc;
    if (how != MERGED_TAKEN)
        return err_set(e, SKEP_EARG,
                       "this skep cannot apply the row %s %s: wait for a version that can, or drop it",
                       h->tbl, h->key);
    s->written = ret_row->stamp.hlc;
    return forget(s, h, e);
}

int held_drop(struct store *s, const struct held *h, struct remote_row *ret_row, struct err *e)
{
    enum merged how;
    if (!h->aside)
        return forget(s, h, e);
    int rc = restamp(s, h, ret_row, e);
    ret_row->dead = true;
    ret_row->bytes = (struct span){NULL, 0};
    if (rc == 0)
        rc = store_merge(s, ret_row, &how, e);
    if (rc == 0)
        s->written = ret_row->stamp.hlc;
    return rc;
}
