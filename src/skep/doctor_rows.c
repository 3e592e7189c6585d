/* The rows of all nodes, held against each other: every node checks its own anew, and says what it has. While
 * somebody writes, two answers are of two moments; so what differs is asked for again, and counts only where
 * it stays while no node has learned anything.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/list.h"
#include "skep/doctor.h"

#define NODES_MAX   64
#define TRIES       5
#define PAUSE_MS    1500
#define NAMED_MAX   20 /* keys that are named */
#define BUCKETS_MAX 20
#define NEWEST      5
#define LOOK_MS     "120000" /* that a node may need for its rows */

struct holder {
    char *name, *digest, *vector; /* owned */
    char *body;                   /* owned: its sums are in it */
    size_t body_n;
    bool moved; /* it learned something since the last try */
};

struct holders {
    struct holder at[NODES_MAX];
    size_t n;
};

static void holders_fini(struct holders *all)
{
    for (size_t i = 0; i < all->n; i++) {
        free(all->at[i].name);
        free(all->at[i].digest);
        free(all->at[i].vector);
        free(all->at[i].body);
    }
}

/* Those that answer. */
static int find_all(struct cli *c, struct holders *ret, struct err *e)
{
    struct http_answer a = {0};
    struct span item;
    int rc = cli_call_json(c, "GET", "/v1/nodes?limit=1000&status=healthy", NULL, &a, e);
    struct json_iter it =
        json_iter_init(rc ? (struct span){NULL, 0} : json_raw_member(a.body, a.body_n, "nodes"));
    while (rc == 0 && ret->n < NODES_MAX && json_iter_next(&it, NULL, &item))
        ret->at[ret->n++].name = text_at(item, "name");
    http_answer_fini(&a);
    return rc;
}

static int ask_one(struct doctor *d, struct cli *c, struct holder *h)
{
    struct http_answer a = {0};
    struct err why = {0};
    char *path AUTOFREE = path_printf("/v1/nodes/%s/digest?sums=true&timeout_ms=" LOOK_MS, h->name);
    if (cli_call_json(c, "GET", path, NULL, &a, &why)) {
        doctor_finding(d, BAD, "rows", "%s: %s", h->name, why.text);
        http_answer_fini(&a);
        return -1;
    }
    struct span doc = {a.body, a.body_n};
    char *vector AUTOFREE = text_at(doc, "vector"), *damaged AUTOFREE = text_at(doc, "damaged");
    h->moved = !h->vector || strcmp(h->vector, vector) != 0;
    if (!h->body && strcmp(damaged, "0") != 0)
        doctor_finding(d, BAD, "rows", "%s has %s damaged rows; GET /v1/incidents there names them", h->name,
                       damaged);
    free(h->digest);
    free(h->vector);
    free(h->body);
    h->digest = text_at(doc, "digest");
    h->vector = TAKE(vector);
    h->body_n = a.body_n;
    h->body = TAKE(a.body);
    http_answer_fini(&a);
    return 0;
}

static bool are_equal(const struct holders *all)
{
    for (size_t i = 1; i < all->n; i++)
        if (strcmp(all->at[i].digest, all->at[0].digest) != 0)
            return false;
    return true;
}

static bool any_moved(const struct holders *all)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->at[i].moved)
            return true;
    return false;
}

/* ---- what differs ---- */

struct held_row {
    char *id; /* "table key"; owned */
    size_t node;
    char *says; /* "version, hash …"; owned */
};

struct held_rows {
    struct held_row *at;
    size_t n, cap;
};

static void held_fini(struct held_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        free(rows->at[i].id);
        free(rows->at[i].says);
    }
    free(rows->at);
}

static char *row_says(struct span row)
{
    char *version AUTOFREE = text_at(row, "version"), *hash AUTOFREE = text_at(row, "hash");
    char *dead AUTOFREE = text_at(row, "dead"), *damaged AUTOFREE = text_at(row, "damaged");
    char *aside AUTOFREE = text_at(row, "aside");
    return mem_printf("%s %.12s%s%s", version, strcmp(dead, "true") == 0 ? "deleted" : hash,
                      strcmp(aside, "true") == 0 ? " (aside)" : "",
                      strcmp(damaged, "true") == 0 ? " (damaged)" : "");
}

static void list_bucket(struct doctor *d, struct cli *c, const struct holders *all, size_t node,
                        unsigned bucket, struct held_rows *ret)
{
    struct http_answer a = {0};
    struct err why = {0};
    struct span row;
    char number[12];
    snprintf(number, sizeof number, "%u", bucket);
    char *path AUTOFREE =
        path_printf("/v1/nodes/%s/digest/%s?timeout_ms=" LOOK_MS, all->at[node].name, number);
    if (cli_call_json(c, "GET", path, NULL, &a, &why)) {
        doctor_finding(d, BAD, "rows", "%s: %s", all->at[node].name, why.text);
        http_answer_fini(&a);
        return;
    }
    struct json_iter it = json_iter_init(json_raw_member(a.body, a.body_n, "rows"));
    while (json_iter_next(&it, NULL, &row)) {
        char *table AUTOFREE = text_at(row, "table"), *key AUTOFREE = text_at(row, "key");
        ARRAY_GROW(ret->at, ret->n, ret->cap);
        ret->at[ret->n++] = (struct held_row){mem_printf("%s %s", table, key), node, row_says(row)};
    }
    http_answer_fini(&a);
}

static const char *held_by(const struct held_rows *rows, const char *id, size_t node)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->at[i].node == node && strcmp(rows->at[i].id, id) == 0)
            return rows->at[i].says;
    return "not there";
}

/* A tombstone that one node has dropped already and another has not is no difference. */
static bool differs(const struct held_rows *rows, const struct holders *all, const char *id)
{
    const char *first = NULL;
    for (size_t i = 0; i < all->n; i++) {
        const char *says = held_by(rows, id, i);
        says = strstr(says, " deleted") ? "not there" : says;
        if (first && strcmp(first, says) != 0)
            return true;
        first = says;
    }
    return false;
}

static bool named_before(const struct held_rows *rows, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(rows->at[k].id, rows->at[i].id) == 0)
            return true;
    return false;
}

static int name_rows(struct doctor *d, const struct held_rows *rows, const struct holders *all, int left)
{
    for (size_t i = 0; i < rows->n && left > 0; i++) {
        struct str text AUTOSTR = STR_INIT;
        if (named_before(rows, i) || !differs(rows, all, rows->at[i].id))
            continue;
        str_printf(&text, "%s:", rows->at[i].id);
        for (size_t k = 0; k < all->n; k++)
            str_printf(&text, "%s %s has %s", k ? ";" : "", all->at[k].name,
                       held_by(rows, rows->at[i].id, k));
        doctor_finding(d, BAD, "row", "%s", str_get(&text));
        left--;
    }
    return left;
}

/* The buckets whose sums are not the same everywhere. */
static size_t differing_buckets(const struct holders *all, unsigned ret[BUCKETS_MAX])
{
    struct json_iter it[NODES_MAX];
    struct span first, other;
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        it[i] = json_iter_init(json_raw_member(all->at[i].body, all->at[i].body_n, "sums"));
    for (unsigned b = 0; n < BUCKETS_MAX && json_iter_next(&it[0], NULL, &first); b++) {
        bool same = true;
        for (size_t i = 1; i < all->n; i++)
            same = json_iter_next(&it[i], NULL, &other) && other.n == first.n &&
                   memcmp(other.p, first.p, first.n) == 0 && same;
        if (!same)
            ret[n++] = b;
    }
    return n;
}

static void name_differences(struct doctor *d, struct cli *c, const struct holders *all)
{
    unsigned buckets[BUCKETS_MAX];
    size_t n = differing_buckets(all, buckets);
    int left = NAMED_MAX;
    for (size_t b = 0; b < n && left > 0; b++) {
        struct held_rows rows = {0};
        for (size_t i = 0; i < all->n; i++)
            list_bucket(d, c, all, i, buckets[b], &rows);
        left = name_rows(d, &rows, all, left);
        held_fini(&rows);
    }
    if (left == 0 || n == BUCKETS_MAX)
        doctor_finding(d, BAD, "rows", "there is more that differs than is named here");
}

/* Side by side, what each node has. */
static void tell_each(struct doctor *d, enum verdict how, const struct holders *all)
{
    for (size_t i = 0; i < all->n; i++) {
        char *rows AUTOFREE = text_at((struct span){all->at[i].body, all->at[i].body_n}, "rows");
        doctor_finding(d, how, "rows", "%s has %s rows, digest %s", all->at[i].name, rows, all->at[i].digest);
    }
}

static void tell_equal(struct doctor *d, const struct holders *all)
{
    struct str names AUTOSTR = STR_INIT;
    tell_each(d, GOOD, all);
    if (all->n < 2)
        return;
    for (size_t i = 0; i < all->n; i++)
        str_printf(&names, "%s%s", i ? ", " : "", all->at[i].name);
    doctor_finding(d, GOOD, "rows", "the same on %s", str_get(&names));
}

static void tell_different(struct doctor *d, struct cli *c, const struct holders *all)
{
    if (any_moved(all)) {
        doctor_finding(d, WARN, "rows",
                       "the nodes differ, but somebody writes all the time: ask again when it is quiet");
        return;
    }
    tell_each(d, BAD, all);
    name_differences(d, c, all);
}

void doctor_rows(struct doctor *d, struct cli *c)
{
    CLEANUP(holders_fini) struct holders all = {0};
    struct err why = {0};
    if (find_all(c, &all, &why) || all.n == 0)
        return; /* said already: it does not answer */
    for (int try = 0; try < TRIES; try++) {
        for (size_t i = 0; i < all.n; i++)
            if (ask_one(d, c, &all.at[i]))
                return;
        if (are_equal(&all)) {
            tell_equal(d, &all);
            return;
        }
        if (try > 0 && !any_moved(&all))
            break; /* nobody has learned anything: it is as it is */
        usleep(PAUSE_MS * 1000);
    }
    tell_different(d, c, &all);
}

/* ---- incidents ---- */

void doctor_incidents(struct doctor *d, struct cli *c)
{
    char *newest[NEWEST] = {NULL}, *after AUTOFREE = NULL;
    size_t n = 0;
    for (int page = 0; page < 100; page++) {
        struct http_answer a = {0};
        struct span item;
        char *path AUTOFREE = after && *after ? path_printf("/v1/incidents?limit=1000&after=%s", after)
                                              : mem_dup("/v1/incidents?limit=1000");
        if (cli_call_json(c, "GET", path, NULL, &a, NULL)) {
            http_answer_fini(&a);
            break;
        }
        struct json_iter it = json_iter_init(json_raw_member(a.body, a.body_n, "incidents"));
        while (json_iter_next(&it, NULL, &item)) {
            char *at AUTOFREE = text_at(item, "at"), *type AUTOFREE = text_at(item, "type");
            char *what AUTOFREE = text_at(item, "data"), *name AUTOFREE = text_at(item, "name");
            free(newest[n % NEWEST]);
            newest[n++ % NEWEST] = mem_printf("%s %s%s%s %s", at, type, *name ? " " : "", name, what);
        }
        free(after);
        after = text_at((struct span){a.body, a.body_n}, "next");
        http_answer_fini(&a);
        if (!*after)
            break;
    }
    for (size_t i = n > NEWEST ? n - NEWEST : 0; i < n; i++)
        doctor_finding(d, WARN, "incident", "%s", newest[i % NEWEST]);
    for (size_t i = 0; i < NEWEST; i++)
        free(newest[i]);
}
