/* digest: what a node holds, in a few bytes and in detail, so that people can hold nodes against each other.
 *
 * Everything is made anew from the rows (node/compare.h); nothing that was stored is trusted. Each answer is
 * given by the node that it is about.
 */
#include <stdio.h>

#include "api/api.h"
#include "node/compare.h"
#include "node/vector.h"
#include "wire/digest.h"

struct digest_query {
    bool sums;
};
static const struct uri_param digest_params[] = {URI_PARAM(struct digest_query, sums, URI_BOOL)};

/* 1: this is the node that was named; 0: the op is on its way there, or answered. */
static int here(struct node *n, struct op *op, const struct call *c)
{
    struct id id;
    struct err e;
    if (!node_id_of(n, c->param[0], &id) || id_is_zero(&id)) {
        err_field(&e, SKEP_ENOTFOUND, "node", "this cluster has no node %.100s; GET /v1/nodes lists them",
                  c->param[0]);
        return api_fail(n, op, &e);
    }
    if (id_equal(&id, &n->self))
        return 1;
    struct peer *p = peer_find(n, &id);
    if (!p || p->left || p->down) {
        err_field(&e, SKEP_ENOTALIVE, "node", "%.100s does not answer", c->param[0]);
        return api_fail(n, op, &e);
    }
    op_forward(n, op, &id, true);
    return 0;
}

static void put_hex(struct jw *j, const char *key, const void *bytes, size_t count)
{
    AUTOSTR struct str hex = STR_INIT;
    str_hex(&hex, bytes, count);
    if (key)
        jw_kv_string(j, key, str_get(&hex));
    else
        jw_string(j, str_get(&hex));
}

static void put_vector(struct node *n, struct jw *j)
{
    AUTOSTR struct str bytes = STR_INIT;
    unsigned char hash[DIGEST16_BYTES];
    vector_write(&bytes, &n->vv);
    struct span all = {str_get(&bytes), bytes.n};
    digest16(&all, 1, hash);
    put_hex(j, "vector", hash, sizeof hash);
}

static void put_sums(const struct sums *s, struct jw *j)
{
    unsigned char hash[DIGEST16_BYTES];
    jw_kv_array(j, "sums");
    for (unsigned b = 0; b < SUMS_BUCKETS; b++) {
        sums_bucket(s, b, hash);
        put_hex(j, NULL, hash, 8);
    }
    jw_array_close(j);
}

static int digest_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct digest_query *q = c->query;
    struct compare_digest d;
    struct str body = STR_INIT;
    int rc = here(n, op, c);
    if (rc <= 0)
        return rc;
    if (op->st.step == 0) {
        op->st.step = 1;
        op->st.epoch = compare_look(n); /* one that begins after the question */
    }
    if (!compare_looked(n, op->st.epoch, &d)) {
        op_wait_key(n, op, "compare", "");
        return 0;
    }
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "node", n->name);
    put_hex(&j, "digest", d.root, sizeof d.root);
    jw_kv_i64(&j, "rows", (int64_t)d.rows);
    jw_kv_i64(&j, "damaged", d.damaged);
    put_vector(n, &j);
    jw_kv_time(&j, "at", d.began_ms);
    if (q->sums)
        put_sums(d.sums, &j);
    jw_object_close(&j);
    op_answer(n, op, answer_json(200, &body));
    return 0;
}

/* ---- one bucket ---- */

static void put_entry(const struct compare_entry *e, struct jw *j)
{
    char version[64];
    snprintf(version, sizeof version, "%llx-%llx-%llx", (unsigned long long)e->rank,
             (unsigned long long)e->hlc, (unsigned long long)e->actor);
    jw_object(j);
    jw_key(j, "table");
    jw_string_n(j, e->tbl.p, e->tbl.n);
    jw_key(j, "key");
    jw_string_n(j, e->key.p, e->key.n);
    jw_kv_string(j, "version", version);
    if (e->dead)
        jw_kv_null(j, "hash");
    else
        put_hex(j, "hash", e->hash, sizeof e->hash);
    jw_kv_bool(j, "dead", e->dead);
    jw_kv_bool(j, "aside", e->aside);
    jw_kv_bool(j, "damaged", e->damaged);
    jw_object_close(j);
}

static int bucket_serve(struct node *n, struct op *op, const struct call *c)
{
    AUTOSTR struct str entries = STR_INIT;
    struct str body = STR_INIT;
    struct compare_entry entry;
    struct err e;
    int64_t bucket;
    uint32_t count;
    if (!text_i64(c->param[1], 0, SUMS_BUCKETS - 1, &bucket)) {
        err_field(&e, SKEP_EARG, "bucket", "a bucket is a number from 0 to %d", SUMS_BUCKETS - 1);
        return api_fail(n, op, &e);
    }
    int rc = here(n, op, c);
    if (rc <= 0)
        return rc;
    if (compare_bucket(n, (unsigned)bucket, &entries, &count) == 0) {
        op_wait_key(n, op, "compare", "");
        return 0;
    }
    struct reader r = reader_init(str_get(&entries), entries.n);
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "node", n->name);
    jw_kv_array(&j, "rows");
    for (uint32_t i = 0; i < count && compare_entry_read(&r, &entry); i++)
        put_entry(&entry, &j);
    jw_array_close(&j);
    jw_object_close(&j);
    op_answer(n, op, answer_json(200, &body));
    return 0;
}

const struct route digest_routes[] = {
    {HTTP_M_GET, "/v1/nodes/{node}/digest", ROLE_READ, API_BRAIN, API_BODY_BYTES, false, digest_params,
     COUNT(digest_params), sizeof(struct digest_query), NULL, NULL, digest_serve,
     "Check all rows of a node now, and show their digest; ?sums=true adds those of its 4096 buckets."},
    {HTTP_M_GET, "/v1/nodes/{node}/digest/{bucket}", ROLE_READ, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0,
     NULL, NULL, bucket_serve, "List the rows of one bucket on a node, with their versions and hashes."},
    {0},
};
