/* child_list: the supervised processes of a swarm: which of them, by what is asked for; or how many.
 *
 * The filters are held against the rows, and only what passes is shown in full: one pass over the names, or
 * over those of a tag.
 */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

#define LOOKED_AT_MAX 50000 /* for one page: then it ends, and the next one goes on from there */

struct list_query {
    char *after, *tag, *node, *where;
    int64_t limit;
    int status;
    bool count;
};
static const char *const status_words[] = {"any",    "starting", "running", "backoff", "stopping",
                                           "moving", "stopped",  "failed",  NULL};
static const struct uri_param list_params[] = {
    {.name = "limit", .kind = URI_INT, .offset = offsetof(struct list_query, limit), .min = 1, .max = 1000},
    {.name = "after", .kind = URI_NAME, .offset = offsetof(struct list_query, after)},
    {.name = "tag", .kind = URI_TEXT, .offset = offsetof(struct list_query, tag)},
    {.name = "node", .kind = URI_NAME, .offset = offsetof(struct list_query, node)},
    {.name = "where", .kind = URI_TEXT, .offset = offsetof(struct list_query, where)},
    {.name = "count", .kind = URI_BOOL, .offset = offsetof(struct list_query, count)},
    {.name = "status",
     .kind = URI_WORD,
     .offset = offsetof(struct list_query, status),
     .words = status_words},
};

/* ---- what passes ---- */

struct filter {
    const struct list_query *q;
    const char *value; /* of where; borrowed */
    char *key;         /* of where; owned */
};

/* where=FIELD:value */
static int filter_init(struct filter *f, const struct list_query *q, struct err *e)
{
    const char *colon = q->where ? strchr(q->where, ':') : NULL;
    *f = (struct filter){.q = q};
    if (q->where && (!colon || colon == q->where))
        return err_field(e, SKEP_EARG, "where",
                         "must be FIELD:value, a member of the metadata and what it is");
    if (q->count && (q->limit || q->after))
        return err_field(e, SKEP_EARG, "count", "counts all of them; leave out limit and after");
    if (colon) {
        f->key = mem_copy(q->where, (size_t)(colon - q->where));
        f->value = colon + 1;
    }
    return 0;
}

/* Of rows of any node and version: looked at before it is trusted. */
static struct span member_of(const char *metadata, const char *key)
{
    size_t n = metadata ? strlen(metadata) : 0;
    return n && json_check(metadata, n, NULL) == 0 ? json_raw_member(metadata, n, key)
                                                   : (struct span){NULL, 0};
}

/* Whether a member of the metadata is this text, or (unless it must be a text) reads like it: a number, true,
 * null. */
static bool member_is(const char *metadata, const char *key, const char *value, bool as_text)
{
    AUTOSTR struct str text = STR_INIT;
    struct span raw = member_of(metadata, key);
    if (!raw.p)
        return false;
    if (json_unquote(raw, &text))
        return strcmp(str_get(&text), value) == 0;
    raw = json_trim(raw);
    return !as_text && raw.n == strlen(value) && memcmp(raw.p, value, raw.n) == 0;
}

static bool passes(const struct filter *f, const char *node, const char *status, const char *metadata)
{
    const struct list_query *q = f->q;
    if (q->status && strcmp(status, status_words[q->status]) != 0)
        return false;
    if (q->node && strcmp(node, q->node) != 0)
        return false;
    if (q->tag && !member_is(metadata, "tag", q->tag, true))
        return false;
    return !f->key || member_is(metadata, f->key, f->value, false);
}

/* ---- one pass ---- */

/* A row of Q_CHILD_FACTS or Q_CHILD_TAGGED. */
struct seen {
    const char *name, *node, *status; /* borrowed until the next step */
};

/* 1: one that passes; 0: the end, or nothing is left to look at. *after: how far it has come. */
static int next(struct stmt *s, const struct filter *f, const struct frozen *frozen, int64_t *left,
                char **after, struct seen *ret, struct err *e)
{
    int rc = 0;
    while (*left > 0 && (rc = stmt_step(s, e)) == 1) {
        const struct child_facts facts = {col_is_null(s, 1) ? NULL : col_text(s, 1),
                                          col_is_null(s, 4) ? NULL : col_text(s, 4), col_i64(s, 2),
                                          col_i64(s, 3), col_i64(s, 5)};
        const char *status = show_status(&facts, frozen);
        const char *node = facts.owner ? frozen_name_of(frozen, facts.owner) : "";
        *ret = (struct seen){col_text(s, 0), node, status};
        --*left;
        if (after)
            mem_replace(after, ret->name);
        if (passes(f, node, ret->status, col_is_null(s, 6) ? NULL : col_text(s, 6)))
            return 1;
    }
    return *left > 0 ? rc : 0;
}

static struct stmt *ask(const struct call *c, const struct reading *r, const char *after)
{
    const struct list_query *q = c->query;
    return q->tag ? store_ask(r->store, Q_CHILD_TAGGED, "ttt", c->param[0], after, q->tag)
                  : store_ask(r->store, Q_CHILD_FACTS, "tt", c->param[0], after);
}

/* ---- how many ---- */

struct tally {
    struct {
        char *word; /* owned */
        int64_t n;
    } * list;
    size_t n, cap;
};

static void tally_add(struct tally *t, const char *word)
{
    size_t i = 0;
    while (i < t->n && strcmp(t->list[i].word, word) != 0)
        i++;
    if (i == t->n) {
        ARRAY_GROW(t->list, t->n, t->cap);
        t->list[t->n].word = mem_dup(word);
        t->list[t->n++].n = 0;
    }
    t->list[i].n++;
}

static void tally_write(struct tally *t, const char *key, struct jw *j)
{
    jw_kv_object(j, key);
    for (size_t i = 0; i < t->n; i++) {
        jw_kv_i64(j, t->list[i].word, t->list[i].n);
        free(t->list[i].word);
    }
    jw_object_close(j);
    free(t->list);
}

static int count_read(const struct call *c, const struct reading *r, const struct filter *f, struct str *body,
                      struct err *e)
{
    struct tally nodes = {0}, statuses = {0};
    struct seen one;
    struct jw j = jw_init(body);
    int64_t n = 0, left = INT64_MAX;
    int rc;
    struct stmt *s = ask(c, r, "");
    for (; (rc = next(s, f, r->frozen, &left, NULL, &one, e)) == 1; n++) {
        tally_add(&nodes, one.node);
        tally_add(&statuses, one.status);
    }
    stmt_reset(s);
    jw_object(&j);
    jw_kv_i64(&j, "count", n);
    tally_write(&nodes, "nodes", &j);
    tally_write(&statuses, "statuses", &j);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

/* ---- which ---- */

static int page_read(const struct call *c, const struct reading *r, const struct filter *f, struct str *body,
                     struct err *e)
{
    const struct list_query *q = c->query;
    int64_t limit = q->limit ? q->limit : API_LIST_LIMIT, shown = 0, left = LOOKED_AT_MAX;
    AUTOFREE char *after = mem_dup(q->after ? q->after : "");
    struct jw j = jw_init(body);
    struct seen one;
    int rc = 1;
    jw_object(&j);
    jw_kv_array(&j, "children");
    struct stmt *s = ask(c, r, after);
    while (shown < limit && body->n < API_LIST_BYTES &&
           (rc = next(s, f, r->frozen, &left, &after, &one, e)) == 1) {
        int found = show_child(r->store, r->frozen, c->param[0], after, &j, NULL, e);
        if (found < 0) {
            stmt_reset(s);
            return found;
        }
        shown += found;
    }
    stmt_reset(s);
    jw_array_close(&j);
    jw_kv_string(&j, "next", rc == 1 || left == 0 ? after : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    struct filter f;
    int rc = filter_init(&f, q, e);
    if (rc == 0 && !api_swarm_exists(r->store, c->param[0], e))
        rc = e->code;
    if (rc == 0)
        rc = q->count ? count_read(c, r, &f, body, e) : page_read(c, r, &f, body, e);
    free(f.key);
    return rc;
}

const struct route child_list_routes[] = {
    {HTTP_M_GET, "/v1/swarms/{swarm}/children", ROLE_READ, API_READER, API_BODY_BYTES, true, list_params,
     COUNT(list_params), sizeof(struct list_query), NULL, list_read, NULL,
     "List the processes of a swarm, in byte order of their names; or count them."},
    {0},
};
