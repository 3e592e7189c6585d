/* session: sessions, their entries and state over HTTP; turns are turn.c's.
 *
 * Reads are local. A write goes to the session's owner (node/session.h), which answers; what is made gets an
 * id that depends on the request alone, so that a request that ran twice made one thing.
 */
#include <stdio.h>
#include <string.h>

#include "api/session.h"
#include "node/template.h"

#define ROLE_BYTES_MAX 64
#define TTL_MS_MAX     INT64_C(315360000000) /* ten years */

static struct span text(const char *s, const char *otherwise)
{
    s = s ? s : otherwise;
    return s ? (struct span){s, strlen(s)} : (struct span){NULL, 0};
}

static int no_session(struct err *e, const char *id)
{
    return err_set(e, SKEP_ENOSESSION, "there is no session %s; POST /v1/sessions makes one", id);
}

/* ---- showing ---- */

int64_t session_version(struct store *s, enum table_id t, const void *row)
{
    struct stamp v = {0};
    return store_version(s, t, row, &v, NULL, NULL) == 1 ? v.hlc : 0;
}

static int64_t session_rev(struct store *s, const struct name_row *claim, const struct session_row *row)
{
    int64_t a = session_version(s, T_NAME, claim), b = session_version(s, T_SESSION, row);
    return a > b ? a : b;
}

static void write_session(struct jw *j, const struct session *s, int resume, const char *owner, int64_t rev)
{
    jw_object(j);
    jw_kv_string(j, "id", s->row.session);
    jw_kv_string(j, "owner", owner);
    jw_kv_i64_text(j, "epoch", s->claim.epoch);
    jw_kv_string(j, "status", s->row.status);
    jw_kv_string(j, "head", s->row.head);
    jw_kv_string(j, "resume", resume_words[resume < 0 ? RESUME_LAZY : resume]);
    jw_kv_string(j, "template", s->row.template);
    jw_kv_string(j, "consistency", s->row.consistency);
    jw_kv_raw(j, "metadata", text(s->row.metadata, "{}"));
    jw_key(j, "ttl_ms");
    if (s->row.ttl_ms)
        jw_i64(j, s->row.ttl_ms);
    else
        jw_null(j);
    jw_kv_time(j, "created_at", s->row.created_at);
    jw_kv_time(j, "updated_at", s->row.updated_at);
    jw_kv_i64_text(j, "rev", rev);
    jw_object_close(j);
}

int show_session(struct store *s, const struct frozen *f, const char *session, struct jw *j, struct err *e)
{
    struct session show = {.claim = {.swarm = mem_dup(""), .name = mem_dup(session)},
                           .row = {.session = mem_dup(session)}};
    int rc = store_load(s, T_SESSION, &show.row, e);
    if (rc == 1 && store_load(s, T_NAME, &show.claim, e) < 0)
        rc = e->code;
    int resume = rc == 1 ? session_resume(s, &show.row, e) : 0;
    if (rc == 1 && resume < 0)
        rc = resume;
    if (rc == 1) {
        const char *owner = show.claim.owner ? frozen_name_of(f, show.claim.owner) : NULL;
        write_session(j, &show, resume, owner, session_rev(s, &show.claim, &show.row));
    }
    session_fini(&show);
    return rc;
}

static void answer_session(struct node *n, struct op *op, const struct session *s, int status, int need)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char etag[32];
    int64_t rev = session_rev(n->store, &s->claim, &s->row);
    int resume = session_resume(n->store, &s->row, NULL);
    write_session(&j, s, resume, s->claim.owner ? node_name_of(n, s->claim.owner) : NULL, rev);
    snprintf(etag, sizeof etag, "%lld", (long long)rev);
    api_answer_copies(n, op, status, &body, etag, store_written(n->store), need);
}

/* ---- lists ---- */

static const struct uri_param page_params[] = {
    URI_PARAM(struct session_page, limit, URI_INT, .min = 1, .max = 1000),
    URI_PARAM(struct session_page, after, URI_TEXT, .max = NAME_BYTES_MAX),
    URI_PARAM(struct session_page, status, URI_TEXT, .max = 32),
};
static const struct uri_param entry_params[] = {
    URI_PARAM(struct session_page, limit, URI_INT, .min = 1, .max = 1000),
    URI_PARAM(struct session_page, after, URI_TEXT, .max = NAME_BYTES_MAX),
    URI_PARAM(struct session_page, head, URI_TEXT, .max = NAME_BYTES_MAX),
};
#define PAGE        .query = page_params, .query_n = 2, .query_bytes = sizeof(struct session_page)
#define STATUS_PAGE .query = page_params, .query_n = 3, .query_bytes = sizeof(struct session_page)
#define HEAD_PAGE   .query = entry_params, .query_n = 3, .query_bytes = sizeof(struct session_page)

int64_t session_page_limit(const struct session_page *q)
{
    return q->limit ? q->limit : 100;
}

void session_page_open(struct jw *j, const char *key)
{
    jw_object(j);
    jw_kv_array(j, key);
}

void session_page_close(struct jw *j, const char *next)
{
    jw_array_close(j);
    jw_kv_string(j, "next", next);
    jw_object_close(j);
    jw_end(j);
}

static int list_sessions(const struct call *c, const struct reading *r, struct str *body,
                         struct answer *ret UNUSED, struct err *e)
{
    const struct session_page *q = c->query;
    struct session_row row = {0};
    AUTOFREE char *last = NULL;
    int64_t left = session_page_limit(q);
    int rc = 0;
    char **ids = mem_array((size_t)left + 1, sizeof *ids);
    size_t count = 0;
    struct stmt *s =
        store_ask(r->store, Q_SESSION_LIST, "tti", q->after ? q->after : "", q->status, left + 1);
    while (count <= (size_t)left && (rc = store_next(s, T_SESSION, &row, e)) == 1)
        ids[count++] = mem_dup(row.session);
    stmt_reset(s);
    row_fini(T_SESSION, &row);
    struct jw j = jw_init(body);
    session_page_open(&j, "sessions");
    for (size_t i = 0; i < count; i++) {
        if (rc >= 0 && i < (size_t)left)
            rc = show_session(r->store, r->frozen, ids[i], &j, e);
        if (i + 1 < (size_t)left && body->n > API_LIST_BYTES)
            left = (int64_t)i + 1;
        if (i + 1 == (size_t)left && count > (size_t)left)
            last = mem_dup(ids[i]);
        free(ids[i]);
    }
    free(ids);
    session_page_close(&j, last);
    return rc < 0 ? rc : 200;
}

static int get_session(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                       struct err *e)
{
    struct jw j = jw_init(body);
    struct session_row row = {.session = (char *)(uintptr_t)c->param[0]};
    struct name_row claim = {.swarm = (char[]){""}, .name = (char *)(uintptr_t)c->param[0]};
    int rc = show_session(r->store, r->frozen, c->param[0], &j, e);
    if (rc < 1)
        return rc < 0 ? rc : no_session(e, c->param[0]);
    jw_end(&j);
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)session_rev(r->store, &claim, &row));
    return 200;
}

/* ---- making and ending ---- */

static const char *const consistency_words[] = {"local", "quorum", NULL};

struct create_body {
    char *id, *template;
    int resume, consistency;
    bool has_resume;
    struct span metadata;
    int64_t ttl_ms;
};
static const struct json_field create_fields[] = {
    JSON_FIELD(struct create_body, id, JSON_NAME, .nullable = true),
    JSON_FIELD(struct create_body, template, JSON_NAME, .nullable = true),
    JSON_FIELD(struct create_body, resume, JSON_WORD, .words = resume_words, .nullable = true,
               .present = offsetof(struct create_body, has_resume)),
    JSON_FIELD(struct create_body, consistency, JSON_WORD, .words = consistency_words),
    JSON_FIELD(struct create_body, metadata, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct create_body, ttl_ms, JSON_INT, .nullable = true, .min = 1, .max = TTL_MS_MAX),
};
static const struct json_table create_table = JSON_TABLE(struct create_body, create_fields);

static int post_session(struct node *n, struct op *op, const struct call *c)
{
    const struct create_body *b = c->body;
    CLEANUP(session_fini) struct session s = {0};
    char made[ID_TEXT];
    session_op_id(op, "", 0, "session", made);
    AUTOFREE char *metadata = b->metadata.p ? mem_copy(b->metadata.p, b->metadata.n) : mem_dup("{}");
    const struct session_row want = {.template = b->template,
                                     .resume =
                                         (char *)(uintptr_t)(b->has_resume ? resume_words[b->resume] : NULL),
                                     .consistency = (char *)(uintptr_t)consistency_words[b->consistency],
                                     .metadata = metadata,
                                     .ttl_ms = b->ttl_ms};
    int rc = session_create(n, op, b->id ? b->id : made, &want, &s);
    if (rc == 1)
        answer_session(n, op, &s, 201, session_need(n, op, &s));
    return rc < 0 ? rc : 0;
}

static int delete_session(struct node *n, struct op *op, const struct call *c)
{
    CLEANUP(session_fini) struct session s = {0};
    int rc = session_end_here(n, op, c->param[0], &s);
    if (rc < 1)
        return rc;
    rc = session_end(n, &s, "session_ended", op->request->who.name);
    op->witness = own_home(n, "", c->param[0]); /* it decides whether there may be another one of this id */
    if (rc == 0)
        answer_session(n, op, &s, 200, 1);
    return rc;
}

static int post_claim(struct node *n, struct op *op, const struct call *c)
{
    CLEANUP(session_fini) struct session s = {0};
    struct str body = STR_INIT;
    int rc = session_claim(n, op, c->param[0], &s);
    if (rc < 1)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_i64_text(&j, "epoch", s.claim.epoch);
    jw_kv_string(&j, "owner", node_name_of(n, s.claim.owner));
    jw_object_close(&j);
    jw_end(&j);
    op_answer_covered(n, op, store_written(n->store), 1, answer_json(200, &body));
    return 0;
}

/* ---- entries ---- */

struct entry_body {
    char *role, *parent;
    struct span content;
    int64_t epoch;
};
static const struct json_field entry_fields[] = {
    JSON_FIELD(struct entry_body, role, JSON_STRING, .required = true, .bytes_max = ROLE_BYTES_MAX),
    JSON_FIELD(struct entry_body, content, JSON_RAW, .required = true),
    JSON_FIELD(struct entry_body, parent, JSON_STRING, .nullable = true, .bytes_max = NAME_BYTES_MAX),
    JSON_FIELD(struct entry_body, epoch, JSON_I64_TEXT, .nullable = true, .min = 1, .max = INT64_MAX),
};
static const struct json_table entry_table = JSON_TABLE(struct entry_body, entry_fields);

static void answer_entry(struct node *n, struct op *op, const struct session *s,
                         const struct entry_row *entry)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "id", entry->entry);
    jw_kv_string(&j, "parent", entry->parent);
    jw_kv_i64(&j, "seq", entry->seq);
    jw_kv_i64_text(&j, "epoch", entry->epoch);
    jw_object_close(&j);
    jw_end(&j);
    int need = session_need(n, op, s);
    op_answer_covered(n, op, store_written(n->store), need, answer_json(201, &body));
}

static int post_entry(struct node *n, struct op *op, const struct call *c)
{
    const struct entry_body *b = c->body;
    CLEANUP(session_fini) struct session s = {0};
    struct err e;
    char id[ID_TEXT];
    int rc = session_here(n, op, c->param[0], b->epoch, &s);
    if (rc < 1)
        return rc;
    session_op_id(op, c->param[0], s.claim.incarnation, "entry", id);
    struct entry_row entry = {.entry = mem_dup(id),
                              .role = mem_dup(b->role),
                              .content = mem_copy(b->content.p, b->content.n),
                              .parent = mem_dup(b->parent)};
    rc = session_append(n, &s, &entry, &e);
    if (rc == 0) {
        row_fini(T_ENTRY, &entry);
        return api_fail(n, op, &e);
    }
    if (rc == 1)
        rc = node_log(n, "entry_appended", "", c->param[0], n->name, s.claim.epoch, op->request->who.name,
                      NULL);
    if (rc >= 0)
        answer_entry(n, op, &s, &entry);
    row_fini(T_ENTRY, &entry);
    return rc < 0 ? rc : 0;
}

static void write_entry(struct stmt *q, struct jw *j)
{
    jw_object(j);
    jw_kv_string(j, "id", col_text(q, 0));
    jw_kv_string(j, "parent", col_text(q, 1));
    jw_kv_string(j, "turn", col_text(q, 2));
    jw_kv_string(j, "role", col_text(q, 3));
    jw_kv_raw(j, "content", (struct span){col_text(q, 4), col_bytes(q, 4)});
    jw_kv_i64(j, "seq", col_i64(q, 5));
    jw_kv_time(j, "at", col_i64(q, 6));
    jw_object_close(j);
}

/* The seq behind which a page begins. */
static int seq_after(const struct call *c, const struct reading *r, int64_t *ret, struct err *e)
{
    const struct session_page *q = c->query;
    *ret = 0;
    if (!q->after)
        return 0;
    struct entry_row row = {.session = mem_dup(c->param[0]), .entry = mem_dup(q->after)};
    int rc = store_load(r->store, T_ENTRY, &row, e);
    *ret = row.seq;
    row_fini(T_ENTRY, &row);
    return rc == 0  ? err_field(e, SKEP_EARG, "after", "the session has no entry %s", q->after)
           : rc < 0 ? rc
                    : 0;
}

/* Where a page of the conversation is read from: its head, or that of a branch. 1; 0: an empty one. */
static int head_of(const struct call *c, const struct reading *r, char **ret, struct err *e)
{
    const struct session_page *q = c->query;
    struct session_row row = {.session = mem_dup(c->param[0])};
    int rc = store_load(r->store, T_SESSION, &row, e);
    *ret = rc == 1 ? mem_dup(q->head ? q->head : row.head) : NULL;
    row_fini(T_SESSION, &row);
    return rc < 0 ? rc : *ret != NULL;
}

static int list_entries(const struct call *c, const struct reading *r, struct str *body,
                        struct answer *ret UNUSED, struct err *e)
{
    AUTOFREE char *head = NULL, *last = NULL;
    int64_t above = 0, left = session_page_limit(c->query);
    bool more = false;
    int rc = head_of(c, r, &head, e);
    if (rc < 0 || (rc = seq_after(c, r, &above, e)) < 0)
        return rc;
    struct jw j = jw_init(body);
    session_page_open(&j, "entries");
    if (head) {
        struct stmt *s = store_ask(r->store, Q_ENTRY_PATH, "ttii", c->param[0], head, above, left + 1);
        while ((rc = stmt_step(s, e)) == 1 && !(more = left-- == 0 || body->n > API_LIST_BYTES)) {
            write_entry(s, &j);
            mem_replace(&last, col_text(s, 0));
        }
        stmt_reset(s);
    }
    session_page_close(&j, more ? last : NULL);
    return rc < 0 ? rc : 200;
}

static int write_branch(const struct call *c, const struct reading *r, const char *head,
                        const struct entry_row *leaf, struct jw *j, struct err *e)
{
    struct stmt *s = store_ask(r->store, Q_ENTRY_BRANCH, "ttt", c->param[0], head, leaf->entry);
    int rc = stmt_step(s, e);
    if (rc == 1) {
        jw_object(j);
        jw_kv_string(j, "head", leaf->entry);
        jw_kv_string(j, "parent", col_text(s, 1));
        jw_kv_i64(j, "entries", col_i64(s, 0));
        jw_kv_i64_text(j, "epoch", leaf->epoch);
        jw_kv_i64(j, "seq", leaf->seq);
        jw_kv_time(j, "at", leaf->at);
        jw_object_close(j);
    }
    stmt_reset(s);
    return rc;
}

static int list_branches(const struct call *c, const struct reading *r, struct str *body,
                         struct answer *ret UNUSED, struct err *e)
{
    const struct session_page *q = c->query;
    AUTOFREE char *head = NULL, *last = NULL;
    struct entry_row leaf = {0};
    int64_t left = session_page_limit(q);
    bool skip = q->after != NULL, more = false;
    int rc = head_of(c, r, &head, e);
    struct jw j = jw_init(body);
    session_page_open(&j, "branches");
    struct stmt *s = rc == 1 ? store_ask(r->store, Q_ENTRY_LEAVES, "t", c->param[0]) : NULL;
    while (s && !more && (rc = store_next(s, T_ENTRY, &leaf, e)) == 1) {
        bool wanted = !skip && strcmp(leaf.entry, head) != 0;
        skip = skip && strcmp(leaf.entry, q->after) != 0;
        if (!wanted)
            continue;
        if ((more = left-- == 0))
            break;
        if ((rc = write_branch(c, r, head, &leaf, &j, e)) < 0)
            break;
        mem_replace(&last, leaf.entry);
    }
    if (s)
        stmt_reset(s);
    row_fini(T_ENTRY, &leaf);
    session_page_close(&j, more ? last : NULL);
    return rc < 0 ? rc : 200;
}

/* ---- state ---- */

struct state_body {
    struct span state;
    int64_t epoch;
};
static const struct json_field state_fields[] = {
    JSON_FIELD(struct state_body, state, JSON_RAW, .required = true),
    JSON_FIELD(struct state_body, epoch, JSON_I64_TEXT, .nullable = true, .min = 1, .max = INT64_MAX),
};
static const struct json_table state_table = JSON_TABLE(struct state_body, state_fields);

static void write_state(struct str *body, struct span state, int64_t epoch)
{
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_raw(&j, "state", state);
    jw_key(&j, "epoch");
    if (epoch)
        jw_i64_text(&j, epoch);
    else
        jw_null(&j);
    jw_object_close(&j);
    jw_end(&j);
}

/* A session lives on for ttl_ms after its last write: one that changes nothing counts once half of it is
 * gone. */
static bool is_stale(const struct node *n, const struct session_row *row)
{
    return row->ttl_ms > 0 && n->real_ms - row->updated_at > row->ttl_ms / 2;
}

static int put_state(struct node *n, struct op *op, const struct call *c)
{
    const struct state_body *b = c->body;
    CLEANUP(session_fini) struct session s = {0};
    struct str body = STR_INIT;
    int rc = session_here(n, op, c->param[0], b->epoch, &s);
    if (rc < 1)
        return rc;
    int64_t writes = store_writes(n->store);
    rc = session_put_state(n, &s, b->state);
    if (rc == 0 && (store_writes(n->store) > writes || is_stale(n, &s.row)))
        rc = session_save(n, &s);
    if (rc == 0)
        rc = node_log(n, "session_state_put", "", c->param[0], n->name, s.claim.epoch, op->request->who.name,
                      NULL);
    if (rc < 0)
        return rc;
    write_state(&body, b->state, s.claim.epoch);
    int need = session_need(n, op, &s);
    op_answer_covered(n, op, store_written(n->store), need, answer_json(200, &body));
    return 0;
}

static int get_state(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                     struct err *e)
{
    struct session_row session = {.session = mem_dup(c->param[0])};
    struct session_state_row state = {.session = mem_dup(c->param[0])};
    int rc = store_load(r->store, T_SESSION, &session, e);
    if (rc == 0)
        rc = no_session(e, c->param[0]);
    if (rc == 1 && (rc = store_load(r->store, T_SESSION_STATE, &state, e)) >= 0) {
        int64_t rev = rc ? session_version(r->store, T_SESSION_STATE, &state) : 0;
        write_state(body, text(state.state, NULL), state.epoch);
        snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)rev);
        rc = 200;
    }
    row_fini(T_SESSION, &session);
    row_fini(T_SESSION_STATE, &state);
    return rc;
}

/* ---- routes ---- */

#define READS      .role = ROLE_READ, .where = API_READER
#define WRITES     .role = ROLE_WRITE, .where = API_BRAIN, .body_max = API_BODY_BYTES
#define WRITES_BIG .role = ROLE_WRITE, .where = API_BRAIN, .body_max = API_BIG_BODY_BYTES
#define SESSION    "/v1/sessions/{session}"

struct no_body {
    char nothing;
};
static const struct json_table no_table = {.bytes = sizeof(struct no_body)};

const struct route session_routes[] = {
    {HTTP_M_GET, "/v1/sessions", READS, STATUS_PAGE, .read = list_sessions, .about = "Sessions by name."},
    {HTTP_M_POST, "/v1/sessions", WRITES, .body = &create_table, .serve = post_session,
     .about = "Makes a session, owned by the node that is asked."},
    {HTTP_M_GET, SESSION, READS, .read = get_session, .about = "One session: owner, epoch, status, head."},
    {HTTP_M_DELETE, SESSION, WRITES, .serve = delete_session,
     .about = "Ends a session with its entries, state and turns; a worker that runs is stopped."},
    {HTTP_M_GET, SESSION "/entries", READS, HEAD_PAGE, .read = list_entries,
     .about = "The conversation, oldest first; ?head= reads a branch."},
    {HTTP_M_POST, SESSION "/entries", WRITES_BIG, .body = &entry_table, .serve = post_entry,
     .about = "Appends an entry behind its parent or the head, and moves the head to it."},
    {HTTP_M_GET, SESSION "/branches", READS, PAGE, .read = list_branches,
     .about = "Ends of what is not a part of the conversation: written by fenced owners, or left behind by a "
              "parent."},
    {HTTP_M_GET, SESSION "/state", READS, .read = get_state, .about = "The state last saved."},
    {HTTP_M_PUT, SESSION "/state", WRITES_BIG, .body = &state_table, .serve = put_state,
     .about = "Saves the state."},
    {HTTP_M_POST, SESSION "/claim", WRITES, .body = &no_table, .serve = post_claim,
     .about = "Makes the node that is asked the owner under a new epoch; older epochs are fenced."},
    {HTTP_M_GET, SESSION "/turns", READS, STATUS_PAGE, .read = session_turn_list,
     .about = "Turns in the order of acceptance."},
    {HTTP_M_POST, SESSION "/turns", WRITES, .body = &turn_table, .serve = session_turn_post,
     .about = "Queues a turn and waits for its end, or answers 202."},
    {HTTP_M_GET, SESSION "/turns/{turn}", READS, .read = session_turn_get,
     .about = "One turn, with its result."},
    {HTTP_M_DELETE, SESSION "/turns/{turn}", WRITES, .serve = session_turn_delete,
     .about = "Cancels a turn."},
    {0},
};
